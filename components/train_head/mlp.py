"""The hidden-layer head: Dense, ReLU, Dense, trained by Adam with dropout on features read chunk by chunk."""

from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from graftwork.artifacts.features import Split
from graftwork.components.train_head.linear import Standardization
from graftwork.config import HeadConfig
from graftwork.selection import rank

Layers = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Hidden kernel (d, h) and bias (h,), output kernel (h, k) and bias (k,)."""


def train_mlp(
    split: Split,
    classes: int,
    config: HeadConfig,
    weights: np.ndarray,
    scale: Standardization,
    validate: Callable[[Layers], dict[str, float]],
    seed: int,
) -> tuple[Layers, list[dict[str, float]]]:
    """Train until validation has not improved for `config.patience` passes.

    Args:
        split: Training features (n, d).
        classes: k, how many.
        config: Hidden units, learning rate, batch size, epochs, patience.
        weights: float (k,), how much an image of each class counts.
        scale: Standardisation of the features.
        validate: Returns accuracy and loss of such layers on validation.
        seed: Of the first weights and of the order of images.

    Returns:
        The layers of the best epoch, for features as they are, and each epoch's losses and accuracies.
    """
    keras.utils.set_random_seed(seed)
    dimensions = split.row_shape[0]
    network = keras.Sequential(
        [
            keras.Input((dimensions,)),
            keras.layers.Dropout(config.dropout),
            keras.layers.Dense(config.hidden_units, "relu"),
            keras.layers.Dropout(config.dropout),
            keras.layers.Dense(classes),
        ]
    )
    optimizer = keras.optimizers.Adam(config.learning_rate)
    optimizer.build(network.trainable_variables)
    update = _update(network, optimizer, tf.constant(weights, tf.float32), scale)
    random = np.random.default_rng(seed)
    best: tuple[tuple[float, float], int, Layers] | None = None
    curve: list[dict[str, float]] = []
    for epoch in range(config.epochs):
        losses = [float(update(rows, labels)) for rows, labels in _batches(split, config.batch_size, random)]
        layers = _fold(network.get_weights(), scale)
        validation = validate(layers)
        curve.append(
            {
                "epoch": epoch + 1,
                "loss": float(np.mean(losses)),
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


def _update(
    network: keras.Model, optimizer: keras.optimizers.Optimizer, weights: tf.Tensor, scale: Standardization
) -> Callable[[np.ndarray, np.ndarray], tf.Tensor]:
    mean, deviation = tf.constant(scale.mean), tf.constant(scale.deviation)
    rows_spec = tf.TensorSpec([None, len(scale.mean)], tf.float32)

    @tf.function(input_signature=[rows_spec, tf.TensorSpec([None], tf.int32)], autograph=False)
    def update(rows: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = network((rows - mean) / deviation, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses * tf.gather(weights, labels))
        optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        return loss

    return update


def _batches(split: Split, size: int, random: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches in a new order: of the chunks, and of the rows inside each chunk."""
    chunks = -(-len(split) // split.chunk_rows)
    for rows, labels in split.chunks(random.permutation(chunks)):
        order = random.permutation(len(labels))
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            yield rows[chosen], labels[chosen]


def _fold(weights: list[np.ndarray], scale: Standardization) -> Layers:
    """Move the standardisation into the hidden layer, where it costs nothing."""
    kernel, bias, output_kernel, output_bias = weights
    folded = kernel / scale.deviation[:, None]
    return folded, bias - scale.mean @ folded, output_kernel, output_bias
