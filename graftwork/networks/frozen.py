"""Run a network that is never trained, as fast as this device can."""

import time
from collections.abc import Callable

import keras
import tensorflow as tf

from graftwork.networks import devices
from graftwork.networks.folding import folded
from graftwork.networks.precision import computing_in

Frozen = Callable[[tf.Tensor], list[tf.Tensor]]
"""From pixels float32 (n, height, width, 3) to the outputs of a network, in inference."""


def frozen(network: keras.Model, precision: str) -> Frozen:
    """Return a network for inference as one compiled function, its batch normalisation folded.

    Args:
        network: An unrolled functional model with one input, see `graph.unrolled`.
        precision: What it computes in, "float32" or "bfloat16".
    """
    inference = folded(network)
    specification = tf.TensorSpec(network.input_shape, tf.float32)

    @tf.function(input_signature=[specification], autograph=False, jit_compile=devices.compiles(inference))
    def run(pixels: tf.Tensor) -> list[tf.Tensor]:
        with computing_in(precision, inference):  # whenever this is traced: with several devices, once for each
            outputs = inference(pixels, training=False)
        return list(outputs) if isinstance(outputs, list | tuple) else [outputs]

    return run


def seconds_per_image(run: Frozen, pixels: tf.Tensor, repeats: int = 2) -> float:
    """Return what a pass through a network takes for each image of a batch that is in memory: the best of some."""
    best = float("inf")
    for _ in range(repeats):
        started = time.monotonic()
        for output in run(pixels):
            output.numpy()  # on a GPU, only now it is computed
        best = min(best, time.monotonic() - started)
    return best / len(pixels)
