"""Folders of photos for tests."""

from pathlib import Path

from PIL import Image

from graftwork.artifacts import images
from graftwork.components.ingest_images.ingest import ingest
from graftwork.components.prepare_data.prepare import prepare
from graftwork.config import PrepareConfig
from graftwork.data.shards import Shard

from conftest import CLASSES, coloured_squares


def write_photos(folder: Path, count: int = 240, seed: int = 11, size: int = 20, suffix: str = "png") -> Path:
    """Write labelled photos, one sub-folder per class; the same for a seed."""
    for number, (pixels, label) in enumerate(coloured_squares(count, seed, size)):
        target = folder / CLASSES[label]
        target.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(target / f"{seed}-{number}.{suffix}")
    return folder


def prepare_source(
    data: str, path: Path, config: PrepareConfig, input_size: int = 24, stored_size: int = 0, shards: int = 1
) -> images.Images:
    """Do what a pipeline does with a source, over so many shards, until its images are prepared."""
    parts = [path.with_name(f"{path.name}-shard-{number}") for number in range(1, shards + 1)]
    for number, part in enumerate(parts, start=1):
        ingest(data, "f", Shard(number, shards), input_size, part, stored_size)
    return prepare(parts, path, config)
