"""The pipeline as KFP compiles it: what a cluster gets."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler

from graftwork.components import IMAGE
from graftwork.pipelines.transfer_learning import STEPS, transfer_learning


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    compiler.Compiler().compile(transfer_learning, str(path))
    return next(yaml.safe_load_all(path.read_text()))


def tasks(spec: dict[str, Any]) -> dict[str, Any]:
    return spec["root"]["dag"]["tasks"]


def test_it_has_the_steps_it_names(spec: dict[str, Any]) -> None:
    assert {name.replace("-", "_") for name in tasks(spec)} == set(STEPS)


def test_only_the_look_at_the_source_is_never_cached(spec: dict[str, Any]) -> None:
    cached = {name for name, task in tasks(spec).items() if task.get("cachingOptions", {}).get("enableCache")}
    assert set(tasks(spec)) - cached == {"fingerprint-source"}


def test_every_input_is_described(spec: dict[str, Any]) -> None:
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    assert all(parameter.get("description") for parameter in inputs.values())
    assert set(spec["root"]["outputDefinitions"]["artifacts"]) == {"model", "metrics", "report"}
    for name, component in spec["components"].items():
        for group in component.get("inputDefinitions", {}).values():
            for key, value in group.items():
                assert value.get("description"), (name, key)


def test_every_step_runs_in_the_one_image_without_installing_anything(spec: dict[str, Any]) -> None:
    for executor in spec["deploymentSpec"]["executors"].values():
        assert executor["container"]["image"] == IMAGE
        assert "pip install" not in " ".join(executor["container"]["command"])


def test_the_test_split_reaches_the_evaluation_alone(spec: dict[str, Any]) -> None:
    # Features are made of training and validation images only, so a head cannot see test images; see the contract.
    from graftwork.artifacts import features

    assert features.SPLITS == ("train", "validation")
    assert "prepare-data" not in str(tasks(spec)["train-head"]["inputs"])


def test_a_component_is_thin() -> None:
    for file in Path(__file__).parent.parent.glob("components/*/component.py"):
        body = file.read_text().rpartition('"""')[2].strip().splitlines()
        assert len([line for line in body if line.strip()]) == 2, file  # an import and a call
