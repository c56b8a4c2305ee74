"""What a model was trained on, kept with it: to prove that test images are new to it, and to see when data drifts.

A .npz file:

    seen        uint64 (n,), sorted: the first 8 bytes of the SHA-256 of every image that the model was trained or
                chosen on, or a model that it was made from
    classes     string (k,), and counts, int64 (k,): how many images of each class it was trained on
    features    float32 (m, d): what its network says about some of its training images; none in a model that has
                not served
    statistics  float32 (m, len(STATISTICS)): of the same images
    labels      int32 (m,): their classes, as places in `classes`

Eight bytes tell more images apart than there are: two of a billion share them with a probability of 3 %.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from graftwork.artifacts.folder import not_an_artifact

STATISTICS = ("brightness", "contrast", "colour", "sharpness", "height", "width")
"""Mean and standard deviation of the grey levels; mean distance of the channels from grey; mean step from one pixel to
the next; all in [0, 255] as stored. Height and width in pixels."""


@dataclass(frozen=True)
class TrainedOn:
    """See the module."""

    seen: np.ndarray
    classes: np.ndarray
    counts: np.ndarray
    features: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    statistics: np.ndarray = field(default_factory=lambda: np.zeros((0, len(STATISTICS)), np.float32))
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))

    def knows(self, keys: Iterable[str | bytes]) -> np.ndarray:
        """Return which images the model has seen, by their keys: bool (n,)."""
        asked = short(keys)
        if not len(self.seen):
            return np.zeros(len(asked), bool)
        return self.seen[np.minimum(np.searchsorted(self.seen, asked), len(self.seen) - 1)] == asked


def short(keys: Iterable[str | bytes]) -> np.ndarray:
    """Return the first 8 bytes of keys, SHA-256 in hexadecimal, as numbers: uint64 (n,)."""
    return np.fromiter((int(key[:16], 16) for key in keys), np.uint64)


def union(*parts: np.ndarray) -> np.ndarray:
    """Return all of several sets of short keys, sorted: uint64 (n,)."""
    return np.unique(np.concatenate([np.zeros(0, np.uint64), *parts]))


def statistics(pixels: np.ndarray) -> np.ndarray:
    """Return the STATISTICS of an image: uint8 (height, width, 3) to float32 (6,)."""
    image = pixels.astype(np.float32)
    grey = image.mean(axis=2)
    steps = [np.abs(np.diff(grey, axis=axis)) for axis in (0, 1)]
    sharpness = sum(float(step.mean()) for step in steps if step.size) / 2
    colour = float(np.abs(image - grey[..., None]).mean())
    return np.array([grey.mean(), grey.std(), colour, sharpness, *grey.shape], np.float32)


def write(path: Path, trained_on: TrainedOn) -> None:
    """Write it to a file."""
    with path.open("wb") as file:
        np.savez(file, **vars(trained_on))


def read(path: Path) -> TrainedOn | None:
    """Read it from a file; None if there is none.

    Raises:
        UserError: The file is damaged.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path) as content:
            return TrainedOn(
                **{entry.name: content[entry.name] for entry in fields(TrainedOn) if entry.name in content}
            )
    except Exception as error:  # NumPy raises whatever the file's damage leads to
        raise not_an_artifact("model", path, f"it cannot be read: {error}") from None
