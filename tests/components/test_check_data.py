"""New images beside those that the champion was trained on."""

import json
from pathlib import Path

import pytest
from kfp import dsl
from PIL import Image

from graftwork.artifacts import images as images_artifact
from graftwork.artifacts import model
from graftwork.components.check_data.check import check
from graftwork.components.check_data.step import run as run_check_data
from graftwork.components.promote.promote import training_record
from graftwork.config import DriftConfig, PrepareConfig

from champions import champion
from images_on_disk import prepare_source, write_photos


def test_the_same_images_are_no_news(prepared: Path, flow: Path, tmp_path: Path) -> None:
    data = images_artifact.read(prepared)
    same = training_record(data, model.read(flow / "trained-selected"))
    found = check(prepared, champion(flow, tmp_path, "trained", same), DriftConfig(), seed=0)
    assert found.drift is not None
    assert found.drift.new_images == 0
    assert not found.drift.problem


def test_darker_images_are_shown(prepared: Path, flow: Path, tmp_path: Path) -> None:
    data = images_artifact.read(prepared)
    serving = champion(flow, tmp_path, "trained", training_record(data, model.read(flow / "trained-selected")))
    dark(write_photos(tmp_path / "photos", count=200, size=24))
    prepare_source(str(tmp_path / "photos"), tmp_path / "images", PrepareConfig())
    made = {name: kind(uri=str(tmp_path / name)) for name, kind in (("drift", dsl.Artifact), ("report", dsl.HTML))}
    given = [dsl.Dataset(uri=str(tmp_path / "images")), dsl.Model(uri=str(serving)), made["drift"], made["report"]]
    assert run_check_data(*given, {}, 0).startswith("drift in brightness")
    with pytest.raises(SystemExit):
        run_check_data(*given, {"action": "stop"}, 0)
    content = json.loads((tmp_path / "drift").read_text())
    assert "brightness" in content["problem"]
    assert len(content["oddest"]) == 12
    page = (tmp_path / "report").read_text()
    assert page.count("<figure>") == 12
    assert "The data has drifted" in page


def test_the_size_at_which_images_are_stored_is_no_drift(prepared: Path, flow: Path, tmp_path: Path) -> None:
    data = images_artifact.read(prepared)
    serving = champion(flow, tmp_path, "trained", training_record(data, model.read(flow / "trained-selected")))
    photos = write_photos(tmp_path / "photos", count=200, size=64, seed=7)
    for size in (28, 64):
        prepare_source(str(photos), tmp_path / f"{size}", PrepareConfig(), stored_size=size)
    found = [check(tmp_path / f"{size}", serving, DriftConfig(), seed=0).drift for size in (28, 64)]
    measured = [{f.what: f.distance for f in drift.findings if f.p is not None} for drift in found if drift]
    assert measured[0].keys() == measured[1].keys() >= {"sharpness", "features"}
    for name, number in measured[0].items():
        assert measured[1][name] == pytest.approx(number, abs=0.05), name


def test_a_champion_that_was_promoted_by_hand_has_no_features(prepared: Path, flow: Path, tmp_path: Path) -> None:
    found = check(prepared, champion(flow, tmp_path), DriftConfig(), seed=0)
    assert found.drift is not None
    assert "promoted by hand" in found.drift.findings[-1].says


def test_without_a_champion_there_is_nothing_to_compare(prepared: Path, flow: Path) -> None:
    found = check(prepared, flow / "none", DriftConfig(), seed=0)
    assert found.drift is None
    assert found.why == "there is no champion to compare with"


def dark(folder: Path) -> None:
    for file in folder.rglob("*.png"):
        with Image.open(file) as image:
            image.point(lambda value: value // 3).save(file)
