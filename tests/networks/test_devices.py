"""What the devices of this machine mean for a network."""

import tensorflow as tf

from graftwork.networks import devices


def test_one_device_needs_no_copies_of_the_network():
    assert devices.strategy(["CPU:0"]).num_replicas_in_sync == 1
    assert devices.compiles() == bool(tf.config.list_physical_devices("GPU"))
