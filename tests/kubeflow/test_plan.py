"""What a compiled pipeline is going to do: its steps in order, and what to call each task of a loop."""

from pathlib import Path

import pytest
import yaml

from graftwork import pipelines
from graftwork.kubeflow.compiling import compile_pipeline
from graftwork.kubeflow.plan import Planned, place_of, planned
from graftwork.kubeflow.site import Site

COMPILED = Path(__file__).parents[1] / "from_0_1" / "compiled"


def plan(text: str) -> dict[str, Planned]:
    return {step.place[-1]: step for step in planned(next(yaml.safe_load_all(text)))}


@pytest.mark.parametrize("name", pipelines.NAMES)
def test_every_step_of_a_pipeline_in_an_order_in_which_it_can_run(name: str) -> None:
    steps = [step.name for step in plan(compile_pipeline(name, Site()).text).values()]
    assert set(steps) == set(pipelines.steps(name))
    for earlier, later in (
        ("fingerprint_source", "prepare_data"),
        ("train_head", "evaluate"),
        ("evaluate", "select_model"),
    ):
        assert steps.index(earlier) < steps.index(later)


def test_with_the_platforms_part_around_it() -> None:
    spec, platform = yaml.safe_load_all((COMPILED / "sweep.yaml").read_text())
    assert planned({"pipeline_spec": spec, "platform_spec": platform}) == planned(spec)


def test_how_often_a_step_is_tried() -> None:
    steps = plan((COMPILED / "transfer_learning.yaml").read_text())
    assert (steps["fine-tune"].tries, steps["load-base-model"].tries) == (3, 1)


class TestLabels:
    SWEEP = plan((COMPILED / "sweep.yaml").read_text())
    POINT = ("for-loop-2", "1", "fine-tune")

    def test_what_a_loop_goes_over_if_that_says_something(self) -> None:
        known = {"grid": ["{layers: 5}", "{layers: all}"]}
        assert self.SWEEP["fine-tune"].label(self.POINT, {("for-loop-2",): 2}, known) == "fine_tune (layers: all)"

    def test_else_its_number(self) -> None:
        label = self.SWEEP["fine-tune"].label
        assert label(self.POINT, {("for-loop-2",): 2}, {}) == "fine_tune (2)"
        assert label(self.POINT, {("for-loop-2",): 2}, {"grid": ["1/2", "2/2"]}) == "fine_tune (2)"

    def test_nothing_where_there_is_one(self) -> None:
        assert self.SWEEP["train-head"].label(("train-head",), {}, {}) == "train_head"
        step = ("for-loop-1", "0", "extract-features")
        assert self.SWEEP["extract-features"].label(step, {("for-loop-1",): 1}, {}) == "extract_features"

    def test_of_loops_in_loops(self) -> None:
        step = plan((COMPILED / "retraining.yaml").read_text())["extract-features"]
        place = ("exit-handler-1", "condition-2", "for-loop-3", "1", "for-loop-4", "0", "extract-features")
        assert place_of(place) == step.place
        counts = {place[:3]: 2, place[:5]: 3}
        assert step.label(place, counts, {}) == "extract_features (2, 1)"
        known = {"find-champion-starts": ["base model", "champion"]}
        assert step.label(place, counts, known) == "extract_features (champion, 1)"
