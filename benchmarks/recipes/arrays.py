"""The prepared images as arrays in memory, which is how the recipes feed `fit`."""

from pathlib import Path

import numpy as np

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
    for some, of_some, _ in data.batches(split, (side, side), 64):
        stop = start + len(of_some)
        pixels[start:stop], labels[start:stop] = some.numpy(), of_some.numpy()
        start = stop
    return pixels, labels
