"""Models of Keras 2 that compute in half precision, as the policy mixed_float16 has it, and become float32.

Half precision is for training on GPUs that are fast in it, with an optimizer that scales the loss. To embed images, to
be trained further and to run on CPUs, float32 is never worse: nothing overflows, and the weights are the same.
"""

from typing import Any

import tensorflow as tf

from graftwork.base_models.opened import TOLERANCE

_EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
"""Distance from 1 to the next number."""
_ROUNDINGS = 10
"""As far as the roundings in a network add up to, in units of the distance above."""


def without_half_precision(dtype: Any) -> Any:
    """Return what a dtype or a policy, by its name, becomes; most stay as they are."""
    return "float32" if str(dtype).removeprefix("mixed_") in _EPSILON else dtype


def compute_in_float32(model: Any) -> tuple[tuple[str, ...], float]:
    """Let a model of tf_keras compute in float32, where its weights are that, so that it can be compared strictly.

    Args:
        model: It is changed: the policies of its layers, and nothing else.

    Returns:
        What changes in words, and the tolerance of the comparison: that of half precision if the weights have it too.
    """
    import tf_keras

    half = [layer for layer in model._flatten_layers() if layer.compute_dtype in _EPSILON]
    changes = tuple(f"{name} to float32" for name in sorted({layer.dtype_policy.name for layer in half}))
    norms = [layer for layer in half if isinstance(layer, tf_keras.layers.Normalization)]
    constant = {id(weight) for norm in norms for weight in norm.weights}  # what it computes with is derived from them
    weights = (weight for weight in model.weights if id(weight) not in constant)
    coarsest = max((_EPSILON.get(weight.dtype.name, 0.0) for weight in weights), default=0.0)
    if coarsest:
        return changes, _ROUNDINGS * coarsest
    for layer in half:
        layer._set_dtype_policy("float32")
    for norm in norms:
        norm.finalize_state()
        norm.mean, norm.variance = (tf.cast(value, tf.float32) for value in (norm.mean, norm.variance))
    return changes, TOLERANCE
