"""Channels-first models are rebuilt channels last and answer the same."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from keras import layers, ops

from graftwork.base_models.conversion.channels_first import is_channels_first, run_channels_first, to_channels_last
from graftwork.base_models.conversion.equivalence import require_same_outputs
from graftwork.base_models.conversion.layer_names import LayerNames
from graftwork.base_models.cut import cut
from graftwork.base_models.formats.keras2.convert import convert
from graftwork.base_models.opened import TOLERANCE, OpenedModel
from graftwork.errors import UserError

FIRST = {"data_format": "channels_first"}


def convolution(filters: int, **arguments: Any) -> keras.Layer:
    return layers.Conv2D(filters, 3, padding="same", **{**FIRST, **arguments})


def vgg() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((3, 12, 20)),
            convolution(4, activation="relu", name="first"),
            layers.MaxPooling2D(**FIRST),
            convolution(6, activation="relu"),
            layers.MaxPooling2D(**FIRST, name="last_pool"),
            layers.Flatten(),
            layers.Dense(8, activation="relu"),
            layers.Dense(3, activation="softmax"),
        ],
        name="vgg",
    )


def residual() -> keras.Model:
    """Squeeze and excitation, a shared layer, two outputs."""
    images = keras.Input((3, 12, 20))
    maps = layers.ReLU()(layers.BatchNormalization(axis=1)(convolution(6, strides=2)(images)))
    shared = convolution(6)
    added = layers.Add()([maps, shared(shared(maps))])
    weights = layers.Dense(6, activation="sigmoid")(layers.GlobalAveragePooling2D(**FIRST)(added))
    weighted = layers.Multiply()([added, layers.Reshape((6, 1, 1))(weights)])
    both = layers.Concatenate(axis=1)([maps, weighted])
    return keras.Model(images, [layers.GlobalMaxPooling2D(**FIRST)(both), both])


def nested() -> keras.Model:
    maps = keras.Input((4, 12, 20))
    block = keras.Model(maps, layers.add([maps, convolution(4)(layers.PReLU()(maps))]), name="block")
    stem = keras.Sequential([keras.Input((3, 12, 20)), convolution(4), layers.BatchNormalization(axis=1)], name="stem")
    images = keras.Input((3, 12, 20))
    return keras.Model(images, layers.GlobalAveragePooling2D(**FIRST)(block(block(stem(images)))))


def with_random_weights(model: keras.Model) -> keras.Model:
    random = np.random.default_rng(0)
    for weight in model.weights:
        positive = "variance" in weight.path
        weight.assign(random.uniform(0.2, 1, weight.shape) if positive else random.normal(size=weight.shape))
    return model


def kinds(model: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


@pytest.mark.parametrize("build", [vgg, residual, nested])
class TestRebuilt:
    def test_it_answers_the_same(self, build: Callable[[], keras.Model]) -> None:
        model = with_random_weights(build())
        rebuilt = to_channels_last(model)
        assert rebuilt.input_shape == (None, 12, 20, 3)
        assert require_same_outputs(run_channels_first(model), rebuilt) < TOLERANCE

    def test_the_layers_stay_the_same(self, build: Callable[[], keras.Model]) -> None:
        model = build()
        rebuilt = to_channels_last(model)
        assert rebuilt.count_params() == model.count_params()
        assert {layer.name for layer in model.layers} <= {layer.name for layer in rebuilt.layers}

    def test_it_is_saved_and_trains(self, build: Callable[[], keras.Model], tmp_path: Any) -> None:
        rebuilt = to_channels_last(build())
        rebuilt.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
        with tf.GradientTape() as tape:
            outputs = tf.nest.flatten(again(tf.random.stateless_normal((2, 12, 20, 3), (0, 0)), training=True))
            loss = sum(tf.reduce_sum(tf.square(output)) for output in outputs)
        assert all(gradient is not None for gradient in tape.gradient(loss, again.trainable_variables))

    def test_it_is_no_longer_channels_first(self, build: Callable[[], keras.Model]) -> None:
        model = build()
        assert is_channels_first(model)
        assert not is_channels_first(to_channels_last(model))


def test_outputs_of_four_dimensions_are_channels_last() -> None:
    _, maps = to_channels_last(residual()).output_shape
    assert maps == (None, 6, 10, 12)


def test_nothing_is_transposed_between_layers_that_can_be_told() -> None:
    assert "Permute" not in kinds(to_channels_last(residual()))


def test_the_features_are_the_last_feature_map() -> None:
    """The transposition before Flatten passes for no feature map."""
    base, name = cut(OpenedModel(to_channels_last(vgg()), "vgg", "", ""), "auto")
    assert (name, base.output_shape) == ("last_pool", (None, 3, 5, 6))


ONE_LAYER = {
    "normalised along the width": layers.BatchNormalization(axis=-1),
    "normalised over everything": layers.LayerNormalization(axis=[1, 2, 3]),
    "softmax along the width": layers.Softmax(),
    "activation along the width": layers.Activation("softmax"),
    "slopes for every place": layers.PReLU(),
    "slopes for every channel": layers.PReLU(shared_axes=[2, 3]),
    "pooled, with its dimensions": layers.GlobalAveragePooling2D(keepdims=True, **FIRST),
    "flattened channels last": layers.Flatten(**FIRST),
    "reshaped to a sequence": layers.Reshape((6, -1)),
    "reshaped to another image": layers.Reshape((3, 16, 10)),
    "height and width exchanged": layers.Permute((1, 3, 2)),
    "dense along the width": layers.Dense(5),
    "rescaled by channel": layers.Rescaling(np.arange(6.0).reshape(6, 1, 1).tolist()),
    "dropped by channel": layers.Dropout(0.5, noise_shape=(None, 6, 1, 1)),
    "mean over height and width": lambda maps: ops.mean(maps, axis=(2, 3)),
    "mean over height": lambda maps: ops.mean(maps, axis=2),
    "joined": lambda maps: ops.concatenate([maps, maps * 2.0], axis=1),
    "the first channels": lambda maps: maps[:, :3],
    "times a constant": lambda maps: maps * np.arange(6, dtype=np.float32).reshape(6, 1, 1),
}


@pytest.mark.parametrize("then", ONE_LAYER.values(), ids=ONE_LAYER)
def test_after_a_convolution(then: Callable[[Any], Any]) -> None:
    images = keras.Input((3, 8, 10))
    maps = then(convolution(6)(images))
    if len(maps.shape) == 4:
        maps = layers.DepthwiseConv2D(2, padding="same", **FIRST)(maps)
    model = with_random_weights(keras.Model(images, maps))
    assert require_same_outputs(run_channels_first(model), to_channels_last(model)) < TOLERANCE


def test_what_normalization_has_learnt_is_kept() -> None:
    normalization = layers.Normalization(axis=1)
    normalization.adapt(np.random.default_rng(0).normal(5, 3, (8, 3, 8, 10)))
    model = keras.Sequential([keras.Input((3, 8, 10)), normalization, convolution(4)])
    assert require_same_outputs(run_channels_first(model), to_channels_last(model)) < TOLERANCE


def test_a_part_that_was_channels_last_stays() -> None:
    images = keras.Input((3, 8, 10))
    maps = layers.Permute((2, 3, 1), name="turned")(convolution(6)(images))
    part = keras.Sequential([keras.Input((8, 10, 6)), layers.Conv2D(4, 3), layers.ReLU()])
    model = keras.Model(images, layers.GlobalAveragePooling2D()(part(maps)))
    rebuilt = to_channels_last(model)
    assert rebuilt.get_layer("turned").output.shape == (None, 8, 10, 6)
    assert require_same_outputs(run_channels_first(model), rebuilt) < TOLERANCE


def test_one_of_keras_2() -> None:
    relu = tf_keras.layers.ReLU()
    images = tf_keras.Input((3, 12, 20))
    maps = relu(tf_keras.layers.BatchNormalization(axis=1)(tf_keras.layers.Conv2D(6, 3, **FIRST)(images)))
    maps = tf.concat([maps, tf.nn.sigmoid(maps)], axis=1)
    model = tf_keras.Model(images, tf_keras.layers.Dense(3)(tf_keras.layers.Flatten(**FIRST)(maps)))
    assert require_same_outputs(run_channels_first(model), to_channels_last(convert(model, LayerNames()))) < TOLERANCE


class TestRecognised:
    def test_channels_last_is_not(self) -> None:
        assert not is_channels_first(keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(2, 3)]))

    def test_grey_images_are(self) -> None:
        assert is_channels_first(keras.Sequential([keras.Input((1, 32, 32)), convolution(2)]))

    def test_no_image_is_not(self) -> None:
        assert not is_channels_first(keras.Sequential([keras.Input((8, 32, 32)), convolution(2)]))


class TestRefused:
    def fails(self, *then: keras.Layer) -> str:
        model = keras.Sequential([keras.Input((3, 8, 10)), convolution(6), *then])
        with pytest.raises(UserError) as error:
            to_channels_last(model)
        return str(error.value)

    def test_every_layer_is_named(self) -> None:
        frames = layers.TimeDistributed(convolution(2), name="frames")
        wide = convolution(3, activation="softmax", name="wide")
        said = self.fails(wide, layers.Reshape((1, 3, 8, 10)), frames)
        assert "frames (TimeDistributed), wide (Conv2D with softmax)" in said

    def test_an_output_in_an_order_of_its_own(self) -> None:
        assert "last" in self.fails(layers.Permute((2, 3, 1), name="last"))
