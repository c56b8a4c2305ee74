"""What the devices of this machine mean for a network: compiled or not, on one of them or on several."""

from collections.abc import Sequence

import tensorflow as tf


def strategy(devices: Sequence[str] | None = None) -> tf.distribute.Strategy:
    """Return how to spread training over devices: a copy of the network on each GPU where there are several.

    Networks and optimizers have to be made within its scope.

    Args:
        devices: Names of logical devices to use instead of this machine's GPUs.
    """
    names = [device.name for device in tf.config.list_logical_devices("GPU")] if devices is None else list(devices)
    return tf.distribute.MirroredStrategy(names) if len(names) > 1 else tf.distribute.get_strategy()


def compiles() -> bool:
    """Return whether networks are compiled by XLA: on GPUs; on CPUs its convolutions are many times slower."""
    return bool(tf.config.list_logical_devices("GPU"))
