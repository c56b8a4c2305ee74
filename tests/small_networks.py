"""Small networks with something in each layer to get wrong, and what they answer."""

import keras
import numpy as np

from graftwork.networks.layers import leaf_layers

layers = keras.layers
EXACT = 1e-4
"""Largest difference that folding may make, of outputs near 1."""


def pixels(count: int = 4, size: int = 16) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, (count, size, size, 3)).astype(np.float32)


def with_random_statistics(model: keras.Model) -> keras.Model:
    """Give batch normalisation something to do: a fresh one is the identity."""
    random = np.random.default_rng(1)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return model


def conv(values: keras.KerasTensor, filters: int, **settings: object) -> keras.KerasTensor:
    values = layers.Conv2D(filters, 3, padding="same", use_bias=False, **settings)(values)
    return layers.ReLU(6)(layers.BatchNormalization()(values))


def residual_network() -> keras.Model:
    """A stem, two residual blocks, a branch that joins late, dropout, and a dense layer."""
    image = keras.Input((16, 16, 3))
    stem = conv(image, 8, name="stem", strides=2)
    first = layers.Add(name="first")([conv(conv(stem, 16, name="a1"), 8, name="a2"), stem])
    second = layers.Add(name="second")([conv(conv(first, 16, name="b1"), 8, name="b2"), first])
    joined = layers.Concatenate(name="joined")([second, layers.MaxPooling2D(3, 1, "same")(stem)])
    outputs = layers.Dense(5, name="logits")(layers.Dropout(0.5, name="dropout")(layers.Flatten()(joined)))
    return with_random_statistics(keras.Model(image, outputs))


def trained_from(model: keras.Model, *names: str) -> keras.Model:
    for layer in model.layers:
        layer.trainable = layer.name in names
    return model


def outputs(model: keras.Model, values: np.ndarray) -> np.ndarray:
    return np.asarray(model(values, training=False))


def network_with(*top: keras.Layer, size: int = 16) -> keras.Model:
    """A convolution and a residual block with squeeze and excitation, then a top."""
    pixels = keras.Input((size, size, 3))
    maps = layers.Conv2D(8, 3, strides=2, padding="same", name="stem")(pixels)
    branch = layers.Conv2D(8, 3, padding="same", name="block")(maps)
    squeezed = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(branch)
    branch = layers.Multiply(name="excite")([branch, layers.Conv2D(8, 1, activation="sigmoid")(squeezed)])
    outputs = layers.Add(name="join")([maps, branch])
    for layer in top:
        outputs = layer(outputs)
    return keras.Model(pixels, outputs)


def with_other_names(model: keras.Model) -> keras.Model:
    for number, layer in enumerate(leaf_layers(model)):
        layer.name = f"layer{number}"
    return model
