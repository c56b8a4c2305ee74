"""From images to what a model says about each: one way for a few images and for many."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from graftwork.data.reading import readable
from graftwork.data.sources import Row
from graftwork.data.streams import batched, map_in_order
from graftwork.prediction.served import Served

_BATCH = 32


@dataclass(frozen=True)
class Image:
    """An image: its bytes, or why there are none."""

    source: str
    content: bytes = b""
    error: str = ""


Answer = tuple[Image, np.ndarray | None]
"""An image and its probabilities, float32 (classes,); None where it cannot be read."""


def answers(served: Served, rows: Iterable[Row]) -> Iterator[Answer]:
    """Yield what a model says about each image, in their order; a bounded number of them is in memory."""

    def batches() -> Iterator[dict[str, Any]]:
        for images in batched(map_in_order(_read, rows), _BATCH):
            contents = [image.content for image in images if not image.error]
            yield {"images": images, "encoded": tf.constant(contents, tf.string)}

    for batch, probabilities in served.answers(batches()):
        said = iter(probabilities)
        for image in batch["images"]:
            yield image, None if image.error else next(said)


def _read(row: Row) -> Image:
    return Image(row.source, *readable(row))
