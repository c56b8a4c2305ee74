"""The two networks, as saved files and as Keras models."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from graftwork.components.fine_tune.layers import count_of, trainable_layers
from graftwork.config import Layers

SIDE = 96
CLASSES = 10
_LAST_FEATURES = {"lite0": "head_relu"}
_SEED = 0


def save(name: str, lite0: Path, path: Path) -> None:
    """Write a network as the recipes get it.

    Args:
        name: "lite0": EfficientNet-Lite0 with its classifier, at 96 pixels. "vgg16" and "vgg16-224": VGG16 without its
            classifier, at 96 and 224 pixels; "vgg16-224-top": with it. VGG16 has random weights.
        lite0: The demo's file, at 224 pixels.
        path: The .keras file to write.
    """
    if name == "lite0":
        saved = keras.saving.load_model(lite0)
        network = keras.models.clone_model(saved, input_tensors=keras.Input((SIDE, SIDE, 3), name="pixels"))
        network.set_weights(saved.get_weights())
    else:
        keras.utils.set_random_seed(_SEED)
        side = 224 if "224" in name else SIDE
        network = keras.applications.VGG16(
            include_top=name.endswith("top"), weights=None, input_shape=(side, side, 3), name="vgg16"
        )
    network.save(path)


def whole(path: Path) -> keras.Model:
    """Open a network as it was saved."""
    return keras.saving.load_model(path, compile=False)


def base(name: str, path: Path) -> keras.Model:
    """Open a network and leave its classifier away: preprocessed pixels to a feature map."""
    network = whole(path)
    last = _LAST_FEATURES.get(name)
    return keras.Model(network.input, network.get_layer(last).output, name="base") if last else network


def preprocess(name: str, pixels: Any) -> Any:
    """Return pixels in [0, 255] as the network wants them: arrays or tensors (n, height, width, 3)."""
    if name.startswith("vgg16"):
        return keras.applications.vgg16.preprocess_input(pixels)
    return pixels  # its preprocessing is inside


def last_layers(network: keras.Model, count: Layers) -> list[keras.Layer]:
    """Return the last layers as graftwork counts them."""
    layers = trainable_layers(network)
    return layers[len(layers) - count_of(count, len(layers)) :]


def score(predicted: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Return the share of rows (n, classes) whose largest value is that of the label (n,), as an evaluation has it."""
    return {"test_accuracy": float((predicted.argmax(axis=1) == labels).mean())}
