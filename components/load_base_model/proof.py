"""The proof that a converted model is the one that was saved."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from graftwork.errors import UserError

TOLERANCE = 1e-5
"""Largest difference of an output, over the largest output: float32 arithmetic in another order stays below it."""
_FREE = 224
"""Pixels to a side where a model takes any size."""


def prove(original: Callable[[Any], Any], converted: keras.Model) -> float:
    """Compare two models on one random batch, in inference mode.

    Half of the batch are pixels in [0, 255], half normal numbers: between them they reach what the layers do with large
    values and with small ones.

    Args:
        original: From the inputs of `converted`, as it takes them, to its outputs, in the same order.
        converted: The model to be used.

    Returns:
        The largest absolute difference of an output over its largest absolute value, the worst of all outputs.

    Raises:
        UserError: It is not below TOLERANCE.
    """
    batch = [_random(tensor) for tensor in converted.inputs]
    given = batch if len(batch) > 1 else batch[0]
    worst = 0.0
    for was, now in zip(
        tf.nest.flatten(original(given)), tf.nest.flatten(converted(given, training=False)), strict=True
    ):
        worst = max(worst, _difference(np.asarray(was, np.float64), np.asarray(now, np.float64)))
    if not worst < TOLERANCE:
        facts = {"difference": f"{worst:.2g} of the largest output", "allowed": f"{TOLERANCE:g}"}
        raise UserError("the converted base model does not answer as the saved one does", facts)
    return worst


def _random(tensor: keras.KerasTensor) -> np.ndarray:
    random = np.random.default_rng(0)
    shape = (2, *(_FREE if side is None else side for side in tensor.shape[1:]))
    if not tensor.dtype.startswith("float"):
        return random.integers(0, 2, (2 * shape[0], *shape[1:])).astype(tensor.dtype)
    return np.concatenate([random.uniform(0, 255, shape), random.normal(size=shape)]).astype(tensor.dtype)


def _difference(was: np.ndarray, now: np.ndarray) -> float:
    if was.shape != now.shape or not np.array_equal(np.isfinite(was), np.isfinite(now)):
        return float("inf")
    finite = np.isfinite(was)
    if not finite.any():
        return float("inf")  # says nothing
    scale = float(np.abs(was[finite]).max()) or 1.0
    return float(np.abs(was[finite] - now[finite]).max()) / scale
