"""What a server is told about the champion: TensorFlow Serving's configuration, and KServe's InferenceService."""

import re

import yaml

from graftwork.errors import UserError

FILE = "models.config"
_MOUNT = "/mnt/models"
_FETCHED = ("gs://", "s3://", "pvc://", "https://")
"""What KServe fetches models from."""


def model_config(name: str, uri: str, version: int) -> str:
    """Return TensorFlow Serving's configuration (ModelServerConfig, as protocol buffer text) for one version.

    Args:
        name: Under which the model is asked for.
        uri: Where its versions lie.
        version: The one to serve.
    """
    return f"""\
model_config_list {{
  config {{
    name: "{name}"
    base_path: "{_quoted(uri)}"
    model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: {version} }} }}
  }}
}}
"""


def with_version(config: str, version: int) -> str | None:
    """Return a configuration with another version, and all else as it is; None if it does not name exactly one.

    Where a server sees the registry, only whoever wrote it there knows.
    """
    changed, found = re.subn(r"(\bversions:\s*)\d+", rf"\g<1>{version}", config)
    return changed if found == 1 else None


def inference_service(name: str, uri: str, version: int) -> str:
    """Return KServe's InferenceService for one version, as YAML; KServe 0.16 or later.

    Args:
        name: Of the model.
        uri: Where its versions lie.
        version: The one to serve.

    Raises:
        UserError: KServe cannot fetch models from there.
    """
    if not uri.startswith(_FETCHED):
        facts = {"registry": uri, "expected": "gs://, or pvc://CLAIM/FOLDER with --serve-from"}
        raise UserError("KServe cannot see a folder of this machine", facts)
    kubernetes_name = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not kubernetes_name[0].isalpha():  # KServe wants a letter there
        kubernetes_name = f"model-{kubernetes_name}"
    manifest = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": kubernetes_name, "labels": {"model": kubernetes_name, "version": str(version)}},
        "spec": {
            "predictor": {
                "model": {"modelFormat": {"name": "tensorflow"}},
                # TensorFlow Serving expects the number of a version as the last folder of its path.
                "storageUris": [{"uri": f"{uri}/{version}", "mountPath": f"{_MOUNT}/{version}"}],
            }
        },
    }
    return yaml.safe_dump(manifest, sort_keys=False)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
