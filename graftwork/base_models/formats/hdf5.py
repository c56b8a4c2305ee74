"""HDF5 files, whatever is in them."""

from pathlib import Path
from typing import Any

import h5py

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def is_hdf5(path: Path) -> bool:
    """Return whether a path is an HDF5 file, by its first bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE


def text(value: Any) -> str:
    """Return an attribute as text; older files have bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def attribute(path: Path, name: str) -> str:
    """Return an attribute of a file as text, "" if it has none of that name."""
    with h5py.File(path) as file:
        return text(file.attrs.get(name, ""))
