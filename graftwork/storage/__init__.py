"""Local paths and gs:// behind one small interface.

A URI is a local path or gs://bucket/name. Reading is safe from several threads at once.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import EISDIR
from pathlib import Path
from stat import S_ISDIR

from graftwork.errors import UserError
from graftwork.storage import buckets

_JUNK = {"Thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class Stat:
    """A file as a listing shows it.

    Attributes:
        uri: Where it is.
        size: In bytes.
        version: Changes when the content does: the time of the last change in nanoseconds, or the object's generation.
    """

    uri: str
    size: int
    version: str


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
    if not is_remote(uri):
        found = _status(uri)
        return _local(uri, found) if found else None
    name = buckets.split(uri)[1]
    with buckets.plain_words(uri):
        blob = buckets.bucket(uri).get_blob(name, retry=buckets.patience()) if name else None
    return Stat(uri, blob.size, str(blob.generation)) if blob else None


def walk(uri: str) -> Iterator[Stat]:
    """Yield every file below a folder, sorted by name, hidden files left out; nothing if there is no such folder.

    Raises:
        UserError: A folder may not be looked into.
    """
    if not is_remote(uri):
        yield from _walk_local(uri)
        return
    bucket, prefix = buckets.split(uri.rstrip("/") + "/")
    with buckets.plain_words(uri):
        for blob in buckets.client().list_blobs(bucket, prefix=prefix, retry=buckets.patience()):
            parts = blob.name[len(prefix) :].split("/")
            if parts[-1] and not any(_hidden(part) for part in parts):
                yield Stat(f"{buckets.SCHEME}{bucket}/{blob.name}", blob.size, str(blob.generation))


def read(uri: str) -> bytes:
    """Return the content of a file.

    Raises:
        FileNotFoundError: There is none.
        OSError: It cannot be read.
    """
    if not is_remote(uri):
        return Path(uri).read_bytes()
    from google.api_core.exceptions import NotFound

    name = buckets.split(uri)[1]
    with buckets.plain_words(uri):
        try:
            return bytes(buckets.bucket(uri).blob(name).download_as_bytes())
        except NotFound:
            raise FileNotFoundError(uri) from None


def write(uri: str, content: bytes) -> None:
    """Write a file; it changes from the old content to the new in one go.

    Raises:
        UserError: It cannot be written.
    """
    _names_a_file(uri)
    if is_remote(uri):
        with buckets.plain_words(uri):
            buckets.bucket(uri).blob(buckets.split(uri)[1]).upload_from_string(content)
        return
    with written(uri) as file, _or_not_written(uri):
        file.write_bytes(content)


def upload(file: Path, uri: str) -> None:
    """Copy a local file to a URI; it changes from the old content to the new in one go.

    Raises:
        UserError: It cannot be written.
    """
    _names_a_file(uri)
    if is_remote(uri):
        with buckets.plain_words(uri):
            buckets.bucket(uri).blob(buckets.split(uri)[1]).upload_from_filename(str(file))
        return
    with written(uri) as target, _or_not_written(uri):
        shutil.copyfile(file, target)


@contextmanager
def written(uri: str) -> Iterator[Path]:
    """Yield a local file to write to; a URI has its content, in one go, when the block ends without an error.

    Raises:
        UserError: The URI cannot be written. Of a local path, or a bucket that refuses access, before the block.
    """
    _names_a_file(uri)
    if is_remote(uri):
        stat(uri)
        with tempfile.TemporaryDirectory(prefix="graftwork-") as scratch:
            file = Path(scratch) / uri.rpartition("/")[2]
            yield file
            upload(file, uri)
        return
    path = Path(uri)
    aside = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        with _or_not_written(uri):
            path.parent.mkdir(parents=True, exist_ok=True)
            aside.touch()
            if path.is_dir():
                raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
        yield aside
        with _or_not_written(uri):
            aside.replace(path)
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def _names_a_file(uri: str) -> None:
    if uri.endswith("/"):
        raise UserError("the file cannot be written", {"file": uri, "reason": "it names a folder"})


@contextmanager
def fetched(uri: str) -> Iterator[Path]:
    """Yield a local path with the content of a file or folder, as long as the block lasts; see `local_copy`."""
    with tempfile.TemporaryDirectory(prefix="graftwork-") as scratch:
        yield local_copy(uri, Path(scratch))


@contextmanager
def _or_not_written(uri: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError("the file cannot be written", {"file": uri, "reason": error.strerror or error}) from None


def local_copy(uri: str, folder: Path) -> Path:
    """Return a local path with the content of a file or folder, fetched into `folder` if it lies elsewhere.

    Raises:
        UserError: There is nothing at the URI.
    """
    if not is_remote(uri):
        return Path(uri)
    target = folder / uri.rstrip("/").rpartition("/")[2]
    files = [Stat(uri, 0, "")] if stat(uri) else list(walk(uri))
    if not files:
        raise UserError("nothing is there", {"uri": uri})
    for file in files:
        path = target / file.uri.removeprefix(uri).lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        with buckets.plain_words(uri):
            buckets.bucket(uri).blob(buckets.split(file.uri)[1]).download_to_filename(str(path))
    return target


def _walk_local(folder: str) -> Iterator[Stat]:
    try:
        with os.scandir(folder) as listing:
            names = sorted(entry.name for entry in listing)  # not the entries: they are four times as large
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise _unreadable(folder, error) from None
    for name in names:
        if _hidden(name):
            continue
        path = f"{folder.rstrip('/')}/{name}"  # begins with the folder as it was given, "./" and all
        found = _status(path)
        if found is None:  # a dangling link
            continue
        if S_ISDIR(found.st_mode):
            yield from _walk_local(path)
        else:
            yield _local(path, found)


def _status(path: str) -> os.stat_result | None:
    try:
        return Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, error) from None


def _local(path: str, found: os.stat_result) -> Stat:
    return Stat(path, found.st_size, str(found.st_mtime_ns))


def _unreadable(uri: str, error: OSError) -> UserError:
    return UserError("it cannot be read", {"file": uri, "why": error.strerror or error})


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in _JUNK
