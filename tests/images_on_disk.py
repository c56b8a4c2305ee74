"""Folders of photos for tests."""

from pathlib import Path

from PIL import Image

from conftest import CLASSES, coloured_squares


def write_photos(folder: Path, count: int = 240, seed: int = 11, size: int = 20, suffix: str = "png") -> Path:
    """Write labelled photos, one sub-folder per class; the same for a seed."""
    for number, (pixels, label) in enumerate(coloured_squares(count, seed, size)):
        target = folder / CLASSES[label]
        target.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(target / f"{seed}-{number}.{suffix}")
    return folder
