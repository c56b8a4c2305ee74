"""HDF5 files that come from anywhere: they may point to other files, or claim to be larger than they are."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import h5py

from graftwork.errors import UserError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_LARGEST_RATIO = 200
_ALWAYS_FINE = 16 * 2**20


def is_hdf5(path: Path) -> bool:
    """Return whether a path is an HDF5 file, by its first bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE


def plausible(size: int) -> int:
    """Return how many bytes so many bytes may unpack to, before that looks like harm."""
    return max(_ALWAYS_FINE, _LARGEST_RATIO * size)


def text(value: Any) -> str:
    """Return an attribute as text; older files have bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def check(file: Path | BinaryIO, size: int) -> set[int]:
    """Look through a file that Keras is about to read.

    Args:
        file: The file.
        size: In bytes.

    Returns:
        Every length that a side of one of its arrays has.

    Raises:
        UserError: An array lies in another file, or all of them are far larger than the file.
    """
    sides: set[int] = set()
    total = 0
    with h5py.File(file, "r") as opened:
        for name, array in _arrays(opened, set()):
            if array is None or array.external or array.is_virtual:
                raise UserError("the HDF5 file takes data out of other files", {"array": name}, "do not use this file")
            sides |= {int(side) for side in array.shape or ()}
            total += array.size * array.dtype.itemsize if array.size else 0
    if total > plausible(size):
        facts = {"file": f"{size:,} bytes", "its arrays": f"{total:,} bytes"}
        raise UserError("the HDF5 file claims to hold far more than it can", facts, "do not use this file")
    return sides


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
