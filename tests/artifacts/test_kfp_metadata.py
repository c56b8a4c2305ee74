"""What KFP keeps of an artifact, written in the process in which KFP runs a step."""

import json
from pathlib import Path

from kfp import dsl
from kfp.dsl import Metrics, Model, Output

from kfp_executor import execute


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def measure(model: Output[Model], metrics: Output[Metrics], content: dict = {}):  # type: ignore  # noqa: B006
    from graftwork.artifacts.kfp_metadata import describe, write_metrics

    describe(model, kind="linear", loss=float("nan"), layers=3)
    numbers = {"accuracy": 0.5, "loss": float("inf"), "gain": float("-inf"), "odds": float("nan"), "images": 7}
    write_metrics(metrics, numbers, content or None)


def strict(file: Path) -> dict:  # type: ignore[type-arg]
    """Read JSON as KFP's launcher does, which knows no NaN."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(file.read_text(), parse_constant=refuse)  # type: ignore[no-any-return]


def test_what_is_not_finite_is_left_out_and_named(tmp_path: Path) -> None:
    done = execute(measure, tmp_path, {}, {})
    assert done.code == 0
    written = {name: entry["artifacts"][0]["metadata"] for name, entry in strict(done.output)["artifacts"].items()}
    assert written == {"model": {"kind": "linear", "layers": 3}, "metrics": {"accuracy": 0.5, "images": 7}}
    assert strict(tmp_path / "metrics") == {"accuracy": 0.5, "images": 7}
    assert done.own() == [
        "not finite, so Kubeflow cannot show it: loss (nan)",
        "not finite, so Kubeflow cannot show it: gain (-inf), loss (inf), odds (nan)",
    ]


def test_the_file_may_hold_more_than_kfp_shows(tmp_path: Path) -> None:
    assert execute(measure, tmp_path, {"content": {"candidates": {"head": 1}}}, {}).code == 0
    assert strict(tmp_path / "metrics") == {"candidates": {"head": 1}}
