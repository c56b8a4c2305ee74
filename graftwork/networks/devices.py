"""What the devices of this machine mean for a network: compiled or not, on one of them or on several."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from graftwork.networks.layers import is_of_keras, leaf_layers


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


def compiles(*networks: keras.Model) -> bool:
    """Return whether networks are compiled by XLA.

    On GPUs, where all layers are Keras's own and known to compile; on CPUs its convolutions are many times slower.
    """
    layers = (layer for network in networks for layer in leaf_layers(network))
    unknown = (keras.layers.Lambda, keras.layers.Resizing)
    return on_gpu() and all(is_of_keras(layer) and not isinstance(layer, unknown) for layer in layers)
