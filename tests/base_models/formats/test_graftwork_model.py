"""A model that graftwork made, as the base of the next one: its head kept or replaced."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from graftwork.artifacts import model
from graftwork.components.extract_features.extract import extract_features
from graftwork.components.load_base_model.load import load_base_model
from graftwork.components.train_head.train import train_head
from graftwork.config import HeadConfig
from graftwork.errors import UserError

PIXELS = np.random.default_rng(0).uniform(0, 255, (3, 24, 24, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def first(prepared: Path, base_file: Path, tmp_path_factory: pytest.TempPathFactory) -> model.ModelFolder:
    """A classifier that graftwork made."""
    folder = tmp_path_factory.mktemp("first")
    base = load_base_model(str(base_file), folder / "base")
    extract_features(prepared, base.path, folder / "features")
    return train_head([folder / "features"], base.path, folder / "head", HeadConfig(kind="mlp", epochs=3), seed=0)


def test_it_becomes_a_base_that_says_the_same_features(first: model.ModelFolder, tmp_path: Path) -> None:
    base = load_base_model(str(first.path), tmp_path / "base")
    expected = first.keras_model().get_layer(model.BACKBONE)(PIXELS)
    np.testing.assert_allclose(base.keras_model()(PIXELS), expected, atol=1e-6)
    assert base.description["preprocessing"]["value"] == first.description["preprocessing"]["value"]
    assert base.description["feature_layer"] == first.description["feature_layer"]
    assert base.description["base"]["kind"] == "graftwork model"
    assert base.description["base"]["made_from"]["uri"] == first.description["base"]["uri"]


def test_the_folder_of_a_run_will_do(first: model.ModelFolder, tmp_path: Path) -> None:
    shutil.copytree(first.path, tmp_path / "run" / "model")
    base = load_base_model(str(tmp_path / "run"), tmp_path / "base")
    assert base.description["base"]["kind"] == "graftwork model"


def test_its_head_can_be_kept(first: model.ModelFolder, prepared: Path, tmp_path: Path) -> None:
    base = load_base_model(str(first.path), tmp_path / "base")
    extract_features(prepared, base.path, tmp_path / "features")
    again = train_head([tmp_path / "features"], base.path, tmp_path / "again", HeadConfig(kind="kept"), seed=0)
    np.testing.assert_allclose(again.keras_model()(PIXELS), first.keras_model()(PIXELS), atol=1e-6)
    assert again.description["training"]["head"]["kind"] == "kept"


def test_by_default_the_kept_head_competes_with_new_ones(
    first: model.ModelFolder, prepared: Path, tmp_path: Path
) -> None:
    base = load_base_model(str(first.path), tmp_path / "base")
    extract_features(prepared, base.path, tmp_path / "features")
    config = HeadConfig(l2=(1e-2,), epochs=1)
    again = train_head([tmp_path / "features"], base.path, tmp_path / "again", config, seed=0)
    assert [trial["kind"] for trial in again.description["training"]["head"]["tried"]] == ["kept", "linear", "mlp"]


def test_a_base_keeps_the_head_for_the_base_after_it(first: model.ModelFolder, tmp_path: Path) -> None:
    base = load_base_model(str(first.path), tmp_path / "base")
    second = load_base_model(str(base.path), tmp_path / "second")
    head = second.kept_head()
    assert head is not None
    features = second.keras_model()(PIXELS)
    np.testing.assert_allclose(head(features), first.keras_model()(PIXELS), atol=1e-6)


def test_cut_elsewhere_there_is_no_head_to_keep(first: model.ModelFolder, prepared: Path, tmp_path: Path) -> None:
    base = load_base_model(str(first.path), tmp_path / "base", feature_layer="second")
    assert base.kept_head() is None
    assert base.description["feature_layer"] == "second"
    extract_features(prepared, base.path, tmp_path / "features")
    with pytest.raises(UserError, match=r"no head to keep[\s\S]*no head[\s\S]*head.kind=auto"):
        train_head([tmp_path / "features"], base.path, tmp_path / "again", HeadConfig(kind="kept"), seed=0)


def test_a_head_for_other_classes_is_replaced(first: model.ModelFolder, prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(first.path, tmp_path / "other")
    file = tmp_path / "other" / model.DESCRIPTION
    file.write_text(file.read_text().replace('"red"', '"round"'))
    base = load_base_model(str(tmp_path / "other"), tmp_path / "base")
    extract_features(prepared, base.path, tmp_path / "features")
    with pytest.raises(UserError, match=r"no head to keep[\s\S]*round"):
        train_head([tmp_path / "features"], base.path, tmp_path / "again", HeadConfig(kind="kept"), seed=0)
    again = train_head([tmp_path / "features"], base.path, tmp_path / "again", HeadConfig(kind="linear"), seed=0)
    assert again.description["training"]["head"]["kind"] == "linear"


def test_a_kept_head_for_classes_in_another_order_says_the_same(
    first: model.ModelFolder, prepared: Path, tmp_path: Path
) -> None:
    shutil.copytree(first.path, tmp_path / "turned")
    file = tmp_path / "turned" / model.DESCRIPTION
    swapped = file.read_text().replace('"red"', '"?"').replace('"blue"', '"red"').replace('"?"', '"blue"')
    file.write_text(swapped)  # the head's first column is now red's
    base = load_base_model(str(tmp_path / "turned"), tmp_path / "base")
    extract_features(prepared, base.path, tmp_path / "features")
    again = train_head([tmp_path / "features"], base.path, tmp_path / "again", HeadConfig(kind="kept"), seed=0)
    expected = first.keras_model()(PIXELS).numpy()[:, [2, 1, 0]]
    np.testing.assert_allclose(again.keras_model()(PIXELS), expected, atol=1e-6)


def test_a_larger_input_with_the_same_weights(first: model.ModelFolder, tmp_path: Path) -> None:
    base = load_base_model(str(first.path), tmp_path / "base", input_size=32)
    assert base.input_size == (32, 32)
    assert base.kept_head() is not None
