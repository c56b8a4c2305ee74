"""The training loop of fine-tuning: how the learning rate moves, when it stops, what is kept."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from graftwork.components.fine_tune.feeding import Feed
from graftwork.components.fine_tune.parts import Parts
from graftwork.config import FineTuneConfig
from graftwork.evaluation.selection import rank
from graftwork.networks import devices
from graftwork.networks.graph import unpacked
from graftwork.networks.precision import computing_in
from graftwork.reporting import progress
from graftwork.reporting.metering import Meter

_LARGEST = 1.0
"""Norm to which the gradient of a variable is clipped."""

Step = Callable[..., tf.Tensor]
"""From inputs and labels to float32 (3,): the loss summed over the images, how many are right, how many there are."""


@dataclass
class Trained:
    """How training went.

    Attributes:
        curve: Each epoch's losses, accuracies and last learning rate.
        floor: Seconds that its steps would have taken if each had taken the median, and nothing had been waited for.
    """

    curve: list[dict[str, float]] = field(default_factory=list)
    floor: float = 0.0


def fit(
    parts: Parts,
    feed: Feed,
    steps: int,
    cached: bool,
    config: FineTuneConfig,
    class_weights: np.ndarray,
    seed: int,
    meter: Meter,
) -> Trained:
    """Train the layers of the suffix that are not frozen; at the end they have the weights of the best epoch.

    AdamW (Loshchilov and Hutter, 2019); the learning rate rises linearly, then falls as a cosine. Runs on every device
    of the strategy in whose scope it is called; a batch is spread over them.

    Args:
        parts: The network; its suffix is changed in place.
        feed: Training and validation batches.
        steps: How many training batches an epoch has.
        cached: Whether the feed's inputs are what crosses the cut, not pixels.
        config: Epochs, batch size, learning rate.
        class_weights: float (k,), how much an image of each class counts.
        seed: Of every random layer.
        meter: Counts the images, and the time that is spent waiting for them.
    """
    keras.utils.set_random_seed(seed)
    strategy = tf.distribute.get_strategy()
    suffix = parts.split.suffix
    optimizer = keras.optimizers.AdamW(_schedule(config, steps * config.epochs), weight_decay=config.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    optimizer.build(suffix.trainable_variables)
    trained, best = Trained(), _Best(suffix)
    total = steps * config.epochs
    with computing_in(parts.precision, suffix):
        signature = feed.validation().element_spec
        compiled = devices.compiles(suffix, *([] if cached else [parts.split.trunk]))
        train = _spread(_training_step(parts, cached, optimizer, class_weights), strategy, signature, compiled)
        check = _spread(_validation_step(parts, cached), strategy, signature, compiled)
        detail, done = "", 0
        for epoch in range(config.epochs):
            seconds, sums = [], np.zeros(3)
            for inputs, labels in meter.fed(strategy.experimental_distribute_dataset(feed.training(epoch))):
                started = time.monotonic()
                sums += train(inputs, labels).numpy()
                seconds.append(time.monotonic() - started)
                done += 1
                progress.report(done, total, "batches", detail)
            meter.images += int(sums[2])
            trained.floor += statistics.median(seconds) * len(seconds)
            started, checked = time.monotonic(), np.zeros(3)
            for inputs, labels in strategy.experimental_distribute_dataset(feed.validation()):
                checked += check(inputs, labels).numpy()
            trained.floor += time.monotonic() - started
            (loss, right, count), (validation_loss, validation_right, validation_count) = sums, checked
            accuracy = validation_right / validation_count
            trained.curve.append(
                {
                    "epoch": epoch + 1,
                    "loss": loss / count,
                    "accuracy": right / count,
                    "validation_loss": validation_loss / validation_count,
                    "validation_accuracy": accuracy,
                    "learning_rate": float(optimizer.learning_rate),
                }
            )
            detail = f"epoch {epoch + 1}: validation accuracy {accuracy:.4f}"
            if best.is_stale(epoch, rank(accuracy, validation_loss / validation_count), config.patience):
                break
    best.restore()
    return trained


def best_epoch(curve: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the epoch of a curve whose weights were kept."""
    return max(curve, key=lambda epoch: rank(epoch["validation_accuracy"], epoch["validation_loss"]))


def _training_step(
    parts: Parts,
    cached: bool,
    optimizer: keras.optimizers.Optimizer,
    class_weights: np.ndarray,
) -> Step:
    suffix = parts.split.suffix
    variables = suffix.trainable_variables
    weights = tf.constant(class_weights, tf.float32)

    def step(inputs: tuple[tf.Tensor, ...], labels: tf.Tensor) -> tf.Tensor:
        given = _given(parts, cached, inputs)
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync

        def together(value: tf.Tensor) -> tf.Tensor:
            return context.all_reduce(tf.distribute.ReduceOp.SUM, value) if replicas > 1 else value

        with tf.GradientTape() as tape:
            logits = tf.cast(suffix(given, training=True), tf.float32)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            total = tf.reduce_sum(losses * tf.gather(weights, labels))
            penalties = tf.add_n([tf.cast(value, tf.float32) for value in suffix.losses] or [tf.zeros([])])
            loss = total / together(tf.cast(tf.shape(labels)[0], tf.float32)) + penalties / replicas
        found = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        gradients = [tf.clip_by_norm(together(tf.convert_to_tensor(gradient)), _LARGEST) for gradient in found]
        # The optimizer adds up what it gets from all devices.
        optimizer.apply([gradient / replicas for gradient in gradients], variables)
        return _sums(total, logits, labels)

    return step


def _validation_step(parts: Parts, cached: bool) -> Step:
    def step(inputs: tuple[tf.Tensor, ...], labels: tf.Tensor) -> tf.Tensor:
        logits = tf.cast(parts.split.suffix(_given(parts, cached, inputs), training=False), tf.float32)
        return _sums(tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)), logits, labels)

    return step


def _given(parts: Parts, cached: bool, inputs: tuple[tf.Tensor, ...]) -> Any:
    """Return what crosses the cut, in the structure and the dtype that the suffix takes."""
    crossing = inputs if cached else parts.trunk(inputs[0])
    values = [tf.cast(tensor, wanted.dtype) for tensor, wanted in zip(crossing, parts.split.suffix.inputs, strict=True)]
    return unpacked(values)


def _sums(loss: tf.Tensor, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    right = tf.reduce_sum(tf.cast(tf.argmax(logits, axis=-1) == labels, tf.float32))
    return tf.stack([loss, right, tf.cast(tf.shape(labels)[0], tf.float32)])


def _spread(step: Step, strategy: tf.distribute.Strategy, signature: Any, compiled: bool) -> Step:
    """Return a step compiled to run on all devices of a strategy.

    Args:
        step: What each device runs.
        strategy: Of the devices.
        signature: Specification of a batch; on several devices it comes in parts.
        compiled: Whether by XLA too.
    """
    known = {"input_signature": signature} if strategy.num_replicas_in_sync == 1 else {"reduce_retracing": True}

    @tf.function(autograph=False, **known)
    def run(inputs: Any, labels: Any) -> tf.Tensor:
        # XLA compiles what a device runs, not the exchange between devices.
        own = tf.function(step, autograph=False, jit_compile=True) if compiled else step
        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(own, args=(inputs, labels)), axis=None)

    return run


def _schedule(config: FineTuneConfig, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    warmup = round(config.warmup * steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else config.learning_rate,
        decay_steps=max(1, steps - warmup),
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )


class _Best:
    """Keeps the weights of the best epoch, and notices when validation no longer improves."""

    def __init__(self, network: keras.Model) -> None:
        self._network = network
        self._score: tuple[float, float] | None = None
        self._epoch = 0
        self._weights: list[np.ndarray] = []

    def is_stale(self, epoch: int, score: tuple[float, float], patience: int) -> bool:
        """Take an epoch's score; return whether it is the last that should be tried."""
        if self._score is None or score > self._score:
            self._score, self._epoch = score, epoch
            self._weights = [weight.numpy() for weight in self._network.weights]
            return False
        return epoch - self._epoch >= patience

    def restore(self) -> None:
        """Give the network the weights of the best epoch."""
        for weight, value in zip(self._network.weights, self._weights, strict=True):
            weight.assign(value)
