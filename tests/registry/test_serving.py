"""What servers are told about the champion, read by what the servers themselves read it with."""

import re
from pathlib import Path

import pytest
import yaml
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from graftwork.errors import UserError
from graftwork.registry import serving

PATHS = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), min_size=1)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]*", fullmatch=True)


@given(NAMES, PATHS, st.integers(1, 2**62))
def test_tensorflow_serving_reads_one_version_of_one_model(name: str, uri: str, version: int) -> None:
    (config,) = text_format.Parse(
        serving.model_config(name, uri, version), ModelServerConfig()
    ).model_config_list.config
    assert (config.name, config.base_path, config.model_platform) == (name, uri, "tensorflow")
    assert list(config.model_version_policy.specific.versions) == [version]


@given(NAMES, st.integers(1, 10**9))
def test_kserve_gets_the_version_where_tensorflow_serving_looks_for_it(name: str, version: int) -> None:
    service = yaml.safe_load(serving.inference_service(name, f"gs://bucket/models/{name}", version))
    (source,) = service["spec"]["predictor"]["storageUris"]
    assert source["uri"] == f"gs://bucket/models/{name}/{version}"
    assert Path(source["mountPath"]).name == str(version)
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", service["metadata"]["name"])
    assert service["metadata"]["labels"]["version"] == str(version)


def test_kserve_cannot_see_a_folder_of_this_machine() -> None:
    with pytest.raises(UserError, match="KServe cannot see"):
        serving.inference_service("shelf", "/srv/models/shelf", 1)
