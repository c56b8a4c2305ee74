"""Local paths and gs:// behind one small interface."""

from pathlib import Path


def is_remote(uri: str) -> bool:
    return uri.startswith("gs://")


def local_copy(uri: str, folder: Path) -> Path:
    return Path(uri)
