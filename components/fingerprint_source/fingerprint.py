"""What a source holds, as one short value that changes when anything in it does. Reads listings, not images."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from graftwork import storage
from graftwork._version import __version__
from graftwork.config import HUB
from graftwork.data import sources
from graftwork.data.streams import map_in_order
from graftwork.errors import UserError


def fingerprint_data(uri: str) -> str:
    """Return the fingerprint of labelled images.

    Args:
        uri: A folder or a table, see `sources`. Of a table, its content and every image it names count.

    Returns:
        SHA-256 in hexadecimal.

    Raises:
        UserError: There is no such source, or nothing in it.
    """
    if not sources.is_table(uri):
        return _digest(_not_empty(map(_line, storage.walk(uri)), uri))
    return _digest(_table_lines(uri))


def fingerprint_model(uri: str, custom_objects: str = "") -> str:
    """Return the fingerprint of a base model.

    Args:
        uri: A file, a folder, or a name.
        custom_objects: A module, or a .py file, that registers the classes the model needs; "" for none.

    Raises:
        UserError: It looks like a path, and nothing is there.
    """
    return _digest([*_model_lines(uri), *(_model_lines(custom_objects) if custom_objects.endswith(".py") else [])])


def _model_lines(uri: str) -> list[str]:
    if uri.startswith(HUB):
        return [uri]
    found = storage.stat(uri)
    if found is not None and not Path(uri).is_dir():
        return [_line(found)]
    if inside := [_line(file) for file in storage.walk(uri)]:
        return inside
    if storage.is_remote(uri) or "/" in uri or Path(uri).suffix:
        if uri.endswith(".py"):
            raise UserError("the file with custom objects does not exist", {"custom_objects": uri})
        expected = "a Keras model (.keras, .h5 or a SavedModel folder), or the name of a keras.applications model"
        raise UserError("the base model does not exist", {"base_model": uri, "expected": expected})
    return [uri]


def _table_lines(uri: str) -> Iterable[str]:
    table = storage.stat(uri)
    yield f"{uri} {hashlib.sha256(storage.read(uri)).hexdigest() if table else ''}"
    images = (row.source for row in sources.rows(uri) if row.content is None)
    for found in map_in_order(storage.stat, images):
        yield _line(found) if found else "missing"


def _line(file: storage.Stat) -> str:
    return f"{file.uri} {file.size} {file.version}"


def _not_empty(lines: Iterable[str], uri: str) -> Iterable[str]:
    empty = True
    for line in lines:
        empty = False
        yield line
    if empty:
        next(sources.rows(uri))  # says what is wrong


def _digest(lines: Iterable[str]) -> str:
    # With the version: what another version makes of the same source may differ.
    digest = hashlib.sha256(f"graftwork {__version__}\n".encode())
    for line in lines:
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()
