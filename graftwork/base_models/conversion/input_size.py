"""A convolutional base at another input size, with the same weights."""

from typing import Any

import keras
import numpy as np

from graftwork.base_models.opened import OpenedModel
from graftwork.errors import UserError, in_one_line
from graftwork.networks.layers import take_weights


def at_input_size(base: keras.Model, size: int, opened: OpenedModel) -> keras.Model:
    """Return a base that takes images of another size.

    Args:
        base: A functional model of one image input.
        size: Height and width in pixels.
        opened: Where it comes from, for messages.

    Raises:
        UserError: A layer's weights depend on the input size, as those of a Dense layer after Flatten do.
    """
    config = base.get_config()
    _set_input_shape(config, (None, size, size, base.input_shape[-1]))
    try:
        rebuilt = type(base).from_config(config)
        take_weights(rebuilt, base.get_weights())
        # Some layers, as LSTM, find out when they are called.
        rebuilt(keras.tree.map_structure(_one_black_image, rebuilt.input), training=False)
    except Exception as error:  # whatever layer finds the new size unfit
        saved_at = " x ".join(str(side) for side in base.input_shape[1:3])
        raise UserError(
            f"the base model cannot be rebuilt at {size} x {size} pixels",
            {"model": opened.summary, "saved at": saved_at, "why": in_one_line(error)},
            next="leave input_size out, or cut the model before the layers that need its size (feature_layer)",
        ) from error
    return rebuilt


def _one_black_image(tensor: keras.KerasTensor) -> np.ndarray:
    return np.zeros((1, *tensor.shape[1:]), tensor.dtype)


def _set_input_shape(config: dict[str, Any], shape: tuple[int | None, ...]) -> None:
    for layer in config["layers"]:
        inner = layer["config"]
        if layer["class_name"] == "InputLayer":
            inner["batch_shape"] = shape
        elif "layers" in inner:  # a model inside: its maps may have any height and width, its channels stay
            _set_free_size(inner)


def _set_free_size(config: dict[str, Any]) -> None:
    config.pop("build_input_shape", None)
    for layer in config["layers"]:
        inner = layer["config"]
        shape = inner.get("batch_shape") if layer["class_name"] == "InputLayer" else None
        if shape is not None and len(shape) == 4:
            inner["batch_shape"] = (None, None, None, shape[3])
        elif "layers" in inner:
            _set_free_size(inner)
        layer.pop("build_config", None)
