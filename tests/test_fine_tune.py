"""Fine-tuning the last layers, and the augmentation that goes with it."""

import math
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from graftwork.artifacts import images, model
from graftwork.components.extract_features.extract import extract_features
from graftwork.components.fine_tune.augment import augment
from graftwork.components.fine_tune.fine_tune import fine_tune
from graftwork.components.fine_tune.layers import trainable_layers, unfreeze_last
from graftwork.components.fine_tune.training import training_batches
from graftwork.components.load_base_model.load import load_base_model
from graftwork.components.train_head.train import train_head
from graftwork.config import FineTuneConfig, HeadConfig
from graftwork.errors import UserError


@pytest.fixture(scope="module")
def head(prepared: Path, base_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier with a poor head: trained with so strong a penalty that fine-tuning can help."""
    folder = tmp_path_factory.mktemp("flow")
    load_base_model(str(base_file), folder / "base")
    extract_features(prepared, folder / "base", folder / "features")
    config = HeadConfig(kind="linear", l2=(1e3,))
    train_head([folder / "features"], folder / "base", folder / "head", config, seed=0)
    return folder / "head"


def weights_by_layer(folder: Path) -> dict[str, list[np.ndarray]]:
    backbone = model.read(folder).keras_model().get_layer(model.BACKBONE)
    (base,) = [layer for layer in backbone.layers if isinstance(layer, keras.Model)]
    return {layer.name: layer.get_weights() for layer in base.layers if layer.weights}


def changed(before: dict[str, list[np.ndarray]], after: dict[str, list[np.ndarray]]) -> set[str]:
    pairs = ((name, zip(before[name], after[name], strict=True)) for name in before)
    return {name for name, weights in pairs if any(not np.array_equal(old, new) for old, new in weights)}


@pytest.mark.parametrize(
    ("layers", "expected"), [(1, {"third"}), (2, {"second", "third"}), ("all", {"first", "second", "third"})]
)
def test_only_the_last_layers_change(
    prepared: Path, head: Path, tmp_path: Path, layers: int | str, expected: set[str]
) -> None:
    config = FineTuneConfig(layers=layers, epochs=1, learning_rate=1e-2, warmup=0.0)
    tuned = fine_tune(prepared, head, tmp_path / "tuned", config, seed=0)
    assert changed(weights_by_layer(head), weights_by_layer(tuned.path)) == expected  # batch normalisation is not
    assert tuned.description["candidate"] == "fine-tuned"
    assert tuned.description["training"]["fine_tune"]["layers"] == len(expected)


def test_fine_tuning_learns_and_keeps_its_best_epoch(prepared: Path, head: Path, tmp_path: Path) -> None:
    config = FineTuneConfig(layers="all", epochs=10, patience=10, learning_rate=1e-3)
    tuned = fine_tune(prepared, head, tmp_path / "tuned", config, seed=1)
    curve = tuned.description["training"]["fine_tune"]["curve"]
    best = max(curve, key=lambda epoch: (epoch["validation_accuracy"], -epoch["validation_loss"]))
    data = images.read(prepared)
    records = list(data.records("validation"))
    served = tf.saved_model.load(str(tuned.path)).signatures["serving_default"]
    probabilities = served(image_bytes=tf.constant([record.encoded for record in records]))["probabilities"].numpy()
    picked = probabilities[np.arange(len(records)), [record.label for record in records]]
    assert -np.log(picked).mean() == pytest.approx(best["validation_loss"], rel=1e-3, abs=1e-6)
    assert best["validation_accuracy"] > 0.9
    assert curve[-1]["loss"] < curve[0]["loss"]


def test_it_stops_when_validation_no_longer_improves(prepared: Path, head: Path, tmp_path: Path) -> None:
    config = FineTuneConfig(layers=1, epochs=8, patience=1, learning_rate=1e-12)  # too small to change anything
    tuned = fine_tune(prepared, head, tmp_path / "tuned", config, seed=0)
    assert tuned.description["training"]["fine_tune"]["epochs"] < 8


def test_the_same_seed_gives_the_same_weights(prepared: Path, head: Path, tmp_path: Path) -> None:
    config = FineTuneConfig(layers=1, epochs=2)
    first, second = (fine_tune(prepared, head, tmp_path / name, config, seed=5) for name in ("a", "b"))
    for weight, other in zip(first.keras_model().get_weights(), second.keras_model().get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)


def test_no_layers_passes_the_head_on_unchanged(prepared: Path, head: Path, tmp_path: Path) -> None:
    skipped = fine_tune(prepared, head, tmp_path / "tuned", FineTuneConfig(layers=0), seed=0)
    assert skipped.description == model.read(head).description
    assert not changed(weights_by_layer(head), weights_by_layer(skipped.path))


def test_more_layers_than_there_are_is_an_error(prepared: Path, head: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"fine_tune.layers is 4[\s\S]*3, batch normalisation not counted"):
        fine_tune(prepared, head, tmp_path / "tuned", FineTuneConfig(layers=4), seed=0)
    assert not (tmp_path / "tuned").exists()


def test_by_default_a_third_of_the_layers_is_trained() -> None:
    base = keras.applications.MobileNetV2(alpha=0.35, input_shape=(32, 32, 3), include_top=False, weights=None)
    pixels = keras.Input((32, 32, 3))
    backbone = keras.Model(pixels, base(pixels))
    weighted = [layer for layer in base.layers if layer.weights]
    convolutions = [layer for layer in weighted if not isinstance(layer, keras.layers.BatchNormalization)]
    assert [layer.name for layer in trainable_layers(backbone)] == [layer.name for layer in convolutions]
    count = unfreeze_last(backbone, "third")
    assert count == math.ceil(len(convolutions) / 3)
    trained = {id(variable) for layer in convolutions[-count:] for variable in layer.weights}
    assert {id(variable) for variable in backbone.trainable_variables} == trained


def test_batches_come_in_a_new_order_every_pass_and_the_same_for_a_seed(prepared: Path) -> None:
    data = images.read(prepared)
    config = FineTuneConfig(batch_size=96, augment=False)

    def passes(seed: int) -> list[list[int]]:
        batches = training_batches(data, (24, 24), config, seed)
        return [next(iter(batches))[1].numpy().tolist() for _ in range(1)] + [
            labels.numpy().tolist() for _, labels in batches
        ]

    assert passes(1) == passes(1)
    assert passes(1) != passes(2)
    batches = training_batches(data, (24, 24), config, 1)
    first, second = ([pixels.numpy() for pixels, _ in batches] for _ in range(2))
    assert not np.array_equal(first[0], second[0])
    assert sorted(image.sum() for image in first[0]) == pytest.approx(sorted(image.sum() for image in second[0]))


class TestAugment:
    pixels = np.random.default_rng(0).uniform(0, 255, (16, 24, 32, 3)).astype(np.float32)

    def test_repeatable_for_a_seed_and_different_for_another(self) -> None:
        first, again, other = (augment(self.pixels, tf.constant(seed), False) for seed in ([1, 2], [1, 2], [1, 3]))
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - other).max() > 1

    def test_stays_in_range_and_shape_and_treats_every_image_differently(self) -> None:
        same = np.broadcast_to(self.pixels[:1], self.pixels.shape)
        augmented = augment(same, tf.constant([3, 4]), False).numpy()
        assert augmented.shape == same.shape
        assert augmented.min() >= 0
        assert augmented.max() <= 255
        assert len({image.tobytes() for image in augmented}) == len(augmented)

    def test_mild_the_middle_stays_in_the_middle(self) -> None:
        marked = np.zeros((64, 64, 64, 3), np.float32)
        marked[:, 28:36, 28:36] = 200
        bright = augment(marked, tf.constant([5, 6]), False).numpy().mean(axis=-1)
        bright -= bright.min(axis=(1, 2), keepdims=True)
        grid = np.arange(64)
        mass = bright.sum(axis=(1, 2))
        rows = (bright.sum(axis=2) * grid).sum(axis=1) / mass
        columns = (bright.sum(axis=1) * grid).sum(axis=1) / mass
        limit = 0.06 * 64 * 1.2 + 1
        assert np.abs(rows - 31.5).max() < limit
        assert np.abs(columns - 31.5).max() < limit

    def test_mirrors_only_when_asked(self) -> None:
        half = np.zeros((200, 24, 24, 3), np.float32)
        half[:, :, :12] = 200

        def left_is_brighter(flip: bool) -> np.ndarray:
            augmented = augment(half, tf.constant([7, 8]), flip).numpy().mean(axis=(1, 3))
            return augmented[:, :12].mean(axis=1) > augmented[:, 12:].mean(axis=1)

        assert left_is_brighter(False).all()
        assert 0.3 < left_is_brighter(True).mean() < 0.7
