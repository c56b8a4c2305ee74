"""From images to what a model says about each: one way for a few images and for many."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from graftwork import storage
from graftwork.data import imaging
from graftwork.data.iteration import batched
from graftwork.data.sources import Row
from graftwork.data.threads import map_in_order
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
        for images in batched(map_in_order(read, rows), _BATCH):
            readable = [image.content for image in images if not image.error]
            yield {"images": images, "encoded": tf.constant(readable, tf.string)}

    for batch, probabilities in served.answers(batches()):
        said = iter(probabilities)
        for image in batch["images"]:
            yield image, None if image.error else next(said)


def read(row: Row) -> Image:
    """Read one image, and see whether it can be decoded."""
    try:
        content = storage.read(row.source) if row.content is None else row.content
        imaging.decode(content)  # one bad image would otherwise fail its whole batch
    except OSError as error:
        return Image(row.source, error=error.strerror or "not found")
    except tf.errors.InvalidArgumentError:
        return Image(row.source, error=f"not an image; expected {', '.join(imaging.FORMATS)}")
    return Image(row.source, content)
