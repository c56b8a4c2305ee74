"""What every artifact folder has in common: it says what it is."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from graftwork.errors import UserError
from graftwork.storage import whole


def write_json(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write a JSON file for people and machines to read; it appears whole or not at all."""
    with whole.file(path) as file:
        file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_description(
    path: Path, content: Mapping[str, Any], profile: Callable[[], Mapping[str, Any]] | None = None
) -> None:
    """Write the JSON file that says what an artifact folder holds; the last to be written.

    Args:
        path: The file.
        content: What it says.
        profile: Asked now, when all else is written, how fast each step went that made the folder.
    """
    write_json(path, {**content, **({"profile": profile()} if profile else {})})


def read_description(folder: str | os.PathLike[str], file: str, schema: str) -> dict[str, Any]:
    """Read the JSON file that says what an artifact folder holds, and check its kind and schema version.

    Args:
        folder: The artifact.
        file: Name of the description inside the folder.
        schema: What its "schema" entry must be, as in "graftwork.images/1".

    Raises:
        UserError: The file is missing, is no JSON object, or describes something else.
    """
    path = Path(folder) / file
    kind = schema.partition("/")[0].removeprefix("graftwork.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise not_an_artifact(kind, path, "the file is missing") from None
    except OSError as error:
        raise UserError(f"the {kind} artifact cannot be read", {"file": path, "why": error.strerror or error}) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise not_an_artifact(kind, path, f"not JSON: {error}") from None
    found = content.get("schema") if isinstance(content, dict) else None
    if found != schema:
        raise not_an_artifact(kind, path, f'its "schema" is {found!r}, expected {schema!r}')
    return content


def require_file(kind: str, path: Path, size: int | None = None) -> None:
    """Raise a UserError if a file of an artifact is missing, or has not the size in bytes that it should have."""
    if not path.is_file():
        raise not_an_artifact(kind, path, "the file is missing")
    found = path.stat().st_size
    if size is not None and found != size:
        raise not_an_artifact(kind, path, f"it has {found:,} bytes, expected {size:,}")


def not_an_artifact(kind: str, path: Path, why: str) -> UserError:
    """Return the error for a file that is not what it claims to be."""
    return UserError(
        f"not {'an' if kind[0] in 'aeiou' else 'a'} {kind} artifact, or a damaged one",
        {"file": path, "why": why},
        next="delete the folder and run the step that made it again",
    )
