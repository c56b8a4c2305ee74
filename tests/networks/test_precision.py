"""Half precision is computed in where it is asked for, and nowhere afterwards."""

import keras
import numpy as np
import tensorflow as tf

from graftwork.networks.frozen import frozen
from graftwork.networks.graph import unrolled
from graftwork.networks.precision import computing_in, for_training, resolved

from small_networks import pixels, residual_network

layers = keras.layers


def test_half_precision_is_near_and_leaves_no_trace():
    model = residual_network()
    flat = unrolled(model)
    exact = frozen(flat, "float32")(tf.constant(pixels()))[0].numpy()
    half = frozen(flat, "bfloat16")(tf.constant(pixels()))[0].numpy().astype(np.float32)
    assert np.abs(half - exact).max() < 0.05 * np.abs(exact).max()
    assert np.abs(half - exact).max() > 0
    assert {layer.dtype_policy.name for layer in flat.layers} == {"float32"}
    with computing_in("bfloat16", flat):
        assert "mixed_bfloat16" in {layer.dtype_policy.name for layer in flat.layers}
    assert {layer.dtype_policy.name for layer in flat.layers} == {"float32"}


def test_what_is_asked_for_is_what_is_computed_in():
    depthwise = keras.Sequential([keras.Input((16, 16, 3)), layers.DepthwiseConv2D(3)])
    assert resolved("float32") == "float32"
    assert resolved("bfloat16") == for_training("bfloat16", depthwise) == "bfloat16"
    assert resolved("auto") in ("float32", "bfloat16")
    if not tf.config.list_physical_devices("GPU"):
        assert for_training("auto", depthwise) == "float32"
