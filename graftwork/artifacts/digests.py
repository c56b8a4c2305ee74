"""What files of an artifact have to be once they are fetched from where KFP has put them."""

import hashlib
import os
from pathlib import Path
from typing import Any


def of_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return size and content of a file: "bytes" and "sha256"."""
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": file.tell(), "sha256": digest}


def of_folder(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return of every file below a folder "path", relative to it and with slashes, "bytes" and "sha256"; sorted."""
    folder = Path(path)
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return [{"path": file.relative_to(folder).as_posix(), **of_file(file)} for file in files]
