"""Every architecture of keras.applications survives being saved by Keras 3 and opened.

One at a time, and its files go at once: the largest, ConvNeXtXLarge, has 1.4 GB of weights.
"""

import inspect
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from graftwork.base_models.architectures.families import FAMILIES
from graftwork.base_models.cut import cut
from graftwork.base_models.open import open_file
from graftwork.base_models.opened import OpenedModel, Request
from graftwork.base_models.preprocessing import find_preprocessing
from graftwork.components.load_base_model.load import load_base_model

from architectures.expected import PREPROCESSING, built, each, each_network

SMALLEST = (
    "VGG16",
    "ResNet50",
    "ResNet50V2",
    "DenseNet121",
    "MobileNet",
    "MobileNetV2",
    "InceptionV3",
    "InceptionResNetV2",
    "Xception",
    "NASNetMobile",
    "MobileNetV3Small",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "EfficientNetV2S",
    "ConvNeXtTiny",
)
"""Of each family."""
FREE = 224
"""Pixels to a side for networks that take any size."""


def image(model: keras.Model) -> np.ndarray:
    shape = [side or FREE for side in model.input_shape[1:]]
    return np.random.default_rng(1).uniform(0, 255, (1, *shape)).astype(np.float32)


def expected_preprocessing(name: str) -> str:
    if name.startswith("ResNet") and name.endswith("V2"):
        return "rescale-pm1"
    return next(value for prefix, value in PREPROCESSING.items() if name.startswith(prefix))


def test_the_smallest_are_one_of_each_family() -> None:
    assert [sum(name in family.networks for name in SMALLEST) for family in FAMILIES] == [1] * len(FAMILIES)


@pytest.mark.slow
@each_network
def test_a_saved_one_is_the_same(name: str, tmp_path: Path) -> None:
    model = built(name)
    pixels = image(model)
    answer = model(pixels, training=False).numpy()
    assert np.isfinite(answer).all()
    assert answer.std() > 0
    features, feature_layer = cut(OpenedModel(model), "auto")
    for file in (tmp_path / "model.keras", tmp_path / "model.h5"):
        model.save(file)
        opened = open_file(file, Request(str(file)))
        file.unlink()
        np.testing.assert_array_equal(opened.model(pixels, training=False), answer)
        assert find_preprocessing(opened, None)[0] == expected_preprocessing(name)
        base, cut_at = cut(opened, "auto")
        assert (cut_at, base.output_shape) == (feature_layer, features.output_shape)


@pytest.mark.slow
@each(SMALLEST)
def test_a_saved_one_becomes_a_base(name: str, tmp_path: Path) -> None:
    model = built(name)
    pixels = image(model)
    model.save(tmp_path / "model.keras")
    asked = {} if model.input_shape[1] else {"input_size": FREE}
    base = load_base_model(str(tmp_path / "model.keras"), tmp_path / "base", **asked)
    # The same network without its top, and the preprocessing that Keras has beside it.
    features = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=pixels.shape[1:])
    features.set_weights(model.get_weights()[: len(features.weights)])
    if name.startswith("ConvNeXt"):  # without its top it normalises once more before pooling
        features = keras.Model(model.inputs[0], model.get_layer("convnext_tiny_head_gap").input)
    prepared = inspect.getmodule(getattr(keras.applications, name)).preprocess_input(pixels.copy())
    expected = np.mean(features(prepared, training=False), axis=(1, 2))
    served = tf.saved_model.load(str(base.path)).signatures["embed_pixels"](pixels=tf.constant(pixels))["features"]
    np.testing.assert_allclose(served, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
