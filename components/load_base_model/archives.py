"""Zip archives that come from anywhere."""

import zipfile
from pathlib import Path, PurePosixPath

from graftwork.errors import UserError

_LARGEST_RATIO = 200
_ALWAYS_FINE = 16 * 2**20


def check(path: Path) -> None:
    """Raise a UserError for an archive that unpacks to far more than it is, or to places outside of its own."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    for member in members:
        name = PurePosixPath(member.filename)
        if name.is_absolute() or ".." in name.parts or "\\" in member.filename:
            facts = {"file inside": member.filename}
            raise UserError("the archive wants to write outside of its own folder", facts, "do not use this file")
    unpacked, packed = sum(member.file_size for member in members), path.stat().st_size
    if unpacked > max(_ALWAYS_FINE, _LARGEST_RATIO * packed):
        facts = {"packed": f"{packed:,} bytes", "unpacked": f"{unpacked:,} bytes"}
        raise UserError("the archive unpacks to far more than a model would", facts, "do not use this file")
