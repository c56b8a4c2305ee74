"""What images say about a model."""

from pathlib import Path

import keras
import numpy as np
import pytest

from graftwork.data import imaging
from graftwork.errors import UserError
from graftwork.inspection.evidence import draw, weigh
from graftwork.inspection.show import verdict

from conftest import CLASSES
from inspected_models import described, network, photos_in

layers = keras.layers


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photos_in(tmp_path_factory.mktemp("photos"))


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
