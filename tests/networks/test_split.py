"""A network in two parts answers as the whole does."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from graftwork.components.fine_tune.layers import unfreeze_last
from graftwork.networks.depthwise import with_fast_gradients
from graftwork.networks.frozen import frozen
from graftwork.networks.graph import unrolled
from graftwork.networks.split import split

from architectures.expected import each_network
from small_networks import EXACT, conv, outputs, pixels, residual_network, trained_from, with_random_statistics

layers = keras.layers


def with_statistics_of(values: np.ndarray, model: keras.Model) -> keras.Model:
    """Let batch normalisation see some images, as in training: deep random networks explode without."""
    normalizations = [layer for layer in model._flatten_layers() if isinstance(layer, layers.BatchNormalization)]
    for layer in normalizations:
        layer.momentum = 0.0
    model(values, training=True)
    return model


@pytest.mark.parametrize(
    ("names", "cut"),
    [
        (("logits",), {"flatten"}),
        (("b2", "logits"), {"b1", "first", "max_pooling2d"}),
        (("b1", "b2", "logits"), {"first", "max_pooling2d"}),
        (("a1",), {"stem", "max_pooling2d"}),
    ],
)
def test_a_network_is_split_right_below_its_trained_layers(names: tuple[str, ...], cut: set[str]):
    model = trained_from(residual_network(), *names)
    parts = split(unrolled(model))
    crossing = {name.rstrip("_0123456789") for name in parts.cut}
    # A convolution's output crosses behind its normalisation and activation, which are frozen as well.
    expected = {{"b1": "re_lu", "stem": "re_lu", "max_pooling2d": "max_pooling"}.get(name, name) for name in cut}
    assert {name.removesuffix("2d") for name in crossing} == expected
    assert not parts.trunk.trainable_weights
    trained = {id(weight) for weight in model.trainable_weights}
    assert {id(weight) for weight in parts.suffix.trainable_weights} == trained
    crossed = parts.trunk(pixels(), training=False)
    np.testing.assert_allclose(outputs(parts.suffix, crossed), outputs(model, pixels()), atol=1e-6)


def test_dropout_below_a_trained_layer_is_trained_with_it_and_other_dropout_is_not():
    image = keras.Input((16, 16, 3))
    values = layers.Conv2D(4, 3, name="conv")(layers.Dropout(0.5, name="early")(image))
    model = keras.Model(image, layers.Dense(2, name="head")(layers.ReLU()(layers.Dropout(0.5, name="late")(values))))
    parts = split(unrolled(trained_from(model, "head")))
    assert parts.cut == ("conv",)
    assert "late" in {layer.name for layer in parts.suffix.layers}
    assert "early" in {layer.name for layer in parts.trunk.layers}


def test_a_layer_that_is_called_on_both_sides_of_the_cut():
    image, relu = keras.Input((16, 16, 3)), layers.ReLU()
    values = relu(layers.Conv2D(4, 3, name="first")(image))
    model = keras.Model(image, relu(layers.Conv2D(4, 3, name="second")(values)))
    parts = split(unrolled(trained_from(model, "second")))
    assert [layer.name for layer in parts.suffix.layers if layer.trainable_weights] == ["second"]
    np.testing.assert_array_equal(outputs(parts.suffix, parts.trunk(pixels())), outputs(model, pixels()))


def test_everything_trained_leaves_a_trunk_without_weights():
    parts = split(unrolled(residual_network()))
    assert parts.trunk_operations == 0


def test_nothing_changes_in_the_network_that_is_split():
    model = trained_from(residual_network(), "logits")
    before = model.get_config()
    frozen(split(unrolled(model)).trunk, "bfloat16")
    assert model.get_config() == before
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}


@pytest.mark.slow
@each_network
def test_every_architecture_is_split_and_folded_without_a_change_in_its_answers(name: str):
    build = getattr(keras.applications, name)
    size = 331 if name == "NASNetLarge" else 96
    model = build(weights=None, include_top=False, input_shape=(size, size, 3), pooling="avg")
    with_statistics_of(pixels(4, size) * 255, model)
    backbone = keras.Model(model.inputs, model.outputs)
    unfreeze_last(backbone, "third")
    parts = split(unrolled(backbone))
    assert parts.trunk_operations
    assert {id(weight) for weight in parts.suffix.trainable_weights} == {id(w) for w in backbone.trainable_weights}
    values = pixels(1, size) * 255
    expected = outputs(backbone, values)
    crossed = frozen(parts.trunk, "float32")(tf.constant(values))
    found = outputs(with_fast_gradients(parts.suffix), crossed if len(crossed) > 1 else crossed[0])
    scale = np.abs(expected).max()
    # The deepest networks blow up every rounding error while their weights are random: so does a millionth more light.
    noise = np.abs(outputs(backbone, values * (1 + 1e-6)) - expected).max() / scale
    np.testing.assert_allclose(found / scale, expected / scale, atol=max(EXACT, 10 * noise))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(["conv", "residual", "pool", "dropout"]), min_size=1, max_size=5), st.integers(0, 5))
def test_trunk_and_suffix_together_are_the_network(blocks: list[str], trained: int):
    image = keras.Input((16, 16, 3))
    values = layers.Conv2D(4, 3, padding="same")(image)
    for block in blocks:
        if block == "conv":
            values = conv(values, 4)
        elif block == "residual":
            values = layers.Add()([conv(values, values.shape[-1]), values])
        elif block == "pool":
            values = layers.MaxPooling2D(3, 1, padding="same")(values)
        else:
            values = layers.Dropout(0.3)(values)
    model = with_random_statistics(keras.Model(image, layers.Dense(3)(layers.Flatten()(values))))
    weighted = [layer for layer in model.layers if layer.weights and not isinstance(layer, layers.BatchNormalization)]
    for layer in model.layers:
        layer.trainable = False
    for layer in weighted[max(0, len(weighted) - 1 - trained) :]:
        layer.trainable = True
    parts = split(unrolled(model))
    crossed = frozen(parts.trunk, "float32")(tf.constant(pixels()))
    answer = outputs(parts.suffix, crossed if len(crossed) > 1 else crossed[0])
    np.testing.assert_allclose(answer, outputs(model, pixels()), atol=1e-4, rtol=1e-4)
