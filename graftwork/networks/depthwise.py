"""Train depthwise convolutions on CPUs faster: the gradient of a large kernel on a small map, by matrix products.

TensorFlow's CPU kernel for that gradient is quick for 3 x 3 alone; for 5 x 5 it takes much of a training step of
EfficientNet's last blocks. The gradient at offset (i, j) is the sum of input times upstream gradient over all places
that are (i, j) apart. For each channel, the products of all places with all places are one small matrix product; a
constant matrix adds up those that belong to the same offset.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from graftwork.networks.graph import calls, replaced

_LARGE_KERNEL = 5
_PLACES = 64
"""Of the map: with more, the products of all with all are too many."""


def with_fast_gradients(network: keras.Model) -> keras.Model:
    """Return a network with the same outputs, layers and weights, whose gradients are quicker to compute on a CPU.

    Args:
        network: An unrolled functional model, see `graph.unrolled`, that computes in float32.
    """
    instead = {
        id(node.layer): _FastGradient(node.layer)
        for node in calls(network)
        if _gains(node.layer, node.inputs[0].shape, node.outputs[0].shape)
    }
    return replaced(network, instead) if instead else network


def kernel_gradient(
    inputs: tf.Tensor, upstream: tf.Tensor, kernel_size: tuple[int, int], stride: int, padding: str
) -> tf.Tensor:
    """Return the gradient of a depthwise convolution's kernel.

    Args:
        inputs: float32 (n, height, width, channels); height, width and channels are known.
        upstream: Gradient of the output, float32 (n, output height, output width, channels).
        kernel_size: (height, width).
        stride: Along both axes.
        padding: "same" or "valid".

    Returns:
        float32 (kernel height, kernel width, channels, 1).
    """
    (height, width, channels), output_size = inputs.shape[1:], upstream.shape[1:3]
    before = tf.transpose(tf.reshape(inputs, [-1, height * width, channels]), [2, 1, 0])
    after = tf.transpose(tf.reshape(upstream, [-1, output_size[0] * output_size[1], channels]), [2, 0, 1])
    products = tf.reshape(tf.matmul(before, after), [channels, -1])
    offsets = _offsets((height, width), output_size, kernel_size, stride, padding)
    gradient = tf.matmul(tf.constant(offsets), products, transpose_a=True, transpose_b=True)
    return tf.reshape(gradient, [*kernel_size, channels, 1])


class _FastGradient(keras.layers.Layer):
    """Calls a depthwise convolution, and computes the gradient of its kernel in its own way."""

    def __init__(self, layer: Any) -> None:
        super().__init__(name=f"{layer.name}_trained")
        self.layer = layer
        self.trainable = layer.trainable

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        layer = self.layer
        strides, padding = [1, *layer.strides, 1], layer.padding.upper()

        @tf.custom_gradient  # type: ignore[untyped-decorator,unused-ignore]
        def convolved(values: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Any]:
            def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                size = tf.shape(values)
                below = tf.nn.depthwise_conv2d_backprop_input(size, kernel, upstream, strides, padding)
                return below, kernel_gradient(values, upstream, layer.kernel_size, layer.strides[0], layer.padding)

            return tf.nn.depthwise_conv2d(values, kernel, strides, padding), gradient

        outputs = convolved(inputs, tf.convert_to_tensor(layer.kernel))
        if layer.use_bias:
            outputs = tf.nn.bias_add(outputs, tf.convert_to_tensor(layer.bias))
        return layer.activation(outputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return tuple(self.layer.compute_output_shape(input_shape))


def _gains(layer: Any, input_shape: tuple[Any, ...], output_shape: tuple[Any, ...]) -> bool:
    return (
        type(layer) is keras.layers.DepthwiseConv2D
        and bool(layer.trainable_weights)
        and layer.data_format == "channels_last"
        and layer.depth_multiplier == 1
        and tuple(layer.dilation_rate) == (1, 1)
        and layer.strides[0] == layer.strides[1]
        and layer.dtype_policy.name == "float32"
        and max(layer.kernel_size) >= _LARGE_KERNEL
        and None not in input_shape[1:]
        and input_shape[1] * input_shape[2] <= _PLACES
        and output_shape[1] * output_shape[2] <= _PLACES
    )


def _offsets(
    size: tuple[int, int], output_size: tuple[int, int], kernel_size: tuple[int, int], stride: int, padding: str
) -> np.ndarray:
    """Return which pairs of an input and an output place lie which offset of the kernel apart.

    Returns:
        float32 (input places * output places, kernel height * kernel width), 0 or 1.
    """
    rows, columns = (_axis_offsets(*axis, stride, padding) for axis in zip(size, output_size, kernel_size, strict=True))
    both = np.einsum("yoi,xpj->yxopij", rows, columns)
    return both.reshape(size[0] * size[1] * output_size[0] * output_size[1], -1).astype(np.float32)


def _axis_offsets(size: int, output_size: int, kernel_size: int, stride: int, padding: str) -> np.ndarray:
    missing = max((output_size - 1) * stride + kernel_size - size, 0) if padding == "same" else 0
    places, outputs, offsets = np.ogrid[:size, :output_size, :kernel_size]
    return places == outputs * stride + offsets - missing // 2
