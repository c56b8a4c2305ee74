"""Batch normalisation folded into the layer before it changes no answer."""

import keras
import numpy as np
import pytest

from graftwork.networks.folding import folded
from graftwork.networks.graph import unrolled

from small_networks import EXACT, outputs, pixels, with_random_statistics

layers = keras.layers


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(6, 3),
        layers.Conv2D(6, 3, use_bias=False, strides=2, groups=3),
        layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False),
        layers.Conv2DTranspose(6, 3, strides=2),
        layers.Dense(6),
    ],
    ids=lambda layer: type(layer).__name__ + ("" if layer.use_bias else "-without-bias"),
)
@pytest.mark.parametrize("parts_of", [{}, {"scale": False}, {"center": False}])
def test_folding_batch_normalisation_changes_no_answer(layer: keras.Layer, parts_of: dict[str, bool]):
    layer = type(layer).from_config(layer.get_config())
    image = keras.Input((16, 16, 3))
    normalized = layers.BatchNormalization(**parts_of)(layer(image))
    model = with_random_statistics(keras.Model(image, layers.ReLU()(normalized)))
    inference = folded(model)
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in inference.layers)
    np.testing.assert_allclose(outputs(inference, pixels()), outputs(model, pixels()), atol=EXACT, rtol=EXACT)


def test_what_others_see_before_the_normalisation_is_not_folded():
    image = keras.Input((16, 16, 3))
    values = layers.Conv2D(4, 3)(image)
    model = with_random_statistics(keras.Model(image, layers.Add()([layers.BatchNormalization()(values), values])))
    shared = layers.Conv2D(3, 3, padding="same")
    twice = with_random_statistics(keras.Model(image, layers.BatchNormalization()(shared(shared(image)))))
    active = layers.Conv2D(4, 3, activation="relu")(image)
    bent = with_random_statistics(keras.Model(image, layers.BatchNormalization()(active)))
    for network in (model, twice, bent):
        inference = folded(network)
        assert any(isinstance(layer, layers.BatchNormalization) for layer in inference.layers)
        np.testing.assert_array_equal(outputs(inference, pixels()), outputs(network, pixels()))


@pytest.mark.parametrize("name", ["MobileNetV2", "EfficientNetB0", "ResNet50V2", "DenseNet121", "Xception"])
def test_folding_is_exact_on_real_architectures(name: str):
    model = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(96, 96, 3), pooling="avg")
    with_random_statistics(model)
    values = pixels(2, 96)
    expected = outputs(model, values)
    scale = np.abs(expected).max()
    inference = folded(unrolled(model))
    count = [sum(isinstance(layer, layers.BatchNormalization) for layer in m.layers) for m in (model, inference)]
    assert count[1] < count[0]
    np.testing.assert_allclose(outputs(inference, values) / scale, expected / scale, atol=EXACT)
