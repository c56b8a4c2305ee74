"""In which precision a network computes: bfloat16 where the device has instructions for it, else float32."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import tensorflow as tf

from graftwork.config import Precision
from graftwork.networks import devices
from graftwork.networks.layers import is_of_keras, leaf_layers

_CPU_FLAGS = {"avx512_bf16", "amx_bf16"}
_GPU_CAPABILITY = (8, 0)
"""The first of NVIDIA's that computes in bfloat16."""
_DEPTHWISE = (
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)
_EXACT = (
    keras.layers.Rescaling,
    keras.layers.Normalization,
    keras.layers.Softmax,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling1D,
    keras.layers.GlobalMaxPooling2D,
)
"""Layers that stay in float32: of pixels and of features every digit counts, and they cost next to nothing."""


def resolved(precision: Precision) -> str:
    """Return "float32" or "bfloat16" for what a user asks for, on the device of this process.

    Of training on a CPU see `for_training`.
    """
    if precision != "auto":
        return precision
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = (tf.config.experimental.get_device_details(gpu) for gpu in gpus)
        capable = all(tuple(detail.get("compute_capability", (0, 0))) >= _GPU_CAPABILITY for detail in details)
    else:
        capable = bool(_CPU_FLAGS & set(_cpu_flags()))
    return "bfloat16" if capable else "float32"


def for_training(precision: Precision, network: keras.Model) -> str:
    """Return what a network is trained in: as `resolved`, but on a CPU float32 if that is what it is fast in.

    The gradients of depthwise and grouped convolutions have no bfloat16 instructions behind them in TensorFlow's CPU
    kernels; they take several times as long as in float32.
    """
    if precision == "auto" and not devices.on_gpu() and any(map(_is_grouped, leaf_layers(network))):
        return "float32"
    return resolved(precision)


def _is_grouped(layer: keras.Layer) -> bool:
    return isinstance(layer, _DEPTHWISE) or getattr(layer, "groups", 1) > 1


@contextmanager
def computing_in(precision: str, *networks: keras.Model) -> Iterator[None]:
    """Let layers compute in a precision while the block runs; their weights stay float32.

    Functions traced inside keep computing so. Layers with a policy of their own, and those in which digits count, are
    left as they are.

    Args:
        precision: "float32" for no change, or "bfloat16".
        networks: Unrolled models whose layers change, see `graph.unrolled`.
    """
    layers = {id(layer): layer for network in networks for layer in network.layers}.values()
    changed = [layer for layer in layers if precision != "float32" and _can_change(layer)]
    try:
        for layer in changed:
            layer.dtype_policy = f"mixed_{precision}"
        yield
    finally:
        for layer in changed:
            layer.dtype_policy = "float32"


def _can_change(layer: keras.Layer) -> bool:
    name = getattr(getattr(layer, "dtype_policy", None), "name", "")
    # A model that is one call computes as its author wrote it, and adds what its layers say to what it was given.
    exempt = isinstance(layer, (keras.Model, keras.layers.InputLayer, *_EXACT))
    return name == "float32" and is_of_keras(layer) and not exempt


def _cpu_flags() -> list[str]:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
