"""`graftwork inspect`: what a model is, and what images say about it."""

import json
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from graftwork.base_models.opened import Request
from graftwork.data import imaging
from graftwork.errors import UserError
from graftwork.inspection.blocks import blocks
from graftwork.inspection.describe import Description, describe, feature_layers
from graftwork.inspection.evidence import draw, weigh
from graftwork.inspection.show import verdict
from graftwork.inspection.statistics import Moments, normalisations

from commands import graftwork
from conftest import CLASSES, coloured_squares

layers = keras.layers


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty images of each class in folders."""
    folder = tmp_path_factory.mktemp("photos")
    for number, (pixels, label) in enumerate(coloured_squares(90, seed=4)):
        path = folder / CLASSES[label] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(tf.io.encode_png(pixels).numpy())
    return folder


def network(tmp_path: Path, *first: keras.Layer) -> Path:
    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [
            keras.Input((24, 24, 3)),
            *first,
            layers.Conv2D(8, 3, activation="relu", name="one"),
            layers.MaxPooling2D(name="pool"),
            layers.Conv2D(16, 3, activation="relu", name="two"),
            layers.Flatten(),
            layers.Dense(3, name="top"),
        ]
    )
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def described(file: Path) -> Description:
    return describe(Request(str(file)), None)


class TestBlocks:
    @pytest.mark.parametrize("name", ["VGG16", "ResNet50", "MobileNetV2", "EfficientNetB0", "InceptionV3"])
    def test_they_hold_every_parameter_once(self, name: str) -> None:
        model = getattr(keras.applications, name)(weights=None)
        found = blocks(model)
        assert sum(block.parameters for block in found) == model.count_params()
        assert len(found) <= 9
        assert found[-1].output == (1000,)

    def test_one_for_each_resolution(self) -> None:
        ends = [block.last for block in blocks(keras.applications.VGG16(weights=None))]
        convolutions = ["block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3"]
        assert ends == [*convolutions, "predictions"]

    def test_models_inside_are_opened_up(self) -> None:
        base = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, include_top=False, weights=None)
        model = keras.Sequential([keras.Input((32, 32, 3)), base, layers.GlobalAveragePooling2D(), layers.Dense(2)])
        found = blocks(model)
        assert sum(block.parameters for block in found) == model.count_params()
        assert "out_relu" in [block.last for block in found]


class TestDescribe:
    def test_it_says_where_to_cut_and_what_the_pixels_need(self, tmp_path: Path) -> None:
        found = described(network(tmp_path, layers.Rescaling(1 / 255, name="scale")))
        assert (found.feature_layer, found.features) == ("two", (9, 9, 16))
        assert found.preprocessing == "none"
        assert "scale" in found.preprocessing_found
        assert found.fine_tuned == 2
        assert feature_layers(found) == ["two", "one"]

    def test_an_unknown_preprocessing_is_no_error(self, tmp_path: Path) -> None:
        found = described(network(tmp_path))
        assert found.preprocessing is None

    def test_what_cannot_be_cut_is_said(self, tmp_path: Path) -> None:
        pixels = keras.Input((None, None, 3))
        keras.Model(pixels, layers.Conv2D(4, 3)(pixels)).save(tmp_path / "model.keras")
        assert "any size" in described(tmp_path / "model.keras").cannot_cut


class TestEvidence:
    def test_it_finds_the_preprocessing_that_the_network_was_made_for(self, tmp_path: Path, photos: Path) -> None:
        # Of pixels in [-1, 1] each filter passes what is brighter than the middle in one channel. Every other
        # preprocessing shifts the middle: nothing passes, or everything does and saturates.
        pixels = keras.Input((24, 24, 3))
        edges = layers.Conv2D(3, 1, name="filters")
        steps = layers.Activation(keras.activations.sigmoid, name="steps")(edges(pixels))
        keras.Model(pixels, layers.Dense(2)(layers.GlobalAveragePooling2D()(steps))).save(tmp_path / "blank.keras")
        edges.set_weights([60.0 * np.eye(3, dtype=np.float32)[None, None], np.full(3, 12.0, np.float32)])
        model = keras.Model(pixels, layers.Dense(2)(layers.GlobalAveragePooling2D()(steps)))
        model.save(tmp_path / "model.keras")
        found = weigh(described(tmp_path / "model.keras"), str(photos), images=90)
        assert found.preprocessings[0].name == "rescale-pm1"
        assert {probe.name for probe in found.preprocessings} >= {"none", "imagenet-caffe", "imagenet-torch"}

    def test_preprocessing_inside_leaves_nothing_to_choose(self, tmp_path: Path, photos: Path) -> None:
        description = described(network(tmp_path, layers.Rescaling(1 / 255)))
        found = weigh(description, str(photos), images=60)
        assert [probe.name for probe in found.preprocessings] == ["none"]
        assert {probe.name for probe in found.feature_layers} == {"one", "two"}
        assert found.feature_layers[0].accuracy > 0.8
        assert "inside the model" in verdict(description, found)[0]

    def test_the_same_images_for_the_same_seed(self, photos: Path) -> None:
        first, again, other = (draw(str(photos), 30, seed) for seed in (1, 1, 2))
        assert first.files == again.files
        assert first.files != other.files
        assert np.bincount(first.labels).tolist() == [10, 10, 10]

    def test_unreadable_images_and_small_classes_are_left_out_and_said(self, photos: Path, tmp_path: Path) -> None:
        for file in photos.rglob("*.png"):
            target = tmp_path / file.relative_to(photos)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(file.read_bytes())
        (tmp_path / "blue" / "broken.png").write_bytes(b"no image")
        (tmp_path / "rare").mkdir()
        (tmp_path / "rare" / "one.png").write_bytes(next(tmp_path.rglob("*.png")).read_bytes())
        sample = draw(str(tmp_path), 1000, 0)
        assert sample.classes == CLASSES
        assert "1 images cannot be read" in sample.left_out
        assert "1 classes have fewer" in sample.left_out

    def test_too_few_images_say_so(self, tmp_path: Path, photos: Path) -> None:
        (tmp_path / "one").mkdir()
        (tmp_path / "one" / "a.png").write_bytes(next(photos.rglob("*.png")).read_bytes())
        with pytest.raises(UserError, match="too few images"):
            draw(str(tmp_path), 100, 0)

    def test_what_normalisation_recorded_in_training_counts_more(self, tmp_path: Path, photos: Path) -> None:
        file = network(tmp_path, layers.Conv2D(8, 3, name="stem"), layers.BatchNormalization(momentum=0.0, name="norm"))
        model = keras.saving.load_model(file)
        files = [path.read_bytes() for path in sorted(photos.rglob("*.png"))]
        pixels = np.stack([imaging.pixels(content, (24, 24), 28) for content in files])
        keras.Model(model.inputs, model.get_layer("norm").output)(pixels / 255.0, training=True)
        model.save(file)
        found = weigh(described(file), str(photos), images=90)
        assert found.preprocessing == "rescale-0-1"
        assert found.as_json()["preprocessings"][0]["divergence"] < 0.05


class TestDivergence:
    @given(mean=st.floats(-3, 3), variance=st.floats(0.1, 10), other=st.floats(-3, 3), spread=st.floats(0.1, 10))
    def test_it_is_that_of_two_normal_distributions(
        self, mean: float, variance: float, other: float, spread: float
    ) -> None:
        moments = Moments(*(np.array(value) for value in ([[mean]], [[mean**2 + variance]], [other], [spread])))
        found = moments.divergence(np.ones((1, 1)))[0]
        points = np.linspace(mean - 12 * variance**0.5, mean + 12 * variance**0.5, 20001)
        density = norm.pdf(points, mean, variance**0.5)
        ratio = norm.logpdf(points, mean, variance**0.5) - norm.logpdf(points, other, spread**0.5)
        assert found == pytest.approx(np.trapezoid(density * ratio, points), abs=1e-3, rel=1e-3)

    def test_a_fresh_network_has_recorded_nothing(self) -> None:
        model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3), layers.BatchNormalization()])
        assert normalisations(model) == []
        model(np.random.default_rng(0).normal(3, 1, (4, 8, 8, 3)), training=True)
        assert normalisations(model) == [model.layers[-1]]


class TestCommand:
    @pytest.fixture(scope="class")
    def model(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
        return network(tmp_path_factory.mktemp("model"), layers.Rescaling(1 / 255))

    def test_a_table_for_people(self, model: Path) -> None:
        done = graftwork("inspect", model)
        assert done.returncode == 0, done.stderr
        for expected in ("Keras archive, Keras 3", "24 x 24 pixels", "9 x 9 x 16", "<- features", "inside the model"):
            assert expected in done.stdout

    def test_json_for_machines_with_evidence(self, model: Path, photos: Path) -> None:
        done = graftwork("inspect", model, "--data", photos, "--images", 60, "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["feature_layer"]["name"] == "two"
        assert found["evidence"]["classes"] == 3

    def test_what_is_no_model_ends_with_a_message_and_exit_code_2(self, tmp_path: Path) -> None:
        (tmp_path / "model.onnx").write_bytes(b"\x08\x07")
        done = graftwork("inspect", tmp_path / "model.onnx")
        assert done.returncode == 2
        assert "an ONNX model" in done.stderr
        assert "Traceback" not in done.stderr
