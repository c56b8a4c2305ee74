"""Fold batch normalisation into the layer before it, where neither is trained: the same numbers, half the passes.

In inference, batch normalisation is y = gamma (x - mean) / sqrt(variance + epsilon) + beta for each channel. Of
x = kernel * input + bias that is another kernel and another bias.
"""

from collections import Counter
from typing import Any

import keras
import numpy as np

from graftwork.networks.graph import calls, replaced, users

_OUTPUT_AXIS = {
    keras.layers.Conv1D: -1,
    keras.layers.Conv2D: -1,
    keras.layers.Conv3D: -1,
    keras.layers.Conv2DTranspose: -2,
    keras.layers.Dense: -1,
}
"""Layers with one kernel, and its axis that the output channels run along."""


def folded(network: keras.Model) -> keras.Model:
    """Return a network for inference with the same outputs, its batch normalisations folded where that can be done.

    Folded are those that alone see what a linear convolution or dense layer says, which is called once. The outputs
    differ by float32 rounding.

    Args:
        network: An unrolled functional model, see `graph.unrolled`. It does not change; what is folded are copies, all
            other layers are shared.
    """
    nodes = calls(network)
    called = Counter(id(node.layer) for node in nodes)
    above = users(nodes)
    outputs = {id(tensor) for tensor in network.outputs}
    instead: dict[int, Any] = {}
    for node in nodes:
        output = node.outputs[0]
        takers = above.get(id(output), [])
        if len(takers) != 1 or id(output) in outputs or not _is_linear(node.layer):
            continue
        normalization = takers[0].layer
        if called[id(node.layer)] == called[id(normalization)] == 1 and _normalizes_channels(normalization, output):
            instead[id(node.layer)] = _together(node.layer, normalization, node.inputs[0].shape)
            instead[id(normalization)] = lambda values, **_: values
    return replaced(network, instead)


def _is_linear(layer: Any) -> bool:
    return (
        (type(layer) in _OUTPUT_AXIS or type(layer) is keras.layers.DepthwiseConv2D)
        and layer.activation is keras.activations.linear
        and getattr(layer, "data_format", "channels_last") == "channels_last"
        and layer.dtype_policy.quantization_mode is None
        and not getattr(layer, "lora_enabled", False)
    )


def _normalizes_channels(layer: Any, values: Any) -> bool:
    return type(layer) is keras.layers.BatchNormalization and layer.axis in (-1, len(values.shape) - 1)


def _together(layer: Any, normalization: Any, input_shape: tuple[int | None, ...]) -> Any:
    weights = [np.asarray(weight, np.float64) for weight in layer.get_weights()]
    kernel, bias = weights[0], weights[1] if layer.use_bias else 0.0
    values = iter(np.asarray(weight, np.float64) for weight in normalization.get_weights())
    gamma = next(values) if normalization.scale else 1.0
    beta = next(values) if normalization.center else 0.0
    mean, variance = values
    factor = gamma / np.sqrt(variance + normalization.epsilon)
    together = type(layer).from_config({**layer.get_config(), "use_bias": True, "bias_initializer": "zeros"})
    together.build(input_shape)
    together.set_weights([_scaled(layer, kernel, factor), (bias - mean) * factor + beta])
    together.trainable = False
    return together


def _scaled(layer: Any, kernel: np.ndarray, factor: np.ndarray) -> np.ndarray:
    if type(layer) is keras.layers.DepthwiseConv2D:  # (height, width, channels, multiplier), channel by channel
        return kernel * factor.reshape(kernel.shape[-2:])
    axis = _OUTPUT_AXIS[type(layer)]
    return kernel * (factor if axis == -1 else factor[:, None])
