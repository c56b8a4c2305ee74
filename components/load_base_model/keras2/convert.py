"""A whole model of Keras 2, layer by layer and call by call, in Keras 3."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from graftwork.components.load_base_model.keras2.functions import FUNCTIONS, OPERATIONS
from graftwork.components.load_base_model.keras2.translate import has, translate
from graftwork.components.load_base_model.names import Names
from graftwork.errors import UserError


def convert(model: Any, names: Names) -> keras.Model:
    """Rebuild a functional or sequential model of tf_keras with its weights.

    Its graph is followed call by call, so that a layer or an inner model that is called twice stays one.

    Args:
        model: Of tf_keras; has inputs and outputs.
        names: Gives layers and models the names they can be exported with.

    Returns:
        A functional model with the same layers.

    Raises:
        UserError: It has layers or functions for which Keras 3 has none (all are named), or weights of other shapes.
    """
    missing = {entry for entry in map(_lacks, _parts(model)) if entry}
    if missing:
        facts = {"missing": ", ".join(sorted(missing))}
        raise UserError("the base model uses what Keras 3 does not have", facts)
    return _Conversion(names).model(model)


class _Conversion:
    """One conversion; layers and inner models that are met again are the same again."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._converted: dict[int, Any] = {}

    def model(self, old: Any) -> keras.Model:
        tensors: dict[int, Any] = {}
        for tensor in old.inputs:
            name = self._names.exportable(tensor.name.partition(":")[0])
            tensors[id(tensor)] = keras.Input(batch_shape=tuple(tensor.shape), dtype=tensor.dtype.name, name=name)
        for depth in sorted(old._nodes_by_depth, reverse=True):
            for node in old._nodes_by_depth[depth]:
                if not node.is_input:
                    outputs = self._call(node, tensors)
                    tensors |= zip(map(id, tf.nest.flatten(node.outputs)), tf.nest.flatten(outputs), strict=True)
        inputs, outputs = ([tensors[id(tensor)] for tensor in side] for side in (old.inputs, old.outputs))
        return keras.Model(
            *(side if len(side) > 1 else side[0] for side in (inputs, outputs)), name=self._names.exportable(old.name)
        )

    def _call(self, node: Any, tensors: dict[int, Any]) -> Any:
        def argument(value: Any) -> Any:
            if id(value) in tensors:
                return tensors[id(value)]
            return value.numpy() if hasattr(value, "numpy") else value

        args, kwargs = tf.nest.map_structure(argument, (node.call_args, node.call_kwargs))
        function = _function_name(node.layer)
        if function is not None:
            return FUNCTIONS[function](*_with_constants(node.layer, args), **kwargs)
        layer = self._layer(node.layer)
        outputs = layer(*args, **{name: value for name, value in kwargs.items() if value is not None})
        if not hasattr(node.layer, "_nodes_by_depth"):
            _take_weights(layer, node.layer)
        return outputs

    def _layer(self, old: Any) -> Any:
        if id(old) not in self._converted:
            inner = hasattr(old, "_nodes_by_depth")
            self._converted[id(old)] = self.model(old) if inner else translate(old, self._names.exportable(old.name))
        return self._converted[id(old)]


def _parts(model: Any) -> Iterator[Any]:
    """Yield every layer of a model and of the models inside it, but for inputs."""
    for layer in model.layers:
        if hasattr(layer, "_nodes_by_depth"):
            yield from _parts(layer)
        elif type(layer).__name__ != "InputLayer":
            yield layer


def _lacks(layer: Any) -> str | None:
    """Return the name of what Keras 3 would need for a layer and does not have."""
    function = _function_name(layer)
    if function is not None:
        return None if function in FUNCTIONS else f"tf.{function}"
    return None if has(layer) else type(layer).__name__


def _function_name(layer: Any) -> str | None:
    """Return the public name of the TensorFlow function that a layer stands for; None if it is a real layer."""
    kind = type(layer).__name__
    if kind in ("TFOpLambda", "SlicingOpLambda"):
        return str(layer.get_config()["function"]).removeprefix("compat.v1.")
    if kind == "TensorFlowOpLayer":
        return OPERATIONS.get(layer.node_def.op, f"raw_ops.{layer.node_def.op}")
    return None


def _with_constants(layer: Any, args: Sequence[Any]) -> list[Any]:
    """Return the arguments of a function; a TensorFlowOpLayer keeps those that are no tensors apart."""
    if type(layer).__name__ != "TensorFlowOpLayer":
        return list(args)
    given = tf.nest.flatten(args)
    for place, value in sorted(layer.constants.items()):
        given.insert(int(place), np.asarray(value).tolist())
    keep = layer.node_def.attr["keep_dims"].b
    return [*given, True] if keep else given


def _take_weights(layer: keras.layers.Layer, old: Any) -> None:
    if isinstance(layer, keras.layers.Normalization):
        return  # its weights became arguments
    weights = old.get_weights()
    try:
        layer.set_weights(weights)
        return
    except ValueError:
        pass
    facts = {
        "layer": f"{layer.name} ({type(layer).__name__})",
        "in the file": ", ".join(str(weight.shape) for weight in weights) or "none",
        "in Keras 3": ", ".join(str(tuple(weight.shape)) for weight in layer.weights) or "none",
    }
    raise UserError("weights of the base model do not fit", facts)
