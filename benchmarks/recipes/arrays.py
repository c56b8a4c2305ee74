"""The prepared images as arrays in memory, which is how the recipes feed `fit`."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from graftwork import imaging
from graftwork.artifacts import images


def load(path: Path, split: str, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Decode a split.

    Args:
        path: An images artifact.
        split: "train", "validation" or "test".
        side: Height and width in pixels.

    Returns:
        Pixels float32 (n, side, side, 3) in [0, 255], and labels int64 (n,).
    """
    data = images.read(path)
    pixels = np.empty((data.size(split), side, side, 3), np.float32)
    labels = np.empty(len(pixels), np.int64)
    start = 0
    for some, of_some in batches(data, split, side):
        stop = start + len(of_some)
        pixels[start:stop], labels[start:stop] = some.numpy(), of_some.numpy()
        start = stop
    return pixels, labels


def batches(data: images.Images, split: str, side: int) -> tf.data.Dataset:
    """Return a split in batches of 64, decoded in parallel and ahead of time, in the order on disk."""

    def decoded(record: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        return imaging.pixels(record["encoded"], (side, side), data.stored_size), record["label"]

    return data.dataset(split).map(decoded, num_parallel_calls=tf.data.AUTOTUNE).batch(64).prefetch(tf.data.AUTOTUNE)
