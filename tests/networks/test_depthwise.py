"""The gradients that are quicker are the same."""

import keras
import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from graftwork.networks.depthwise import kernel_gradient, with_fast_gradients

from small_networks import residual_network

layers = keras.layers


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    kernel=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    stride=st.integers(1, 2),
    padding=st.sampled_from(["same", "valid"]),
)
def test_the_gradient_of_a_depthwise_kernel_is_that_of_tensorflow(
    size: tuple[int, int], kernel: tuple[int, int], stride: int, padding: str
):
    if padding == "valid":
        size = (max(size[0], kernel[0]), max(size[1], kernel[1]))
    values = tf.random.stateless_normal([3, *size, 4], [1, 2])
    weights = tf.random.stateless_normal([*kernel, 4, 1], [3, 4])
    with tf.GradientTape() as tape:
        tape.watch(weights)
        outputs = tf.nn.depthwise_conv2d(values, weights, [1, stride, stride, 1], padding.upper())
    upstream = tf.random.stateless_normal(outputs.shape, [5, 6])
    expected = tape.gradient(outputs, weights, output_gradients=upstream)
    found = kernel_gradient(values, upstream, kernel, stride, padding)
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)


def test_fast_gradients_change_neither_answers_nor_gradients_nor_weights():
    image = keras.Input((8, 8, 6))
    other = keras.Input((8, 8, 6))
    values = layers.DepthwiseConv2D(5, 2, padding="same", activation="relu", name="large")(layers.Add()([image, other]))
    values = layers.DepthwiseConv2D(5, use_bias=False, padding="same", name="frozen", trainable=False)(values)
    values = layers.DepthwiseConv2D(3, padding="same", name="small")(values)
    model = keras.Model([image, other], layers.Dense(2)(layers.Flatten()(values)))
    fast = with_fast_gradients(model)
    assert [type(layer).__name__ for layer in fast.layers].count("_FastGradient") == 1
    assert {id(weight) for weight in fast.trainable_weights} == {id(weight) for weight in model.trainable_weights}
    given = [tf.random.stateless_normal([5, 8, 8, 6], [seed, 0]) for seed in (1, 2)]

    def gradients(network: keras.Model) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(network(given, training=True)))
        return tape.gradient(loss, [weight.value for weight in model.trainable_weights])

    np.testing.assert_array_equal(fast(given), model(given))
    for ours, expected in zip(gradients(fast), gradients(model), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-3)
    plain = residual_network()
    assert with_fast_gradients(plain) is plain
