"""Zip archives and HDF5 files that come from anywhere: they may be larger than they look, or point to other files."""

import io
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import h5py

from graftwork.artifacts.code import CustomCode
from graftwork.base_models.safety.operations import check_archived
from graftwork.errors import UserError

_LARGEST_RATIO = 200
_ALWAYS_FINE = 16 * 2**20
_LARGEST_TEXT = 64 * 2**20
_HEADER = 30
"""Bytes before a member's name in a zip archive (APPNOTE 4.3.7)."""


def check_archive(path: Path, code: CustomCode) -> set[int]:
    """Look through an archive that Keras is about to open.

    Args:
        path: The archive.
        code: Whether the SavedModels that layers have in it may do more than compute.

    Returns:
        Every length that a side of one of its weights has.

    Raises:
        UserError: It unpacks to far more than it is, to places outside of its own, takes weights out of other files, or
            has a SavedModel that does more than compute.
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
                with _opened(path, archive, member) as file:
                    sides |= _check_arrays(file, member.file_size)
    check_archived(path, code)
    return sides


def check_hdf5(path: Path, code: CustomCode) -> set[int]:
    """Look through an HDF5 file that Keras is about to read.

    Returns:
        Every length that a side of one of its arrays has.

    Raises:
        UserError: An array lies in another file, or all of them are far larger than the file.
    """
    return _check_arrays(path, path.stat().st_size)


def _check_arrays(file: Path | BinaryIO, size: int) -> set[int]:
    sides: set[int] = set()
    total = 0
    with h5py.File(file, "r") as opened:
        for name, array in _arrays(opened, set()):
            if array is None or array.external or array.is_virtual:
                raise UserError("the HDF5 file takes data out of other files", {"array": name}, "do not use this file")
            sides |= {int(side) for side in array.shape or ()}
            total += array.size * array.dtype.itemsize if array.size else 0
    if total > _plausible(size):
        facts = {"file": f"{size:,} bytes", "its arrays": f"{total:,} bytes"}
        raise UserError("the HDF5 file claims to hold far more than it can", facts, "do not use this file")
    return sides


def _plausible(size: int) -> int:
    """Return how many bytes so many bytes may unpack to, before that looks like harm."""
    return max(_ALWAYS_FINE, _LARGEST_RATIO * size)


def _arrays(group: Any, met: set[Any]) -> Iterator[tuple[str, Any]]:
    """Yield every array by its name; None in place of one that is a link out of the file."""
    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            yield f"{group.name}/{name}", None
        elif isinstance(link, h5py.HardLink):
            member = group[name]
            if isinstance(member, h5py.Dataset):
                yield str(member.name), member
            elif isinstance(member, h5py.Group) and member.id not in met:
                met.add(member.id)
                yield from _arrays(member, met)


@contextmanager
def _opened(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[Any]:
    """Open a member for reading here and there, which zipfile does slowly: it begins anew at each step back."""
    if member.compress_type == zipfile.ZIP_STORED:  # as Keras writes weights: read where they are
        with path.open("rb") as file:
            yield _Window(file, _start(file, member), member.file_size)
    else:
        with tempfile.TemporaryFile(prefix="graftwork-") as file, archive.open(member) as packed:
            shutil.copyfileobj(packed, file)
            yield file


def _start(file: BinaryIO, member: zipfile.ZipInfo) -> int:
    """Return where the bytes of a member begin: behind its header, a name and extras whose lengths that gives."""
    file.seek(member.header_offset)
    header = file.read(_HEADER)
    name, extras = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
    return member.header_offset + _HEADER + name + extras


class _Window(io.RawIOBase):
    """The bytes of a file from one place on, as a file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        super().__init__()
        self._file, self._start, self._size, self._at = file, start, size, 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._start + self._at)
        wanted = max(0, min(len(buffer), self._size - self._at))
        content = self._file.read(wanted)
        memoryview(buffer)[: len(content)] = content
        self._at += len(content)
        return len(content)


def _require_size(member: zipfile.ZipInfo) -> None:
    largest = _plausible(member.compress_size)
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
