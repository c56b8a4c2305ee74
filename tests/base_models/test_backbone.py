"""What the backbone does to pixels before the base sees them."""

from pathlib import Path

import keras
import numpy as np
import pytest

from graftwork.components.load_base_model.load import load_base_model
from graftwork.config import ScaleOffset
from graftwork.errors import UserError

layers = keras.layers


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("none", lambda pixels: pixels),
        ("rescale-0-1", lambda pixels: pixels / 255),
        ("rescale-pm1", lambda pixels: keras.applications.imagenet_utils.preprocess_input(pixels, mode="tf")),
        ("imagenet-caffe", lambda pixels: keras.applications.imagenet_utils.preprocess_input(pixels, mode="caffe")),
        ("imagenet-torch", lambda pixels: keras.applications.imagenet_utils.preprocess_input(pixels, mode="torch")),
        (ScaleOffset(scale=2.0, offset=(1.0, 2.0, 3.0)), lambda pixels: pixels * 2.0 + np.array([1.0, 2.0, 3.0])),
    ],
)
def test_preprocessing_is_what_its_name_says(tmp_path: Path, name: str | ScaleOffset, reference: object) -> None:
    pixels = keras.Input((4, 4, 3))
    identity = keras.Model(pixels, layers.DepthwiseConv2D(1, depthwise_initializer="ones", name="same")(pixels))
    identity.save(tmp_path / "identity.keras")
    base = load_base_model(str(tmp_path / "identity.keras"), tmp_path / "base", preprocessing=name)
    image = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, 3)).astype(np.float32)
    expected = reference(image.copy()).mean(axis=(1, 2))  # type: ignore[operator]
    np.testing.assert_allclose(base.keras_model()(image), expected, rtol=1e-4, atol=1e-4)


class TestGrey:
    """A base that sees one channel is given the luma of the pixels."""

    @staticmethod
    def saved(tmp_path: Path) -> keras.Model:
        model = keras.Sequential(
            [keras.Input((16, 16, 1)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(2)]
        )
        model.save(tmp_path / "model.keras")
        return model

    def test_grey_images_look_the_same_to_it(self, tmp_path: Path) -> None:
        model = self.saved(tmp_path)
        base = load_base_model(str(tmp_path / "model.keras"), tmp_path / "base", "rescale-0-1")
        grey = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 1)).astype(np.float32)
        expected = np.mean(keras.Model(model.inputs, model.layers[0].output)(grey / 255), axis=(1, 2))
        np.testing.assert_allclose(base.keras_model()(np.repeat(grey, 3, axis=-1)), expected, atol=1e-4)

    def test_a_preprocessing_for_colours_is_refused(self, tmp_path: Path) -> None:
        self.saved(tmp_path)
        with pytest.raises(UserError, match=r"for colours[\s\S]*one channel"):
            load_base_model(str(tmp_path / "model.keras"), tmp_path / "base", "imagenet-torch")

    def test_at_another_size(self, tmp_path: Path) -> None:
        self.saved(tmp_path)
        base = load_base_model(str(tmp_path / "model.keras"), tmp_path / "base", "none", input_size=24)
        assert base.input_size == (24, 24)
