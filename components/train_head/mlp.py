"""The hidden-layer head: Dense, ReLU, Dense, trained by Adam with dropout on features read chunk by chunk."""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from graftwork.artifacts.features import Split
from graftwork.components.train_head.standardization import Standardization
from graftwork.config import HeadConfig
from graftwork.evaluation.selection import rank
from graftwork.reporting.metering import Meter

Layers = list[tuple[np.ndarray, np.ndarray]]
"""Kernel and bias of each dense layer, first to last: (d, h) and (h,), (h, k) and (k,)."""

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7
"""Of Adam, as in Keras."""

Update = Callable[[np.ndarray, np.ndarray, np.ndarray, int], tf.Tensor]


def train_mlp(
    split: Split,
    classes: int,
    config: HeadConfig,
    weights: np.ndarray,
    scale: Standardization,
    validate: Callable[[Layers], dict[str, float]],
    seed: int,
    meter: Meter,
) -> tuple[Layers, list[dict[str, float]]]:
    """Train until validation has not improved for `config.patience` passes.

    Args:
        split: Training features (n, d).
        classes: k, how many.
        config: Hidden units, dropout, learning rate, batch size, epochs, patience.
        weights: float (k,), how much an image of each class counts.
        scale: Standardisation of the features.
        validate: Returns accuracy and loss of such layers on validation.
        seed: Of the first weights, of dropout and of the order of images.
        meter: Of the step; it is fed every pass.

    Returns:
        The layers of the best epoch, for features as they are, and each epoch's losses and accuracies.
    """
    random = np.random.default_rng(seed)
    variables = [
        tf.Variable(values) for values in _first_layers(split.row_shape[0], config.hidden_units, classes, random)
    ]
    update = _update(variables, config, weights, scale, seed)
    chunks = -(-len(split) // split.chunk_rows)
    step = 0
    best: tuple[tuple[float, float], int, Layers] | None = None
    curve: list[dict[str, float]] = []
    for epoch in range(config.epochs):
        loss = 0.0
        for rows, labels in meter.fed(split.chunks(random.permutation(chunks))):
            loss += float(update(rows, labels, random.permutation(len(labels)), step))
            step += -(-len(labels) // config.batch_size)
            meter.images += len(labels)
        hidden_kernel, hidden_bias, kernel, bias = (variable.numpy() for variable in variables)
        layers = [scale.folded(hidden_kernel, hidden_bias), (kernel, bias)]
        validation = validate(layers)
        curve.append(
            {
                "epoch": epoch + 1,
                "loss": loss / len(split),
                "validation_loss": validation["loss"],
                "validation_accuracy": validation["accuracy"],
            }
        )
        score = rank(validation["accuracy"], validation["loss"])
        if best is None or score > best[0]:
            best = score, epoch, layers
        elif epoch - best[1] >= config.patience:
            break
    assert best is not None  # there is at least one epoch
    return best[2], curve


def _first_layers(dimensions: int, units: int, classes: int, random: np.random.Generator) -> list[np.ndarray]:
    """Return random kernels (Glorot and Bengio, 2010, the uniform ones) and biases of zero, all float32."""

    def kernel(inputs: int, outputs: int) -> np.ndarray:
        limit = math.sqrt(6 / (inputs + outputs))
        return random.uniform(-limit, limit, (inputs, outputs)).astype(np.float32)

    hidden, output = kernel(dimensions, units), kernel(units, classes)
    return [hidden, np.zeros(units, np.float32), output, np.zeros(classes, np.float32)]


def _update(
    variables: list[tf.Variable], config: HeadConfig, weights: np.ndarray, scale: Standardization, seed: int
) -> Update:
    """Return a function that trains on one chunk: a graph that goes through the batches by itself.

    It takes the chunk's features and labels, the order of its rows, and how many batches came before; it returns the
    sum of the losses of the rows. The graph is not compiled by XLA: on CPUs that was no faster than these kernels, and
    compiling took longer than training on small data.
    """
    slots = [(tf.Variable(tf.zeros_like(variable)), tf.Variable(tf.zeros_like(variable))) for variable in variables]
    mean, factor = tf.constant(scale.mean), tf.constant(1 / scale.deviation)
    class_weights = tf.constant(weights, tf.float32)
    size = config.batch_size

    def step(rows: tf.Tensor, labels: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            hidden_kernel, hidden_bias, kernel, bias = variables
            inputs = _dropped((rows - mean) * factor, config.dropout, tf.stack([seed, 2 * number]))
            hidden = tf.nn.relu(tf.nn.bias_add(inputs @ hidden_kernel, hidden_bias))
            hidden = _dropped(hidden, config.dropout, tf.stack([seed, 2 * number + 1]))
            logits = tf.nn.bias_add(hidden @ kernel, bias)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits) * tf.gather(class_weights, labels)
            loss = tf.reduce_mean(losses)
        _adam(variables, slots, tape.gradient(loss, variables), config.learning_rate, number)
        return tf.reduce_sum(losses)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, len(scale.mean)], tf.float32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None], tf.int64),
            tf.TensorSpec([], tf.int64),
        ],
        autograph=False,
    )
    def update(rows: tf.Tensor, labels: tf.Tensor, order: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
        count = tf.size(order, tf.int64)

        def batch(start: tf.Tensor, loss: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            chosen = order[start : start + size]
            number = before + start // size
            return start + size, loss + step(tf.gather(rows, chosen), tf.gather(labels, chosen), number)

        zero = tf.constant(0, tf.int64), tf.constant(0.0)
        return tf.while_loop(lambda start, _: start < count, batch, zero, parallel_iterations=1)[1]

    return update


def _dropped(values: tf.Tensor, rate: float, seed: tf.Tensor) -> tf.Tensor:
    """Return values with that share of them zero, to 1/256, and the others larger for it."""
    keep = max(1, round((1 - rate) * 256))
    if keep == 256:
        return values
    # Four decisions out of every random number, for drawing them is what dropout costs.
    rows, columns = tf.shape(values)[0], values.shape[1]
    drawn = tf.random.stateless_uniform([rows, -(-columns // 4)], seed, None, None, tf.int32)
    drawn = tf.reshape(tf.bitcast(drawn, tf.int8), [rows, -1])[:, :columns]
    return tf.where(drawn < keep - 128, values * (256 / keep), 0.0)


def _adam(
    variables: list[tf.Variable],
    slots: list[tuple[tf.Variable, tf.Variable]],
    gradients: list[tf.Tensor],
    rate: float,
    number: tf.Tensor,
) -> None:
    """Update the variables by TensorFlow's own kernel: what it does in one sweep takes Keras a dozen."""
    steps = tf.cast(number + 1, tf.float32)
    for variable, (first, second), gradient in zip(variables, slots, gradients, strict=True):
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=first.handle,
            v=second.handle,
            beta1_power=_BETA_1**steps,
            beta2_power=_BETA_2**steps,
            lr=rate,
            beta1=_BETA_1,
            beta2=_BETA_2,
            epsilon=_EPSILON,
            grad=gradient,
        )
