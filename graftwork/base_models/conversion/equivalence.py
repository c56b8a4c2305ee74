"""Whether a converted model answers as the one that was saved, and whether what was saved has numbers for weights."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from graftwork.base_models.opened import TOLERANCE
from graftwork.errors import UserError
from graftwork.networks.layers import leaf_layers

_FREE = 224
"""Pixels to a side where a model takes any size."""
_NAMED = 5
"""Layers that an error names."""


def require_same_outputs(original: Callable[[Any], Any], converted: keras.Model, tolerance: float = TOLERANCE) -> float:
    """Compare two models on one random batch, in inference mode.

    Half of the batch are pixels in [0, 255], half normal numbers: between them they reach what the layers do with large
    values and with small ones.

    Args:
        original: From the inputs of `converted`, as it takes them, to its outputs, in the same order.
        converted: The model to be used.
        tolerance: Larger than TOLERANCE for an original of less precision than float32. What overflows in it says
            nothing then: only images whose output it gives in finite numbers are compared.

    Returns:
        The largest absolute difference of an output over its largest absolute value, the worst of all outputs.

    Raises:
        UserError: It is not below the tolerance.
    """
    batch = [_random(tensor) for tensor in converted.inputs]
    given = batch if len(batch) > 1 else batch[0]
    worst = 0.0
    for was, now in zip(
        tf.nest.flatten(original(given)), tf.nest.flatten(converted(given, training=False)), strict=True
    ):
        outputs = np.asarray(was, np.float64), np.asarray(now, np.float64)
        worst = max(worst, _difference(*outputs, overflows=tolerance > TOLERANCE))
    if not worst < tolerance:
        facts = {"difference": f"{worst:.2g} of the largest output", "allowed": f"{tolerance:.2g}"}
        raise UserError("the converted base model does not answer as the saved one does", facts)
    return worst


def require_finite_weights(model: keras.Model) -> None:
    """Raise a UserError if weights of a model are infinite or no numbers, as a training that diverged leaves them."""
    broken = [layer.name for layer in leaf_layers(model) if not all(map(_is_finite, layer.weights))]
    if broken:
        more = f" and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
        facts = {"layers": ", ".join(broken[:_NAMED]) + more}
        next = "give a model that was saved before its training diverged"
        raise UserError("the base model's weights are not numbers", facts, next)


def _is_finite(weight: Any) -> bool:
    return bool(np.isfinite(np.asarray(weight)).all())


def _random(tensor: keras.KerasTensor) -> np.ndarray:
    random = np.random.default_rng(0)
    shape = (2, *(_FREE if side is None else side for side in tensor.shape[1:]))
    if not tensor.dtype.startswith("float"):
        return random.integers(0, 2, (2 * shape[0], *shape[1:])).astype(tensor.dtype)
    return np.concatenate([random.uniform(0, 255, shape), random.normal(size=shape)]).astype(tensor.dtype)


def _difference(was: np.ndarray, now: np.ndarray, overflows: bool) -> float:
    if was.shape != now.shape:
        return float("inf")
    if overflows:
        whole = np.isfinite(was).all(axis=tuple(range(1, was.ndim)))
        was, now = was[whole], now[whole]
    finite = np.isfinite(was)
    if not finite.any() or not np.array_equal(finite, np.isfinite(now)):
        return float("inf")  # without any finite number it says nothing
    scale = float(np.abs(was[finite]).max()) or 1.0
    return float(np.abs(was[finite] - now[finite]).max()) / scale
