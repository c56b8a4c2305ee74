"""What the devices of this machine mean for a network: compiled or not, on one of them or on several."""

import os
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from graftwork.networks.layers import is_of_keras, leaf_layers
from graftwork.reporting import progress

_DEVICE_FILES = Path("/dev")


def strategy(devices: Sequence[str] | None = None) -> tf.distribute.Strategy:
    """Return how to spread training over devices: a copy of the network on each GPU where there are several.

    Networks and optimizers have to be made within its scope.

    Args:
        devices: Names of logical devices to use instead of this machine's GPUs.
    """
    names = [device.name for device in tf.config.list_logical_devices("GPU")] if devices is None else list(devices)
    return tf.distribute.MirroredStrategy(names) if len(names) > 1 else tf.distribute.get_strategy()


def on_gpu() -> bool:
    """Return whether networks run on a GPU."""
    return bool(tf.config.list_logical_devices("GPU"))


def warn_of_missing_gpu() -> None:
    """Tell the user if this machine has been given an NVIDIA GPU and TensorFlow does not see it: all runs, but slowly.

    Kubernetes gives one by NVIDIA_VISIBLE_DEVICES, or by device files alone; that depends on the cluster's plugin.
    """
    given = os.environ.get("NVIDIA_VISIBLE_DEVICES", "") not in ("", "none", "void")
    if (given or any(_DEVICE_FILES.glob("nvidia[0-9]*"))) and not tf.config.list_physical_devices("GPU"):
        progress.warn(
            "there is a GPU, but TensorFlow does not see it, so this step runs on the CPU: the image has to be of the "
            "variant gpu, and the node's driver new enough for its CUDA; GRAFTWORK_LOG_LEVEL=debug shows what is wrong"
        )


def compiles(*networks: keras.Model) -> bool:
    """Return whether networks are compiled by XLA.

    On GPUs, where all layers are Keras's own and known to compile; on CPUs its convolutions are many times slower.
    """
    layers = (layer for network in networks for layer in leaf_layers(network))
    unknown = (keras.layers.Lambda, keras.layers.Resizing)
    return on_gpu() and all(is_of_keras(layer) and not isinstance(layer, unknown) for layer in layers)
