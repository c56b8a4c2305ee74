"""The weights of Keras 1 in the layouts that Keras 2 has for them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from graftwork.base_models.formats.hdf5 import text
from graftwork.base_models.formats.keras1.configuration import (
    CONVOLUTIONS,
    MODELS,
    TURNED,
    Layer,
    Network,
    leaves,
)
from graftwork.errors import UserError


def is_theano(file: Any) -> bool:
    """Return whether Theano computed the model: its names of weights lack the ":0" that TensorFlow's have."""
    if "backend" in file.attrs:
        return text(file.attrs["backend"]) == "theano"
    group = file["model_weights"]
    names = [text(name) for layer in group.values() for name in layer.attrs.get("weight_names", [])]
    return not any(re.search(r":\d+$", name) for name in names)


def read_weights(group: Any, root: Layer) -> None:
    """Give every layer its weights as they are in the file: Keras 1 goes by their order, as its names may repeat."""
    names = [text(name) for name in group.attrs["layer_names"]]
    if len(names) != len(root.inside):
        facts: dict[str, object] = {"layers": len(root.inside), "layers whose weights are in the file": len(names)}
        raise UserError("the base model's weights do not fit its layers", facts)
    for name, layer in zip(names, root.inside, strict=True):
        found = [text(weight) for weight in group[name].attrs["weight_names"]] if name in group else []
        missing = [weight for weight in found if weight not in group[name]]
        inside = list(leaves(layer))
        expected = sum(sum(leaf.counts) for leaf in inside)
        if missing or len(found) != expected:
            facts = {
                "layer": layer.label,
                "weights": expected,
                "in the file": ", ".join(weight for weight in found if weight not in missing) or "none",
            }
            raise UserError("the base model's file lacks weights", facts, "copy or download it again")
        weights = iter([group[name][weight][()] for weight in found])
        for trained in (True, False):  # of a model inside, first all that are trained
            for leaf in inside:
                leaf.weights += [next(weights) for _ in range(leaf.counts[0 if trained else 1])]


def arranged(layer: Layer, channels_first: bool, theano: bool) -> list[np.ndarray]:
    """Return a layer's weights in the layout that Keras 2 has for channels-last maps."""
    weights = list(layer.weights)
    if layer.kind == "PReLU" and channels_first and layer.given.rank == 4:
        return [weights[0].transpose(1, 2, 0)]
    if layer.kind not in CONVOLUTIONS:
        return weights
    for number in range(2 if layer.kind == "SeparableConvolution2D" else 1):
        kernel = weights[number].transpose(2, 3, 1, 0) if channels_first else weights[number]
        kernel = kernel[::-1, ::-1] if theano else kernel  # Theano convolves, TensorFlow correlates
        weights[number] = kernel.transpose(0, 1, 3, 2) if layer.kind == "Deconvolution2D" else kernel
    return weights


def built_layers(model: Layer, built: Any) -> Iterator[tuple[Layer, Any, Any]]:
    """Yield every layer, the built model that it is in, and the built layer."""
    for layer in model.inside:
        inner = built.get_layer(layer.name)
        if layer.kind in MODELS:
            yield from built_layers(layer, inner)
        else:
            yield layer, built, inner


def give_weights(layer: Layer, parent: Any, built: Any) -> None:
    """Set the weights of a built layer, in the order of the features that it takes now.

    Raises:
        UserError: They do not fit.
    """
    weights = layer.weights
    if layer.given.flatten and layer.kind in TURNED:
        rows, columns, channels = parent.get_layer(layer.given.flatten).input_shape[1:]
        order = np.arange(rows * columns * channels).reshape(channels, rows, columns).transpose(1, 2, 0).ravel()
        turned = 1 if layer.kind == "Dense" else len(weights)  # not its bias
        weights = [
            weight[order] if number < turned and len(weight) == len(order) else weight
            for number, weight in enumerate(weights)
        ]
    expected, found = [tuple(weight.shape) for weight in built.weights], [weight.shape for weight in weights]
    if found != expected:
        facts = {"layer": layer.label, "in the file": found, "expected": expected}
        raise UserError("the base model's weights do not fit its layers", facts)
    built.set_weights(weights)


def differs(layer: Layer, built: Any, network: Network, theano: bool) -> str | None:
    """Return why a layer would answer differently now; None if it does not."""
    if layer.kind == "Deconvolution2D":
        was = network.shape(layer.old["output_shape"])[1:3]
        if was != list(built.output_shape[1:3]):
            return f"it made maps of {was} pixels, and would make some of {list(built.output_shape[1:3])} now"
    if theano and layer.old.get("border_mode") == "same":
        at = built.get_output_shape_at if layer.kind == "Deconvolution2D" else built.get_input_shape_at
        sizes = {tuple(at(call)[1:3]) for call in range(len(built._inbound_nodes))}
        if any(_borders(layer.old, size) for size in sizes):
            return "at these sizes Theano laid the border of 'same' in another way"
    return None


def _borders(old: Mapping[str, Any], size: tuple[int | None, ...]) -> bool:
    """Return whether Theano and TensorFlow put different borders before the first row or column of 'same'."""
    pooling = "pool_size" in old
    windows = old["pool_size"] if pooling else (old["nb_row"], old["nb_col"])
    strides = old["strides"] if pooling else old["subsample"]
    for side, window, stride, rate in zip(size, windows, strides, old.get("atrous_rate", (1, 1)), strict=True):
        reach = (window - 1) * rate + 1
        theano = reach // 2
        if pooling:
            theano = reach - 2 if reach > 2 and reach % 2 else reach - 1
        tensorflow = (reach - 1) // 2 if stride == 1 else -1  # of maps of any size, in steps: now this, now that
        if side is not None:
            tensorflow = max((-(-side // stride) - 1) * stride + reach - side, 0) // 2
        if theano != tensorflow:
            return True
    return False
