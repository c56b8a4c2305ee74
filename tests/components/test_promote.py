"""A challenger that becomes the champion, or does not."""

from pathlib import Path

import numpy as np

from graftwork.artifacts import images as images_artifact
from graftwork.artifacts import model
from graftwork.artifacts.trained_on import TrainedOn
from graftwork.components.extract_features.extract import extract_features
from graftwork.components.load_base_model.load import load_base_model
from graftwork.components.promote.promote import keep, promote
from graftwork.components.train_head.train import train_head
from graftwork.config import HeadConfig
from graftwork.registry.registry import Author, Registry

from champions import NOBODY, champion, keys


def test_a_version_carries_what_it_was_trained_on(prepared: Path, flow: Path, tmp_path: Path) -> None:
    registry, source = Registry(str(tmp_path / "models"), "m"), (prepared, flow / "trained-selected")
    run = Author("graftwork", "the first", run="r1", inputs="i1")
    verdict = {"promote": True, "reason": "the first", "rules": []}
    assert promote(registry, *source, None, verdict, run) == 1
    before = registry.state()
    Path(registry.uri, "models.config").unlink()  # it died before it could write that
    assert promote(registry, *source, None, verdict, run) == 1  # the step is tried again
    assert registry.state() == before
    assert "versions: 1 " in Path(registry.uri, "models.config").read_text()
    entry = before.versions[1]
    assert entry.data["inputs"] == "i1"
    assert entry.verdict == verdict
    found = model.read(registry.folder(1)).trained_on
    assert found is not None
    data = images_artifact.read(prepared)
    for split, known in (("train", True), ("validation", True), ("test", False)):
        assert (found.knows(keys(data, split)) == known).all()
    assert found.features.shape == (96, 16)
    assert found.counts.sum() == 96


def test_a_step_that_is_tried_again_leaves_what_a_person_has_done(prepared: Path, flow: Path, tmp_path: Path) -> None:
    registry, source = Registry(str(tmp_path / "models"), "m"), (prepared, flow / "trained-selected")
    verdict = {"promote": True, "reason": "better", "rules": []}
    for version, run in enumerate(("r1", "r2")):
        promote(registry, *source, version or None, verdict, Author("graftwork", run=run))
    registry.rollback(Author("ann", "too slow"))
    assert promote(registry, *source, 1, verdict, Author("graftwork", run="r2")) == 1
    assert registry.state().champion == 1


def test_what_a_forebear_has_seen_is_seen(prepared: Path, flow: Path, tmp_path: Path) -> None:
    record = TrainedOn(**{**vars(NOBODY), "seen": np.array([7], np.uint64)})
    serving = champion(flow, tmp_path, "trained", record)
    load_base_model(str(serving), tmp_path / "base", start="champion")
    extract_features(prepared, tmp_path / "base", tmp_path / "features")
    made = train_head([tmp_path / "features"], tmp_path / "base", tmp_path / "head", HeadConfig(kind="linear"), seed=0)
    assert made.description["candidate"] == "head-champion"
    assert made.trained_on is not None
    assert 7 in made.trained_on.seen
    assert len(made.trained_on.seen) == 96 + 48 + 1


def test_a_kept_champion_is_noted_once(tmp_path: Path) -> None:
    registry, run = Registry(str(tmp_path), "m"), Author("graftwork", "no better", run="r1")
    assert keep(registry, None, run) == 0
    assert keep(registry, None, run) == 0
    (event,) = registry.state().history
    assert (event.action, event.why, event.champion) == ("keep", "no better", None)
