"""Local paths and gs:// behind one small interface.

A URI is a local path or gs://bucket/name. Reading is safe from several threads at once. What is written appears whole
or not at all, see `whole`.
"""

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType

from graftwork.errors import UserError
from graftwork.storage import buckets, local
from graftwork.storage.local import Stat as Stat


def is_remote(uri: str) -> bool:
    """Return whether a URI lies in Google Cloud Storage.

    Raises:
        UserError: It has another scheme.
    """
    scheme, separator, _ = uri.partition("://")
    if separator and not uri.startswith(buckets.SCHEME):
        raise UserError(f"{scheme}:// is not supported", {"uri": uri, "expected": "a local path or gs://bucket/name"})
    return bool(separator)


def join(folder: str, name: str) -> str:
    """Return the URI of a name relative to a folder; an absolute name or URI stays as it is."""
    if "://" in name or Path(name).is_absolute():
        return name
    return f"{folder.rstrip('/')}/{name}" if is_remote(folder) else str(Path(folder) / name)


def parent(uri: str) -> str:
    """Return the folder a file lies in."""
    return uri.rpartition("/")[0] if is_remote(uri) else str(Path(uri).parent)


def absolute(uri: str) -> str:
    """Return a URI that means the same in any folder."""
    return uri if is_remote(uri) else str(Path(uri).absolute())


def stat(uri: str) -> Stat | None:
    """Return size and version of one file, None if there is none.

    Raises:
        UserError: It may not be looked at.
    """
    return _store(uri).stat(uri)


def walk(uri: str) -> Iterator[Stat]:
    """Yield every file below a folder, sorted by name, hidden files left out; nothing if there is no such folder.

    Raises:
        UserError: A folder may not be looked into.
    """
    return _store(uri).walk(uri)


def read(uri: str) -> bytes:
    """Return the content of a file.

    Raises:
        FileNotFoundError: There is none.
        OSError: It cannot be read.
    """
    return _store(uri).read(uri)


def write(uri: str, content: bytes) -> None:
    """Write a file; it changes from the old content to the new in one go.

    Raises:
        UserError: It cannot be written.
    """
    _store_of_file(uri).write(uri, content)


def upload(file: Path, uri: str) -> None:
    """Copy a local file to a URI; it changes from the old content to the new in one go.

    Raises:
        UserError: It cannot be written.
    """
    _store_of_file(uri).upload(file, uri)


def written(uri: str) -> AbstractContextManager[Path]:
    """Yield a local file to write to; a URI has its content, in one go, when the block ends without an error.

    Raises:
        UserError: The URI cannot be written. Of a local path, or a bucket that refuses access, before the block.
    """
    return _store_of_file(uri).written(uri)


@contextmanager
def fetched(uri: str) -> Iterator[Path]:
    """Yield a local path with the content of a file or folder, as long as the block lasts; see `local_copy`."""
    with tempfile.TemporaryDirectory(prefix="graftwork-") as scratch:
        yield local_copy(uri, Path(scratch))


def local_copy(uri: str, folder: Path) -> Path:
    """Return a local path with the content of a file or folder, fetched into `folder` if it lies elsewhere.

    Raises:
        UserError: There is nothing at the URI.
    """
    return _store(uri).local_copy(uri, folder)


def _store(uri: str) -> ModuleType:
    return buckets if is_remote(uri) else local


def _store_of_file(uri: str) -> ModuleType:
    if uri.endswith("/"):
        raise UserError("the file cannot be written", {"file": uri, "reason": "it names a folder"})
    return _store(uri)
