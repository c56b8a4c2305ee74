"""Pipelines and steps as the files that others get: KFP's intermediate representation, fitted to a site."""

import copy
import hashlib
import json
import tempfile
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from kfp import compiler
from kfp.compiler.compiler_utils import KubernetesManifestOptions

from graftwork import pipelines, steps
from graftwork._version import __version__
from graftwork.components import IMAGE
from graftwork.errors import UserError
from graftwork.kubeflow import names
from graftwork.kubeflow.site import Site, fit

_IR, _MANIFEST = "ir", "kubernetes-manifest"
FORMATS = (_IR, _MANIFEST)


@dataclass(frozen=True)
class Compiled:
    """A compiled pipeline.

    Attributes:
        name: Of the pipeline, as in transfer-learning.
        title: For people.
        description: What it does, in one line.
        parameters: Names of its parameters.
        required: Those without a default.
        image: In which its steps run.
        text: The file's content.
    """

    name: str
    title: str
    description: str
    parameters: tuple[str, ...]
    required: tuple[str, ...]
    image: str
    text: str

    @property
    def version(self) -> str:
        """A name for exactly this content."""
        return f"{__version__}-{hashlib.sha256(self.text.encode()).hexdigest()[:12]}"

    @cached_property
    def documents(self) -> tuple[dict[str, Any], ...]:
        """What the file says: the pipeline, and its part for Kubernetes where it has one. To be read only."""
        return tuple(yaml.safe_load_all(self.text))

    @property
    def one_shard(self) -> bool:
        """Whether it has no loops over shards: how many are asked for is a parameter that nothing reads."""
        return "ingest_shards" in self.parameters and "componentInputParameter: ingest_shards" not in self.text


def compile_pipeline(
    name: str,
    site: Site,
    format: Literal["ir", "kubernetes-manifest"] = "ir",
    namespace: str | None = None,
    one_shard: bool = False,
) -> Compiled:
    """Compile one of graftwork's pipelines; the same arguments give the same bytes.

    Args:
        name: See `graftwork.pipelines.NAMES`.
        site: What is fixed at compile time.
        format: "ir", or "kubernetes-manifest" for a Pipeline and a PipelineVersion resource.
        namespace: Of the resources.
        one_shard: Without loops over shards: fewer pods, where `cluster.ingest_shards` and `extract_shards` are 1.

    Raises:
        UserError: There is no such pipeline, or Kubernetes does not take the name of the namespace.
    """
    if namespace:
        names.check("the name of the namespace", namespace, names.LABEL)
    pipeline = copy.deepcopy(pipelines.load(name, one_shard))
    fit(pipeline, site)
    compiled = _described(_with_header(_written(pipeline)))
    if format == _MANIFEST:
        options = KubernetesManifestOptions(
            pipeline_name=compiled.name,
            pipeline_display_name=compiled.title,
            # Kubernetes names hold no dots in front of KFP's own; a version is named by its content.
            pipeline_version_name=f"{compiled.name}-{compiled.version.replace('.', '-')}",
            pipeline_version_display_name=compiled.version,
            namespace=namespace,
            include_pipeline_manifest=True,
        )
        text = _written(pipeline, kubernetes_manifest_options=options, kubernetes_manifest_format=True)
        return replace(compiled, text=text)
    return compiled


def compile_components(image: str = IMAGE) -> dict[str, str]:
    """Compile every step as a component for pipelines of others; the same arguments give the same bytes.

    Args:
        image: In which the steps run. Nothing else of a `Site` can be said here: KFP takes a task's secrets and
            volumes from the pipeline that the task is in.

    Returns:
        The content of a file for `kfp.components.load_component_from_file`, by the name of the step.
    """
    names.check_image(image)
    files = {}
    for name in steps.__all__:
        component = copy.deepcopy(getattr(steps, name))
        component.component_spec.implementation.container.image = image
        files[name] = _with_header(_written(component), "Inputs")
    return files


def write_components(folder: Path, image: str = IMAGE) -> list[Path]:
    """Write the files of `compile_components`; nothing in the folder changes before all are written.

    Returns:
        The files, in the order of their names.

    Raises:
        OSError: The folder cannot be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".graftwork-", dir=folder) as aside:
        for name, text in compile_components(image).items():
            Path(aside, f"{name}.yaml").write_text(text, encoding="utf-8")
        return [file.replace(folder / file.name) for file in sorted(Path(aside).iterdir())]


def read_compiled(path: str | Path) -> Compiled:
    """Read a file that `compile_pipeline` or KFP's own compiler wrote.

    Raises:
        UserError: It cannot be read, or is no compiled pipeline.
    """
    try:
        return _described(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError("the pipeline cannot be read", {"file": path, "why": error}) from None
    except (yaml.YAMLError, KeyError, TypeError, StopIteration):
        expected = "a file from  graftwork compile PIPELINE -o FILE"
        raise UserError("this is no compiled pipeline", {"file": path, "expected": expected}) from None


def _described(text: str) -> Compiled:
    spec = next(yaml.safe_load_all(text))
    info, inputs = spec["pipelineInfo"], spec["root"].get("inputDefinitions", {}).get("parameters", {})
    executors = spec["deploymentSpec"]["executors"].values()
    return Compiled(
        name=info["name"],
        title=info.get("displayName", info["name"]),
        description=(info.get("description") or info["name"]).strip().splitlines()[0],
        parameters=tuple(inputs),
        required=tuple(name for name, entry in inputs.items() if not entry.get("isOptional")),
        image=next(executor["container"]["image"] for executor in executors),
        text=text,
    )


def _written(pipeline: Any, **options: Any) -> str:
    with tempfile.TemporaryDirectory(prefix="graftwork-") as folder, warnings.catch_warnings(action="ignore"):
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(path), **options)
        return path.read_text(encoding="utf-8")


def _with_header(text: str, heading: str = "Parameters") -> str:
    """Replace KFP's comment, in which mappings come in an order that changes, by one that says more."""
    spec = next(yaml.safe_load_all(text))
    lines = [f"{spec['pipelineInfo']['name']}, made by graftwork {__version__}", "", f"{heading}:"]
    inputs = spec["root"]["inputDefinitions"]
    for name, entry in {**inputs.get("artifacts", {}), **inputs.get("parameters", {})}.items():
        default = f" [{json.dumps(entry['defaultValue'], sort_keys=True)}]" if "defaultValue" in entry else ""
        lines.append(f"  {name}{default}: {' '.join(entry['description'].split())}")
    body = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    return "".join(f"# {line}".rstrip() + "\n" for line in lines) + body
