"""A model as it will be served: bytes of image files in, what a signature says out."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from graftwork.data.streams import map_in_order

_AT_ONCE = 2
"""Batches asked about at the same time: what one of them leaves idle, the other uses."""

Batch = Mapping[str, Any]
"""Records of an images artifact: tensors (n, ...), of which "encoded" holds the files as strings."""


class Served:
    """A model artifact, asked through a signature as TensorFlow Serving would ask.

    Args:
        path: The artifact.
        signature: Its name.
        output: Which of its outputs to take.
    """

    def __init__(
        self, path: str | os.PathLike[str], signature: str = "serving_default", output: str = "probabilities"
    ) -> None:
        # What is held against other answers, to the fourth digit, is not to depend on the device.
        tf.config.experimental.enable_tensor_float_32_execution(False)
        self._signature = tf.saved_model.load(os.fspath(path)).signatures[signature]
        self._output = output
        self._batches = 0
        self._images, self._seconds, self._until = 0, 0.0, 0.0

    def answers(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, np.ndarray]]:
        """Yield each batch with what is said about it, float32 (n, k), in the order of the batches.

        What is said about a batch depends on that batch alone. A bounded number of them is held in memory.
        """
        for batch, said, started, ended in map_in_order(self._ask, batches, _AT_ONCE, ahead=_AT_ONCE):
            self._count(len(said), started, ended)
            yield batch, said

    def seconds_per_image(self) -> float:
        """Return what decoding an image and one pass through the network take, by the answers given so far.

        Each batch was in memory before the model was asked, and nothing but the model counts: not the first answers
        either, during which TensorFlow prepares the function, if there are others.
        """
        return self._seconds / self._images if self._images else 0.0

    def _ask(self, batch: Batch) -> tuple[Batch, np.ndarray, float, float]:
        """Return the batch, what is said about it, and from when to when the model was busy with it, in seconds."""
        started = time.monotonic()
        if not len(batch["encoded"]):  # no network takes a batch of none
            return batch, np.zeros((0, 0), np.float32), started, started
        said = self._signature(image_bytes=batch["encoded"])[self._output].numpy()
        return batch, said, started, time.monotonic()

    def _count(self, images: int, started: float, ended: float) -> None:
        self._batches += 1
        if self._batches == _AT_ONCE + 1:
            self._images, self._seconds = 0, 0.0
        self._images += images
        self._seconds += max(0.0, ended - max(started, self._until))  # time of two at once counts once
        self._until = max(self._until, ended)
