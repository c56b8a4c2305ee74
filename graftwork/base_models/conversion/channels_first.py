"""Channels-first models, (n, channels, height, width), rebuilt to take channels last, (n, height, width, channels).

The graph is followed call by call. Layers that have an order or an axis are told the new one; any other that axes
matter to is put between two transpositions. So every tensor of four dimensions is channels last, but for those that the
network itself has permuted or reshaped.
"""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from graftwork.errors import UserError
from graftwork.networks.graph import Node, calls, nested_calls, unpacked
from graftwork.networks.layers import leaf_layers, take_weights

_TO_FIRST, _TO_LAST = (3, 1, 2), (2, 3, 1)
_MOVED = (0, 3, 1, 2)
"""Where each axis of the old order is in the new one."""
_SAME_ORDER = ([1], [2, 3], [1, 2, 3])
"""Old axes whose removal leaves both orders alike."""
_ACTIVATIONS_ON_AN_AXIS = {"glu", "log_softmax", "softmax", "sparsemax"}
_RESHAPES = (keras.layers.Flatten, keras.layers.Permute, keras.layers.Reshape)

# Names of layers, and of the operations of keras.ops between them.
_ON_AN_AXIS = {
    *("BatchNormalization", "GroupNormalization", "LayerNormalization", "Normalization"),
    *("UnitNormalization", "Softmax", "Concatenate", "Max", "Mean", "Min", "Sum"),
}
_ELEMENTWISE = {
    *("Activation", "ELU", "LeakyReLU", "ReLU", "Elu", "Gelu", "HardSigmoid", "HardSilu", "LeakyRelu", "Relu", "Relu6"),
    *("Selu", "Sigmoid", "Silu", "Softplus", "Softsign", "Tanh", "AlphaDropout", "Dropout", "GaussianDropout"),
    *("GaussianNoise", "ActivityRegularization", "Identity", "Absolute", "Cast", "Clip", "Exp", "Negative", "Sqrt"),
    *("Square", "Add", "Average", "Divide", "Maximum", "Minimum", "Multiply", "Power", "Subtract", "TrueDivide"),
    "CustomScaleLayer",  # of Inception ResNet V2
}


CHANGE = "channels first to channels last"
"""What happens to such a model, in words."""


def is_channels_first(model: keras.Model) -> bool:
    """Return whether a model takes one image (n, channels, height, width), grey or RGB, and convolves it like that."""
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] not in (1, 3):
        return False
    return any("Conv" in type(layer).__name__ and _speaks_of(layer, "channels_first") for layer in leaf_layers(model))


def to_channels_last(model: keras.Model) -> keras.Model:
    """Rebuild a channels-first model so that it takes channels last and computes the same.

    Args:
        model: Functional or Sequential.

    Returns:
        A functional model of the same layers with the same weights, and a few that transpose. Its inputs and outputs of
        four dimensions are (n, height, width, channels), the others are as they were.

    Raises:
        UserError: It has layers that cannot be told the new order; all are named.
    """
    refused = sorted(set(_refused(model)))
    if refused:
        next = "cut the model before them where it was made:  keras.Model(model.input, model.get_layer(...).output)"
        facts = {"layers": ", ".join(refused)}
        raise UserError("the base model is channels-first, and cannot be rebuilt channels-last", facts, next)
    return _Conversion(model).model(model)


def run_channels_first(model: Any) -> Callable[[Any], list[Any]]:
    """Return a function that asks a channels-first model what `to_channels_last` of it has to answer.

    TensorFlow convolves channels first on GPUs, and on CPUs with oneDNN; elsewhere XLA does. Where there are as many
    channels as columns, Keras 3 adds a bias along the columns: what it answers there, no model rebuilt will.

    Args:
        model: Of Keras 3 or of Keras 2.

    Returns:
        From images (n, height, width, channels) to the list of outputs; those of four dimensions channels last.
    """

    def answers(images: Any) -> list[Any]:
        outputs = tf.nest.flatten(model(tf.transpose(images, (0, *_TO_FIRST)), training=False))
        return [tf.transpose(output, (0, *_TO_LAST)) if output.shape.rank == 4 else output for output in outputs]

    def run(images: Any) -> list[Any]:
        order = keras.config.image_data_format()
        keras.config.set_image_data_format("channels_first")  # Rescaling looks here for where the channels are
        try:
            return answers(images)
        except (tf.errors.UnimplementedError, tf.errors.InvalidArgumentError):
            return list(tf.function(answers, jit_compile=True)(images))
        finally:
            keras.config.set_image_data_format(order)

    return run


class _Tensors:
    """The tensors of a new model, by the old ones they stand for, in one order or in both."""

    def __init__(self, unused: Callable[[str], str]) -> None:
        self._unused = unused
        self._first: dict[int, Any] = {}
        self._last: dict[int, Any] = {}

    def keep(self, old: Any, new: Any, moved: bool) -> None:
        (self._last if moved and _is_image(old) else self._first)[id(old)] = new

    def keep_all(self, old: list[Any], new: Any, moved: bool) -> None:
        for old_tensor, new_tensor in zip(old, keras.tree.flatten(new), strict=True):
            self.keep(old_tensor, new_tensor, moved)

    def is_moved(self, old: Any) -> bool:
        """Return whether a tensor is an image in the new order."""
        return id(old) not in self._first

    def first(self, old: Any) -> Any:
        return self._in(self._first, self._last, old, "channels_first", _TO_FIRST)

    def last(self, old: Any) -> Any:
        """Return a tensor in the new order; one that has not four dimensions knows no order."""
        order = self._last if _is_image(old) else self._first
        return self._in(order, self._first, old, "channels_last", _TO_LAST)

    def _in(self, order: dict[int, Any], other: dict[int, Any], old: Any, suffix: str, axes: tuple[int, ...]) -> Any:
        if id(old) not in order:
            permute = keras.layers.Permute(axes, name=self._unused(f"{_name(old)}_{suffix}"))
            order[id(old)] = permute(other[id(old)])
        return order[id(old)]


class _Conversion:
    """One conversion; layers and inner models that are met again are the same again."""

    def __init__(self, model: keras.Model) -> None:
        self._names = {layer.name for layer in model._flatten_layers()}
        self._converted: dict[tuple[int, bool], Any] = {}

    def model(self, old: keras.Model) -> keras.Model:
        tensors = _Tensors(self._unused)
        for tensor in old.inputs:
            tensors.keep(tensor, _input(tensor, _name(tensor)), moved=True)
        for node in calls(old):
            outputs, moved = self._call(node, tensors)
            tensors.keep_all(node.outputs, outputs, moved)
        for output in old.outputs:
            if _is_image(output) and not tensors.is_moved(output):
                facts = {"layer": _name(output)}
                raise UserError("the channels-first base model puts the axes of its output into another order", facts)
        inputs = keras.tree.map_structure(tensors.last, getattr(old, "_inputs_struct", old.inputs))
        outputs = keras.tree.map_structure(tensors.last, getattr(old, "_outputs_struct", old.outputs))
        return keras.Model(unpacked(inputs), unpacked(outputs), name=old.name)

    def _call(self, node: Node, tensors: _Tensors) -> tuple[Any, bool]:
        """Return what a call gives in the new model, and whether its axes are moved."""
        moved = any(map(tensors.is_moved, node.inputs))
        if _convolves(node) or (moved and _can_be_told(node)):
            return self._apply(node, tensors.last, moved=True), True
        if isinstance(node.layer, _RESHAPES):
            return self._reshape(node, tensors, moved)
        if moved:
            return self._between_transpositions(node)(list(map(tensors.last, _inputs(node)))), True
        return self._apply(node, tensors.first, moved=False), False

    def _reshape(self, node: Node, tensors: _Tensors, moved: bool) -> tuple[Any, bool]:
        old, given, shape = node.layer, node.inputs[0], tuple(node.outputs[0].shape[1:])
        if not moved and isinstance(old, keras.layers.Reshape) and len(shape) == 3 and shape[1:] == (1, 1):
            return self._apply(node, tensors.first, moved=True), True  # a weight for each channel
        if not moved:
            return self._apply(node, tensors.first, moved=False), False
        image = tensors.last(given)
        if isinstance(old, keras.layers.Permute):
            return self._apply(node, tensors.last, moved=True), False
        # By way of three dimensions: an image of the old order would pass for a feature map.
        pixels = keras.layers.Reshape((-1, image.shape[-1]), name=self._unused(f"{old.name}_pixels"))(image)
        channels = keras.layers.Permute((2, 1), name=self._unused(f"{old.name}_channels"))(pixels)
        return self._apply(node, lambda _: channels, moved=False), False

    def _between_transpositions(self, node: Node) -> keras.Model:
        """Return a model that takes and gives the new order, and makes one call in the old one."""
        tensors = _Tensors(self._unused)
        inputs = [_input(tensor, self._unused(f"{_name(tensor)}_")) for tensor in _inputs(node)]
        tensors.keep_all(_inputs(node), inputs, moved=True)
        tensors.keep_all(node.outputs, self._apply(node, tensors.first, moved=False), moved=False)
        name = self._unused(f"{node.layer.name}_as_it_was")
        return keras.Model(inputs, unpacked(list(map(tensors.last, node.outputs))), name=name)

    def _apply(self, node: Node, tensor: Callable[[Any], Any], moved: bool) -> Any:
        old, key = node.layer, (id(node.layer), moved)
        if key not in self._converted:
            self._converted[key] = self._new(old, moved)
        args, kwargs = node.arguments.convert(
            lambda value: tensor(value) if isinstance(value, keras.KerasTensor) else value
        )
        outputs = self._converted[key](*args, **kwargs)
        if isinstance(old, keras.Layer) and not isinstance(old, keras.Model):
            _set_weights(self._converted[key], old, moved)
        return outputs

    def _new(self, old: Any, moved: bool) -> Any:
        if isinstance(old, keras.Model):
            return self.model(old) if moved else _copy(old)
        if isinstance(old, keras.Layer):
            return type(old).from_config(_config(old, moved))
        return type(old).from_config(_config(old, moved)) if moved and _kind(old) in _ON_AN_AXIS else old

    def _unused(self, name: str) -> str:
        while name in self._names:
            name += "_"
        self._names.add(name)
        return name


def _refused(model: keras.Model) -> Iterator[str]:
    for node in nested_calls(model):
        layer = node.layer
        if _convolves(node):
            if _activation(layer) in _ACTIVATIONS_ON_AN_AXIS:  # along the width
                yield f"{layer.name} ({_kind(layer)} with {_activation(layer)})"
        elif _speaks_of(layer, "channels_first") and not ("Pooling" in _kind(layer) or _kind(layer) == "Flatten"):
            yield f"{layer.name} ({_kind(layer)})"


def _convolves(node: Node) -> bool:
    """Return whether a call takes an image in the old order because its layer says so."""
    layer = node.layer
    if not all(map(_is_image, node.inputs)):
        return isinstance(layer, keras.Model) and _speaks_of(layer, "channels_first")
    if isinstance(layer, keras.Model):
        return _speaks_of(layer, "channels_first") or not _speaks_of(layer, "channels_last")
    return "channels_first" in (getattr(layer, "data_format", None), _spectral_data_format(layer))


def _can_be_told(node: Node) -> bool:
    """Return whether the layer of a call can do on moved axes what it does on those of the old order."""
    layer, kind = node.layer, _kind(node.layer)
    arguments = keras.tree.flatten((node.arguments.args, node.arguments.kwargs))
    if not all(_is_image(value) if isinstance(value, keras.KerasTensor) else _is_plain(value) for value in arguments):
        return False
    if kind in _ELEMENTWISE:
        return _activation(layer) not in _ACTIVATIONS_ON_AN_AXIS
    if kind in _ON_AN_AXIS and layer.axis is not None:
        axes = sorted(axis % 4 for axis in _listed(layer.axis))
        ordered = len(axes) == 1 or not getattr(layer, "weights", None)
        return ordered and (_is_image(node.outputs[0]) or axes in _SAME_ORDER)
    if kind == "Rescaling":
        return all(np.ndim(value) == 0 or _of_channels(value, node) for value in (layer.scale, layer.offset))
    return kind == "PReLU"


def _config(layer: Any, moved: bool) -> dict[str, Any]:
    config: dict[str, Any] = layer.get_config()
    if not moved:
        return config
    config = _told(config)
    if _kind(layer) in _ON_AN_AXIS:
        config["axis"] = [_MOVED[axis % 4] for axis in _listed(layer.axis)]
        if isinstance(layer.axis, int):
            config["axis"] = config["axis"][0]
    elif _kind(layer) == "PReLU" and layer.shared_axes:
        config["shared_axes"] = [_MOVED[axis] for axis in layer.shared_axes]
    elif _kind(layer) == "Permute":
        config["dims"] = [_MOVED[axis] for axis in layer.dims]
    elif _kind(layer) == "Reshape":
        config["target_shape"] = (1, 1, -1)
    elif config.get("noise_shape"):
        config["noise_shape"] = [layer.noise_shape[axis] for axis in (0, *_TO_LAST)]
    elif _kind(layer) == "Rescaling":
        config |= {key: np.ravel(getattr(layer, key)).tolist() for key in ("scale", "offset")}
    return config


def _told(config: Any) -> Any:
    """Return a configuration with the new order wherever it names one."""
    if isinstance(config, list):
        return [_told(item) for item in config]
    if not isinstance(config, dict):
        return config
    told = {key: "channels_last" if key == "data_format" else _told(value) for key, value in config.items()}
    told.pop("build_config", None)  # the old shape
    return told


def _set_weights(layer: keras.Layer, old: keras.Layer, moved: bool) -> None:
    weights = old.get_weights()
    if moved and _kind(old) == "PReLU":
        weights = [np.moveaxis(weight, 0, -1) for weight in weights]
    layer.set_weights(weights)
    if isinstance(layer, keras.layers.Normalization):
        layer.finalize_state()  # it computes with what it derives from its weights


def _copy(model: keras.Model) -> keras.Model:
    copy = keras.models.clone_model(model)
    take_weights(copy, model.get_weights())
    return copy


def _input(tensor: Any, name: str) -> Any:
    shape = tuple(tensor.shape)
    if _is_image(tensor):
        shape = (shape[0], *(shape[axis] for axis in _TO_LAST))
    return keras.Input(batch_shape=shape, dtype=tensor.dtype, name=name)


def _inputs(node: Node) -> list[Any]:
    """Return the tensors that go into a call, each once."""
    return list({id(tensor): tensor for tensor in node.inputs}.values())


def _speaks_of(layer: Any, order: str) -> bool:
    """Return whether a layer, or one inside it, has an order of axes."""
    if isinstance(layer, keras.Model):
        return any(_speaks_of(inner, order) for inner in leaf_layers(layer))
    inner = [getattr(layer, name, None) for name in ("layer", "cell", "forward_layer", "backward_layer")]
    return getattr(layer, "data_format", None) == order or any(_speaks_of(each, order) for each in inner if each)


def _spectral_data_format(layer: Any) -> Any:
    return layer.layer.data_format if _kind(layer) == "SpectralNormalization" else None


def _activation(layer: Any) -> str:
    activation = getattr(layer, "activation", None)
    return str(getattr(activation, "__name__", activation))


def _of_channels(value: Any, node: Node) -> bool:
    channels = node.inputs[0].shape[1]
    return np.shape(value) in ((channels,), (channels, 1, 1))


def _is_image(tensor: Any) -> bool:
    return len(tensor.shape) == 4


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _name(tensor: Any) -> str:
    return str(tensor._keras_history.operation.name)


def _kind(layer: Any) -> str:
    return type(layer).__name__
