"""A whole model of Keras 2, layer by layer and call by call, in Keras 3."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from graftwork.base_models.conversion.keras2_functions import FUNCTIONS, OPERATIONS
from graftwork.base_models.conversion.layer_names import LayerNames
from graftwork.base_models.formats.keras2.precision import without_half_precision
from graftwork.base_models.formats.keras2.translate import has, inner_layers, translate
from graftwork.errors import UserError


def convert(model: Any, names: LayerNames) -> keras.Model:
    """Rebuild a functional or sequential model of tf_keras with its weights.

    Its graph is followed call by call, so that a layer or an inner model that is called twice stays one, and that what
    no output depends on is left out, as what computes a loss of `add_loss`.

    Args:
        model: Of tf_keras; has inputs and outputs.
        names: Gives layers and models the names they can be exported with.

    Returns:
        A functional model with the same layers, in float32 where they had less precision.

    Raises:
        UserError: It has layers or functions for which Keras 3 has none (all are named), or weights of other shapes.
    """
    missing = {entry for entry in map(_lacks, layers_of(model)) if entry}
    if missing:
        facts = {"missing": ", ".join(sorted(missing))}
        raise UserError("the base model uses what Keras 3 does not have", facts)
    return _Conversion(names).model(model)


def layers_of(model: Any) -> Iterator[Any]:
    """Yield every layer of tf_keras that the outputs of a model depend on, and those inside of them, but for models."""
    for node in _calls(model):
        for layer in _with_inner(node.layer):
            if _is_model(layer):
                yield from layers_of(layer)
            else:
                yield layer


class _Conversion:
    """One conversion; layers and inner models that are met again are the same again."""

    def __init__(self, names: LayerNames) -> None:
        self._names = names
        self._converted: dict[int, Any] = {}

    def model(self, old: Any) -> keras.Model:
        tensors: dict[int, Any] = {}
        for tensor in old.inputs:
            name = self._names.exportable(tensor.name.partition(":")[0])
            dtype = without_half_precision(tensor.dtype.name)
            tensors[id(tensor)] = keras.Input(batch_shape=tuple(tensor.shape), dtype=dtype, name=name)
        for node in _calls(old):
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
        if not any(map(_is_model, _with_inner(node.layer))):  # a model inside has taken its own
            _take_weights(layer, node.layer)
        return outputs

    def _layer(self, old: Any) -> Any:
        if id(old) not in self._converted:
            name = self._names.exportable(old.name)
            self._converted[id(old)] = self.model(old) if _is_model(old) else translate(old, name, self._layer)
        return self._converted[id(old)]


def _calls(model: Any) -> list[Any]:
    """Return the calls that the outputs of a model depend on, in the order of computation."""
    needed = set(map(id, model.outputs))
    calls = []
    for depth in sorted(model._nodes_by_depth):
        for node in model._nodes_by_depth[depth]:
            if not node.is_input and needed & set(map(id, tf.nest.flatten(node.outputs))):
                needed |= set(map(id, node.keras_inputs))
                calls.append(node)
    return calls[::-1]


def _with_inner(layer: Any) -> Iterator[Any]:
    """Yield a layer and those that it is made of; of a model, the model alone."""
    yield layer
    if not _is_model(layer) and _function_name(layer) is None:
        for inner in tf.nest.flatten(inner_layers(layer)):
            yield from _with_inner(inner)


def _is_model(layer: Any) -> bool:
    return hasattr(layer, "_nodes_by_depth")


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
    except ValueError:
        facts = {
            "layer": f"{layer.name} ({type(layer).__name__})",
            "in the file": ", ".join(str(weight.shape) for weight in weights) or "none",
            "in Keras 3": ", ".join(str(tuple(weight.shape)) for weight in layer.weights) or "none",
        }
        raise UserError("weights of the base model do not fit", facts) from None
