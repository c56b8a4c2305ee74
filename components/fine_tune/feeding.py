"""What the suffix of a network is trained on: images that pass through the trunk, or what the trunk said before."""

from typing import Protocol

import numpy as np
import tensorflow as tf

from graftwork.artifacts.features import Features
from graftwork.artifacts.images import Images
from graftwork.components.fine_tune.augment import augment
from graftwork.config import FineTuneConfig


class Feed(Protocol):
    """Batches of inputs and labels; every epoch has an order of its own, the same with a cache and without."""

    def training(self, epoch: int) -> tf.data.Dataset:
        """Return the training batches of an epoch, counted from 0: inputs, labels int64 (n,)."""

    def validation(self) -> tf.data.Dataset:
        """Return the validation batches: inputs, labels int64 (n,)."""


class ImagesFeed:
    """Pixels float32 (n, height, width, 3) in [0, 255], augmented anew in every epoch."""

    def __init__(self, data: Images, size: tuple[int, int], config: FineTuneConfig, seed: int) -> None:
        self._data, self._size, self._config, self._seed = data, size, config, seed

    def training(self, epoch: int) -> tf.data.Dataset:
        """See `Feed`."""
        seed = epoch_seed(self._seed, epoch)
        batches = self._data.batches("train", self._size, self._config.batch_size, shuffle_seed=seed)
        return augmented(batches, self._config, seed).map(_without_keys).prefetch(tf.data.AUTOTUNE)

    def validation(self) -> tf.data.Dataset:
        """See `Feed`."""
        return self._data.batches("validation", self._size, self._config.batch_size).map(_without_keys)


class CachedFeed:
    """The tensors that cross the cut, read from disk row by row; each epoch reads the next augmented view."""

    def __init__(
        self,
        data: Images,
        cache: Features,
        shapes: list[tuple[int, ...]],
        views: int,
        config: FineTuneConfig,
        seed: int,
    ) -> None:
        self._data, self._cache, self._shapes, self._views = data, cache, shapes, views
        self._config, self._seed = config, seed

    def training(self, epoch: int) -> tf.data.Dataset:
        """See `Feed`."""
        order = self._data.order("train", shuffle_seed=epoch_seed(self._seed, epoch))
        return self._batches("train", order, self._data.size("train") * (epoch % self._views))

    def validation(self) -> tf.data.Dataset:
        """See `Feed`."""
        return self._batches("validation", self._data.order("validation"), 0)

    def _batches(self, split: str, order: tf.data.Dataset, first: int) -> tf.data.Dataset:
        rows = self._cache.splits[split]
        dtype = tf.as_dtype(rows.parts[0].dtype)
        items = [int(np.prod(shape)) for shape in self._shapes]

        def read(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            wanted = numbers + first
            return rows.rows(wanted).reshape(len(wanted), -1), rows.labels[wanted].astype(np.int64)

        def batch(numbers: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], tf.Tensor]:
            values, labels = tf.numpy_function(read, [numbers], [dtype, tf.int64], stateful=False)
            values, labels = tf.ensure_shape(values, [None, sum(items)]), tf.ensure_shape(labels, [None])
            parts = tf.split(values, items, axis=1) if len(items) > 1 else [values]
            inputs = (tf.reshape(part, [-1, *shape]) for part, shape in zip(parts, self._shapes, strict=True))
            return tuple(inputs), labels

        return order.batch(self._config.batch_size).map(batch).prefetch(tf.data.AUTOTUNE)


def augmented(batches: tf.data.Dataset, config: FineTuneConfig, seed: int) -> tf.data.Dataset:
    """Return batches (pixels, labels, keys) with their pixels augmented, if the configuration says so.

    Args:
        batches: Pixels float32 (n, height, width, 3) in [0, 255], and what belongs to them.
        config: Whether and how.
        seed: The same seed makes the same changes to the same batches.
    """
    if not config.augment:
        return batches

    def changed(number: tf.Tensor, batch: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
        return (augment(batch[0], tf.stack([tf.constant(seed, tf.int64), number]), config.flip), *batch[1:])

    return batches.enumerate().map(changed, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def epoch_seed(seed: int, epoch: int) -> int:
    """Return the seed of one epoch, or of one view of all images."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def _without_keys(pixels: tf.Tensor, labels: tf.Tensor, keys: tf.Tensor) -> tuple[tuple[tf.Tensor], tf.Tensor]:
    return (pixels,), labels
