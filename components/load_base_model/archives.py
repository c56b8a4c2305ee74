"""Zip archives that come from anywhere."""

import json
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from graftwork.components.load_base_model import hdf5
from graftwork.errors import UserError

_LARGEST_RATIO = 200
_ALWAYS_FINE = 16 * 2**20
_LARGEST_TEXT = 64 * 2**20


def is_archive(path: Path) -> bool:
    """Return whether a path is an archive in which Keras keeps a model."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return "config.json" in archive.namelist()


def version(path: Path) -> str:
    """Return what saved an archive, as in "Keras 3.5.0"."""
    with zipfile.ZipFile(path) as archive:
        return f"Keras {json.loads(archive.read('metadata.json')).get('keras_version', '')}".strip()


def configuration(path: Path) -> Any:
    """Return what Keras saved of a model's structure."""
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


def check(path: Path) -> set[int]:
    """Look through an archive that Keras is about to open.

    Returns:
        Every length that a side of one of its weights has.

    Raises:
        UserError: It unpacks to far more than it is, to places outside of its own, or takes weights out of other files.
    """
    sides: set[int] = set()
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = PurePosixPath(member.filename)
            if name.is_absolute() or ".." in name.parts or "\\" in member.filename:
                facts = {"file inside": member.filename}
                raise UserError("the archive wants to write outside of its own folder", facts, "do not use this file")
            _require_size(member)
        for member in archive.infolist():
            if member.filename.endswith((".h5", ".hdf5")):
                with archive.open(member) as file:
                    sides |= hdf5.check(file, member.file_size)  # type: ignore[arg-type]
    return sides


def _require_size(member: zipfile.ZipInfo) -> None:
    largest = max(_ALWAYS_FINE, _LARGEST_RATIO * member.compress_size)
    if member.filename.endswith(".json"):
        largest = min(largest, _LARGEST_TEXT)
    if member.file_size > largest:
        facts = {
            "file inside": member.filename,
            "packed": f"{member.compress_size:,} bytes",
            "unpacked": f"{member.file_size:,} bytes",
        }
        next = "copy or download it again, in case it is damaged; else do not use it"
        raise UserError("the archive unpacks to far more than a model would", facts, next)
