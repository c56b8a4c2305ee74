"""Fine-tuning the last layers, and the augmentation that goes with it."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Literal

import keras
import numpy as np
import pytest
import tensorflow as tf

from graftwork.artifacts import images, model
from graftwork.components.extract_features.extract import extract_features
from graftwork.components.fine_tune import caching
from graftwork.components.fine_tune.augment import augment
from graftwork.components.fine_tune.feeding import CachedFeed, ImagesFeed
from graftwork.components.fine_tune.fine_tune import fine_tune
from graftwork.components.fine_tune.layers import PARTS, trainable_layers, unfreeze_last
from graftwork.components.fine_tune.parts import parts
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


@pytest.mark.parametrize("share", PARTS)
def test_a_share_of_the_layers_is_rounded_up(share: Literal["all", "half", "third"]) -> None:
    base = keras.applications.MobileNetV2(alpha=0.35, input_shape=(32, 32, 3), include_top=False, weights=None)
    pixels = keras.Input((32, 32, 3))
    backbone = keras.Model(pixels, base(pixels))
    weighted = [layer for layer in base.layers if layer.weights]
    convolutions = [layer for layer in weighted if not isinstance(layer, keras.layers.BatchNormalization)]
    assert [layer.name for layer in trainable_layers(backbone)] == [layer.name for layer in convolutions]
    count = unfreeze_last(backbone, share)
    assert count == math.ceil(len(convolutions) / PARTS[share])
    trained = {id(variable) for layer in convolutions[-count:] for variable in layer.weights}
    assert {id(variable) for variable in backbone.trainable_variables} == trained


def feed_of(prepared: Path, **settings: object) -> ImagesFeed:
    return ImagesFeed(images.read(prepared), (24, 24), FineTuneConfig(batch_size=96, **settings), seed=1)


def seen(batches: tf.data.Dataset) -> list[np.ndarray]:
    return [inputs[0].numpy() for inputs, _ in batches]


def test_batches_come_in_a_new_order_every_epoch_and_the_same_for_a_seed(prepared: Path) -> None:
    feed = feed_of(prepared, augment=False)
    first, again, second = (seen(feed.training(epoch)) for epoch in (0, 0, 1))
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[0], second[0])

    def sums(batches: list[np.ndarray]) -> list[float]:
        return sorted(float(image.sum()) for batch in batches for image in batch)

    assert sums(first) == pytest.approx(sums(second))


def test_augmentation_is_new_in_every_epoch_and_the_same_for_a_seed(prepared: Path) -> None:
    feed = feed_of(prepared)
    first, again, second = (seen(feed.training(epoch)) for epoch in (0, 0, 1))
    np.testing.assert_array_equal(first[0], again[0])
    plain = {image.tobytes() for batch in seen(feed_of(prepared, augment=False).training(0)) for image in batch}
    augmented = {image.tobytes() for batch in (*first, *second) for image in batch}
    assert not plain & augmented
    assert len(augmented) == 2 * len(plain)


class TestCache:
    """What frozen layers say once is what they would have said in every epoch."""

    def curve(self, prepared: Path, head: Path, path: Path, **settings: object) -> list[dict[str, float]]:
        config = FineTuneConfig(layers=1, epochs=3, patience=3, learning_rate=1e-2, batch_size=40, **settings)
        tuned = fine_tune(prepared, head, path, config, seed=3, precision="float32")
        described = tuned.description["training"]["fine_tune"]
        assert described["cache"]["chosen"] == (settings["cache"] != "never")
        assert not list(path.parent.glob(".trunk-*"))  # the cache is gone
        return described["curve"]

    def test_cached_and_uncached_training_have_the_same_loss_curve(
        self, prepared: Path, head: Path, tmp_path: Path
    ) -> None:
        without, cached = (
            self.curve(prepared, head, tmp_path / cache, cache=cache, augment=False) for cache in ("never", "always")
        )
        assert len(cached) == len(without) == 3
        for ours, expected in zip(cached, without, strict=True):
            assert ours == pytest.approx(expected, rel=2e-3, abs=1e-4)  # the cache is float16
        assert cached[-1]["loss"] < cached[0]["loss"]

    def test_so_they_have_to_the_last_digits_where_the_cache_is_float32(
        self, prepared: Path, head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(caching, "_half_is_enough", lambda sample, labels, parts: False)
        without, cached = (
            self.curve(prepared, head, tmp_path / cache, cache=cache, augment=False) for cache in ("never", "always")
        )
        for ours, expected in zip(cached, without, strict=True):
            assert ours == pytest.approx(expected, rel=1e-5, abs=1e-6)

    def test_every_epoch_sees_another_view_until_all_were_seen(
        self, prepared: Path, head: Path, tmp_path: Path
    ) -> None:
        data = images.read(prepared)
        classifier = model.read(head).keras_model()
        unfreeze_last(classifier.get_layer(model.BACKBONE), 1)
        network = parts(classifier, "float32")
        config = FineTuneConfig(views=2, batch_size=32)
        chosen = caching.Plan(True, "", views=2, dtype="float32")
        cache = caching.compute(data, network, chosen, config, 3, tmp_path / "cache")
        feed = CachedFeed(data, cache, network.split.shapes, 2, config, 3)
        first, second, third = ({row.tobytes() for row in _rows(feed.training(epoch))} for epoch in range(3))
        assert len(first) == len(second) == data.size("train")
        assert not first & second
        assert first == third
        keys = cache.splits["train"].keys
        assert (keys[: data.size("train")] == keys[data.size("train") :]).all()
        np.testing.assert_array_equal(
            np.concatenate([labels.numpy() for _, labels in feed.validation()]), cache.splits["validation"].labels
        )

    def test_several_tensors_cross_inside_a_block(self, prepared: Path, tmp_path: Path) -> None:
        image = keras.Input((24, 24, 3))
        stem = keras.layers.Conv2D(4, 3, 2, "same", name="stem")(keras.layers.Rescaling(1 / 255)(image))
        inside = keras.layers.Conv2D(4, 3, 1, "same", activation="relu", name="inside")(stem)
        last = keras.layers.Conv2D(4, 3, 1, "same", name="last")(inside)
        keras.Model(image, keras.layers.Add()([last, stem])).save(tmp_path / "residual.keras")
        load_base_model(str(tmp_path / "residual.keras"), tmp_path / "base")
        extract_features(prepared, tmp_path / "base", tmp_path / "features")
        config = HeadConfig(kind="linear", l2=(1e3,))
        train_head([tmp_path / "features"], tmp_path / "base", tmp_path / "head", config, seed=0)
        without, cached = (
            self.curve(prepared, tmp_path / "head", tmp_path / cache, cache=cache, augment=False)
            for cache in ("never", "always")
        )
        for ours, expected in zip(cached, without, strict=True):
            assert ours == pytest.approx(expected, rel=2e-3, abs=1e-4)
        cut = model.read(tmp_path / "always").description["training"]["fine_tune"]["cache"]["cut"]
        assert set(cut.split(", ")) == {"stem", "inside"}

    @pytest.mark.parametrize(
        ("settings", "chosen", "why"),
        [
            ({"layers": 1, "epochs": 5}, True, "2 augmented copies"),
            ({"layers": 1, "epochs": 5, "augment": False}, True, "once for each image"),
            ({"layers": 1, "epochs": 5, "views": 4}, True, "4 augmented copies"),
            ({"layers": 1, "epochs": 5, "views": 9}, True, "5 augmented copies"),
            ({"layers": 1, "epochs": 1}, False, "a cache would need"),
            ({"layers": "all", "epochs": 5}, False, "nothing to compute in advance"),
            ({"layers": 1, "epochs": 5, "cache_budget": "1k"}, False, "fine_tune.cache_budget"),
            ({"layers": 1, "epochs": 5, "cache": "never"}, False, "fine_tune.cache is never"),
        ],
    )
    def test_it_is_used_where_it_pays_and_fits(
        self, prepared: Path, head: Path, tmp_path: Path, settings: dict[str, object], chosen: bool, why: str
    ) -> None:
        config = FineTuneConfig(**settings)
        classifier = model.read(head).keras_model()
        unfreeze_last(classifier.get_layer(model.BACKBONE), config.layers)
        plan = caching.plan(images.read(prepared), parts(classifier, "float32"), config, tmp_path)
        assert plan.cached == chosen
        assert why in plan.why

    def test_a_trunk_with_next_to_no_arithmetic_runs_again(self, prepared: Path, tmp_path: Path) -> None:
        image = keras.Input((24, 24, 3))
        light = keras.layers.Conv2D(8, 1, name="light", trainable=False)(image)
        backbone = keras.Model(image, keras.layers.Conv2D(8, 3)(light), name=model.BACKBONE)
        pooled = keras.Input(backbone.output_shape[1:])
        values = keras.layers.Flatten()(pooled)
        head = keras.Model(pooled, keras.layers.Softmax()(keras.layers.Dense(3)(values)), name=model.HEAD)
        network = parts(model.classifier(backbone, head), "float32")
        plan = caching.plan(images.read(prepared), network, FineTuneConfig(), tmp_path)
        assert not plan.cached
        assert "no longer than reading" in plan.why

    def test_demanding_one_that_does_not_fit_is_an_error(self, prepared: Path, head: Path, tmp_path: Path) -> None:
        config = FineTuneConfig(layers=1, cache="always", cache_budget="1k")
        with pytest.raises(UserError, match="does not fit"):
            fine_tune(prepared, head, tmp_path / "tuned", config, seed=0)
        assert list(tmp_path.iterdir()) == []


def _rows(batches: tf.data.Dataset) -> list[np.ndarray]:
    return [row for inputs, _ in batches for row in inputs[0].numpy()]


_ON_TWO_DEVICES = """
import sys
import tensorflow as tf
halves = [tf.config.LogicalDeviceConfiguration(), tf.config.LogicalDeviceConfiguration()]
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
from graftwork.components.fine_tune import fine_tune as step
from graftwork.config import FineTuneConfig
devices = step.devices
names = ["CPU:0", "CPU:1"][: int(sys.argv[4])]
own = devices.strategy
devices.strategy = lambda: own(names)
config = FineTuneConfig(layers=2, epochs=2, batch_size=40, augment=False, cache=sys.argv[5], weight_decay=0)
step.fine_tune(sys.argv[1], sys.argv[2], sys.argv[3], config, seed=0, precision="float32")
"""


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["never", "always"])
def test_two_devices_share_the_work_and_learn_the_same(prepared: Path, head: Path, tmp_path: Path, cache: str) -> None:
    curves = []
    for count in ("1", "2"):
        command = [sys.executable, "-c", _ON_TWO_DEVICES, str(prepared), str(head), str(tmp_path / count), count, cache]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        curves.append(model.read(tmp_path / count).description["training"]["fine_tune"]["curve"])
    for one, two in zip(*curves, strict=True):
        assert two == pytest.approx(one, rel=1e-3, abs=1e-3)


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
