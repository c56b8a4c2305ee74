"""TensorFlow functions that stand between the layers of a Keras 2 model, as operations of Keras 3.

Keras 2 keeps a function called on a layer's output as a layer of its own (TFOpLambda), by the function's public name.
Each entry here takes the arguments that the function has in TensorFlow.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

Function = Callable[..., Any]


def _unary(operation: Function) -> Function:
    return lambda x, name=None: operation(x)


def _binary(operation: Function) -> Function:
    return lambda x, y, name=None: operation(*_alike(x, y))


def _alike(x: Any, y: Any) -> tuple[Any, Any]:
    """Return both with constants as arrays of the other's type."""
    tensor = x if hasattr(x, "dtype") else y
    x, y = (np.asarray(value, tensor.dtype) if isinstance(value, (list, tuple)) else value for value in (x, y))
    return x, y


def _reduction(operation: Function) -> Function:
    return lambda input_tensor, axis=None, keepdims=False, name=None: operation(
        input_tensor, axis=_axes(axis), keepdims=keepdims
    )


def _axes(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, list) else axis


def _concat(values: Any, axis: int, name: str | None = None) -> Any:
    return ops.concatenate(values, axis=axis)


def _stack(values: Any, axis: int = 0, name: str | None = None) -> Any:
    return ops.stack(values, axis=axis)


def _reshape(tensor: Any, shape: Any, name: str | None = None) -> Any:
    return ops.reshape(tensor, tuple(shape))


def _transpose(a: Any, perm: Any = None, conjugate: bool = False, name: str | None = None) -> Any:
    return ops.transpose(a, axes=perm)


def _expand_dims(input: Any, axis: int, name: str | None = None) -> Any:
    return ops.expand_dims(input, axis)


def _squeeze(input: Any, axis: Any = None, name: str | None = None) -> Any:
    return ops.squeeze(input, axis=_axes(axis))


def _cast(x: Any, dtype: Any, name: str | None = None) -> Any:
    return ops.cast(x, getattr(dtype, "name", dtype))


def _clip(t: Any, clip_value_min: Any, clip_value_max: Any, name: str | None = None) -> Any:
    return ops.clip(t, clip_value_min, clip_value_max)


def _softmax(logits: Any, axis: int | None = None, name: str | None = None) -> Any:
    return ops.softmax(logits, axis=-1 if axis is None else axis)


def _leaky_relu(features: Any, alpha: float = 0.2, name: str | None = None) -> Any:
    return ops.leaky_relu(features, negative_slope=alpha)


def _of_features(operation: Function) -> Function:
    return lambda features, name=None: operation(features)


def _reverse(tensor: Any, axis: Any, name: str | None = None) -> Any:
    return ops.flip(tensor, axis=_axes(axis))


def _pad(tensor: Any, paddings: Any, mode: str = "CONSTANT", constant_values: Any = 0, name: str | None = None) -> Any:
    kind = mode.lower()
    return ops.pad(tensor, paddings, mode=kind, constant_values=constant_values if kind == "constant" else None)


def _l2_normalize(x: Any, axis: Any = None, epsilon: float = 1e-12, name: str | None = None) -> Any:
    squares = ops.sum(ops.square(x), axis=_axes(axis), keepdims=True)
    return ops.multiply(x, ops.rsqrt(ops.maximum(squares, epsilon)))


def _resize(
    images: Any,
    size: Any,
    method: str = "bilinear",
    preserve_aspect_ratio: bool = False,
    antialias: bool = False,
    name: str | None = None,
) -> Any:
    if preserve_aspect_ratio:
        raise ValueError("preserve_aspect_ratio is not supported")
    return ops.image.resize(images, tuple(size), interpolation=method, antialias=antialias, data_format="channels_last")


def _slice(tensor: Any, slice_spec: Any, var: Any = None) -> Any:
    return tensor[tuple(_part(part) for part in slice_spec)]


def _part(part: Any) -> Any:
    return slice(part["start"], part["stop"], part["step"]) if isinstance(part, dict) else part


FUNCTIONS: dict[str, Function] = {
    **{f"math.{name}": _binary(getattr(ops, name)) for name in ("add", "subtract", "multiply", "maximum", "minimum")},
    **{f"__operators__.{name}": _binary(getattr(ops, name)) for name in ("add",)},
    "math.truediv": _binary(ops.true_divide),
    "math.divide": _binary(ops.true_divide),
    "math.pow": _binary(ops.power),
    "math.floordiv": _binary(ops.floor_divide),
    **{f"math.{name}": _unary(getattr(ops, name)) for name in ("abs", "exp", "log", "negative", "rsqrt", "sigmoid")},
    **{f"math.{name}": _unary(getattr(ops, name)) for name in ("sqrt", "square", "tanh", "sign", "floor", "round")},
    "math.softplus": _of_features(ops.softplus),
    **{f"math.reduce_{name}": _reduction(getattr(ops, name)) for name in ("max", "mean", "min", "prod", "std", "sum")},
    "math.reduce_variance": _reduction(ops.var),
    "math.l2_normalize": _l2_normalize,
    "nn.l2_normalize": _l2_normalize,
    "linalg.l2_normalize": _l2_normalize,
    **{f"nn.{name}": _of_features(getattr(ops, name)) for name in ("elu", "relu", "relu6", "selu", "softplus")},
    "nn.bias_add": lambda value, bias, data_format=None, name=None: ops.add(value, np.asarray(bias, value.dtype)),
    "nn.sigmoid": _unary(ops.sigmoid),
    "nn.tanh": _unary(ops.tanh),
    "nn.swish": lambda features, beta=1.0: ops.multiply(features, ops.sigmoid(ops.multiply(features, beta))),
    "nn.silu": lambda features, beta=1.0: ops.multiply(features, ops.sigmoid(ops.multiply(features, beta))),
    "nn.gelu": lambda features, approximate=False, name=None: ops.gelu(features, approximate=approximate),
    "nn.softmax": _softmax,
    "nn.leaky_relu": _leaky_relu,
    "cast": _cast,
    "clip_by_value": _clip,
    "concat": _concat,
    "expand_dims": _expand_dims,
    "identity": lambda input, name=None: input,
    "image.resize": _resize,
    "pad": _pad,
    "reshape": _reshape,
    "reverse": _reverse,
    "squeeze": _squeeze,
    "stack": _stack,
    "transpose": _transpose,
    "__operators__.getitem": _slice,
}
"""By the public name, without "tf."."""

OPERATIONS = {
    "Add": "math.add",
    "AddV2": "math.add",
    "BiasAdd": "math.add",
    "Sub": "math.subtract",
    "Mul": "math.multiply",
    "RealDiv": "math.truediv",
    "Maximum": "math.maximum",
    "Minimum": "math.minimum",
    "Relu": "nn.relu",
    "Relu6": "nn.relu6",
    "Sigmoid": "math.sigmoid",
    "Tanh": "math.tanh",
    "Mean": "math.reduce_mean",
    "Max": "math.reduce_max",
    "Sum": "math.reduce_sum",
    "Softmax": "nn.softmax",
    "Reshape": "reshape",
}
"""Operations that Keras of TensorFlow 2.0 to 2.3 kept as layers (TensorFlowOpLayer), as functions above."""
