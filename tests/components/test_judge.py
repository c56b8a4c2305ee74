"""The verdict on a challenger, on small real models."""

import json
import shutil
from pathlib import Path

import pytest

from graftwork.artifacts import images as images_artifact
from graftwork.artifacts import model, trained_on
from graftwork.artifacts.images import Images
from graftwork.artifacts.trained_on import TrainedOn
from graftwork.components.judge.judge import Judged, judge
from graftwork.components.judge.report import render
from graftwork.config import DriftConfig, GateConfig
from graftwork.errors import UserError

from champions import NOBODY, champion, keys


def judged(
    prepared: Path,
    flow: Path,
    serving: Path,
    policy: GateConfig | None = None,
    drift: str = "",
    drift_policy: DriftConfig | None = None,
) -> Judged:
    challenger, evaluation = flow / "trained-selected", flow / "trained-evaluation"
    policies = policy or GateConfig(), drift_policy or DriftConfig()
    return judge(prepared, evaluation, challenger, serving, drift, *policies, seed=0)


def failed(verdict: Judged) -> set[str]:
    return {rule.rule for rule in verdict.verdict.rules if not rule.passed}


def seen(data: Images, split: str) -> TrainedOn:
    return TrainedOn(**{**vars(NOBODY), "seen": trained_on.union(trained_on.short(keys(data, split)))})


def test_a_challenger_that_has_learnt_more_is_promoted(prepared: Path, flow: Path, tmp_path: Path) -> None:
    found = judged(prepared, flow, champion(flow, tmp_path))
    assert found.verdict.promote, found.verdict.reason
    assert found.accuracy["challenger"] > found.accuracy["champion"]
    page = render(found)
    assert "Promote the challenger" in page
    assert all(rule.rule in page for rule in found.verdict.rules)
    assert "Only the challenger is right" in page
    assert 0 < page.count("<figure>") == len(found.differing) <= 24


def test_the_champion_itself_is_not_better(prepared: Path, flow: Path, tmp_path: Path) -> None:
    found = judged(prepared, flow, champion(flow, tmp_path, "trained"))
    assert not found.verdict.promote
    assert failed(found) == {"better"}
    assert "Keep the champion" in render(found)


def test_the_first_model_needs_no_champion(prepared: Path, flow: Path) -> None:
    found = judged(prepared, flow, flow / "none")
    assert found.verdict.promote
    assert found.verdict.reason == "the first version of this model"


@pytest.mark.parametrize(("split", "holds"), [("train", True), ("validation", True), ("test", False)])
def test_a_champion_that_was_trained_on_test_images(
    split: str, holds: bool, prepared: Path, flow: Path, tmp_path: Path
) -> None:
    record = seen(images_artifact.read(prepared), split)
    found = judged(prepared, flow, champion(flow, tmp_path, record=record))
    assert (failed(found) == set()) is holds
    assert found.verdict.promote is holds
    if not holds:
        assert "the champion has been trained on 48" in found.verdict.reason


def test_a_champion_that_does_not_say_what_it_was_trained_on(prepared: Path, flow: Path, tmp_path: Path) -> None:
    serving = champion(flow, tmp_path)
    (serving / model.TRAINED_ON).unlink()
    with pytest.raises(UserError, match="does not say which images it was trained on"):
        judged(prepared, flow, serving)


def test_what_the_data_check_found_counts(prepared: Path, flow: Path, tmp_path: Path) -> None:
    serving = champion(flow, tmp_path)
    held = judged(prepared, flow, serving, drift="drift in brightness", drift_policy=DriftConfig(action="hold"))
    assert failed(held) == {"data"}
    let_pass = judged(prepared, flow, serving, drift="drift in brightness")
    assert let_pass.verdict.promote
    assert let_pass.verdict.reason.endswith("; drift in brightness")


def test_labels_that_have_changed_show_in_the_champion(prepared: Path, flow: Path, tmp_path: Path) -> None:
    serving = champion(flow, tmp_path)
    description = json.loads((serving / model.DESCRIPTION).read_text())
    description["metrics"]["test"] |= {"accuracy": 0.99, "n": 1000}
    (serving / model.DESCRIPTION).write_text(json.dumps(description))
    held = judged(prepared, flow, serving, drift_policy=DriftConfig(action="hold"))
    assert failed(held) == {"data"}
    assert "of the test images, 0.9900 when it was made" in held.verdict.reason


def test_images_of_new_classes_count_where_they_are_allowed(prepared: Path, flow: Path, tmp_path: Path) -> None:
    serving = champion(flow, tmp_path, "trained")
    described = (serving / model.DESCRIPTION).read_text()
    (serving / model.DESCRIPTION).write_text(described.replace('"red"', '"crimson"'))
    left_out = judged(prepared, flow, serving)
    assert failed(left_out) == {"classes", "better"}
    assert left_out.accuracy["champion"] == left_out.accuracy["challenger"]
    policy = GateConfig(allow_new_classes=True, allow_gone_classes=True)
    allowed = judged(prepared, flow, serving, policy)
    assert allowed.verdict.promote, allowed.verdict.reason
    red = sum(record.label == 2 for record in images_artifact.read(prepared).records("test"))
    assert allowed.accuracy["challenger"] - allowed.accuracy["champion"] == pytest.approx(red / 48)
    assert {image.label for image in allowed.differing} == {"red"}


def test_slices_are_patterns_over_sources(prepared: Path, flow: Path, tmp_path: Path) -> None:
    policy = GateConfig(slices={"reds": "red/*", "none": "nothing/*"})
    found = judged(prepared, flow, champion(flow, tmp_path), policy)
    assert found.verdict.promote
    rule = next(rule for rule in found.verdict.rules if rule.rule == "no class falls")
    assert rule.says.endswith("no image is in slice none")


def test_an_evaluation_of_another_model_is_refused(prepared: Path, flow: Path, tmp_path: Path) -> None:
    other = tmp_path / "other-evaluation"
    shutil.copytree(flow / "trained-evaluation", other)
    content = json.loads((other / "evaluation.json").read_text())
    (other / "evaluation.json").write_text(json.dumps({**content, "images": "0" * 64}))
    with pytest.raises(UserError, match="not of this model and these images"):
        judge(prepared, other, flow / "trained-selected", flow / "none", "", GateConfig(), DriftConfig(), seed=0)
