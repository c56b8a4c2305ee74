"""From images to what a model says about each: one way for a few images and for many."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from graftwork.data.reading import readable
from graftwork.data.sources import Row
from graftwork.data.streams import batched, map_in_order
from graftwork.prediction.served import Served

_BATCH = 32


Answer = tuple[str, np.ndarray | None, str]
"""An image's path or URI, its probabilities, float32 (classes,), and ""; where it cannot be read None, and why."""


def answers(served: Served, rows: Iterable[Row]) -> Iterator[Answer]:
    """Yield what a model says about each image, in their order; a bounded number of them is in memory."""

    def batches() -> Iterator[dict[str, Any]]:
        for images in batched(map_in_order(lambda row: (row.source, *readable(row)), rows), _BATCH):
            contents = [content for _, content, error in images if not error]
            yield {"images": images, "encoded": tf.constant(contents, tf.string)}

    for batch, probabilities in served.answers(batches()):
        said = iter(probabilities)
        for source, _, error in batch["images"]:
            yield source, None if error else next(said), error
