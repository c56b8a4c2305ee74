"""The training loop of fine-tuning: what is fed, how the learning rate moves, when it stops."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from graftwork import imaging, progress
from graftwork.artifacts.images import Images
from graftwork.artifacts.model import BACKBONE, HEAD
from graftwork.components.fine_tune.augment import augment
from graftwork.config import FineTuneConfig
from graftwork.selection import rank


def fit(
    classifier: keras.Model, data: Images, config: FineTuneConfig, class_weights: Mapping[int, float] | None, seed: int
) -> list[dict[str, float]]:
    """Train the layers that are not frozen; at the end the classifier has the weights of its best epoch.

    AdamW (Loshchilov and Hutter, 2019); the learning rate rises linearly, then falls as a cosine.

    Args:
        classifier: A backbone and a head, see artifacts.model; changed in place.
        data: Training and validation images.
        config: Epochs, batch size, learning rate, augmentation.
        class_weights: How much an image of each class counts, None for all the same.
        seed: Of the order and the augmentation of images.

    Returns:
        Each epoch's losses, accuracies and last learning rate.
    """
    keras.utils.set_random_seed(seed)
    size = tuple(classifier.input_shape[1:3])
    steps = -(-data.size("train") // config.batch_size)
    logits = _ending_in_logits(classifier)
    optimizer = keras.optimizers.AdamW(
        _schedule(config, steps * config.epochs), weight_decay=config.weight_decay, clipnorm=1.0
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    logits.compile(
        optimizer=optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,  # on CPUs compiling takes longer than it saves
    )
    watch = _Watch(config, steps)
    logits.fit(
        training_batches(data, size, config, seed),
        validation_data=_batches(data, "validation", size, config.batch_size),
        epochs=config.epochs,
        class_weight=dict(class_weights) if class_weights else None,
        callbacks=[watch],
        shuffle=False,  # the data set shuffles itself
        verbose=0,
    )
    return watch.curve


def training_batches(data: Images, size: tuple[int, int], config: FineTuneConfig, seed: int) -> tf.data.Dataset:
    """Return batches of training images, in a new order and newly augmented in every pass.

    Returns:
        Elements are pixels float32 (n, *size, 3) in [0, 255] and labels int64 (n,).
    """
    batches = _batches(data, "train", size, config.batch_size, shuffle_seed=seed)
    if not config.augment:
        return batches
    seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
    augmented = tf.data.Dataset.zip(batches, seeds).map(
        lambda batch, own: (augment(batch[0], own, config.flip), batch[1]),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    return augmented.prefetch(tf.data.AUTOTUNE)


def _batches(
    data: Images, split: str, size: tuple[int, int], batch_size: int, shuffle_seed: int | None = None
) -> tf.data.Dataset:
    def example(record: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        return imaging.pixels(record["encoded"], size, data.stored_size), record["label"]

    records = data.dataset(split, shuffle_seed)
    decoded = records.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    steps = -(-data.size(split) // batch_size)
    # Keras must know the number of batches: it finds the end of a data set of unknown length by running into it, and
    # that counts as a further step of the optimizer.
    return decoded.batch(batch_size).apply(tf.data.experimental.assert_cardinality(steps)).prefetch(tf.data.AUTOTUNE)


def _ending_in_logits(classifier: keras.Model) -> keras.Model:
    """Return the same layers without the softmax, which is kinder to gradients inside the loss."""
    outputs = classifier.get_layer(BACKBONE)(classifier.inputs[0])
    for layer in classifier.get_layer(HEAD).layers[1:-1]:
        outputs = layer(outputs)
    return keras.Model(classifier.inputs[0], outputs)


def _schedule(config: FineTuneConfig, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    warmup = round(config.warmup * steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else config.learning_rate,
        decay_steps=max(1, steps - warmup),
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )


class _Watch(keras.callbacks.Callback):
    """Reports progress, keeps the weights of the best epoch, stops when validation no longer improves."""

    def __init__(self, config: FineTuneConfig, steps: int) -> None:
        super().__init__()
        self.curve: list[dict[str, float]] = []
        self._config, self._steps = config, steps
        self._best: tuple[tuple[float, float], int, list[Any]] | None = None
        self._batches, self._detail = 0, ""

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._batches += 1
        progress.report(self._batches, self._steps * self._config.epochs, "batches", self._detail)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = logs or {}
        self.curve.append(
            {
                "epoch": epoch + 1,
                "loss": float(logs["loss"]),
                "accuracy": float(logs["accuracy"]),
                "validation_loss": float(logs["val_loss"]),
                "validation_accuracy": float(logs["val_accuracy"]),
                "learning_rate": float(self.model.optimizer.learning_rate),
            }
        )
        self._detail = f"epoch {epoch + 1}: validation accuracy {logs['val_accuracy']:.4f}"
        score = rank(logs["val_accuracy"], logs["val_loss"])
        if self._best is None or score > self._best[0]:
            self._best = score, epoch, self.model.get_weights()
        elif epoch - self._best[1] >= self._config.patience:
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        if self._best is not None:
            self.model.set_weights(self._best[2])
