"""Files on this machine, for `storage`."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR

from graftwork.errors import UserError
from graftwork.storage import faults, whole

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


def hidden(name: str) -> bool:
    """Return whether listings leave a file or folder of this name out."""
    return name.startswith(".") or name in _JUNK


def stat(uri: str) -> Stat | None:
    """See `storage.stat`."""
    found = _status(uri)
    return _stat(uri, found) if found else None


def walk(uri: str) -> Iterator[Stat]:
    """See `storage.walk`."""
    try:
        names = sorted(faults.retried(os.listdir, uri))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise _unreadable(uri, error) from None
    for name in names:
        if hidden(name):
            continue
        path = f"{uri.rstrip('/')}/{name}"  # begins with the folder as it was given, "./" and all
        found = _status(path)
        if found is None:  # a dangling link
            continue
        if S_ISDIR(found.st_mode):
            yield from walk(path)
        else:
            yield _stat(path, found)


def read(uri: str) -> bytes:
    """See `storage.read`."""
    return faults.retried(Path(uri).read_bytes)


def write(uri: str, content: bytes) -> None:
    """See `storage.write`."""

    def attempt() -> None:
        with whole.file(uri) as file:
            file.write_bytes(content)

    with _or_not_written(uri):
        faults.retried(attempt)


def upload(file: Path, uri: str) -> None:
    """See `storage.upload`."""

    def attempt() -> None:
        with whole.file(uri) as target:
            shutil.copyfile(file, target)

    with _or_not_written(uri):
        faults.retried(attempt)


@contextmanager
def written(uri: str) -> Iterator[Path]:
    """See `storage.written`."""
    with ExitStack() as writing:
        with _or_not_written(uri):
            aside = writing.enter_context(whole.file(uri))
        yield aside
        with _or_not_written(uri):
            writing.close()


def local_copy(uri: str, folder: Path) -> Path:
    """See `storage.local_copy`."""
    return Path(uri)


@contextmanager
def _or_not_written(uri: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError("the file cannot be written", {"file": uri, "reason": error.strerror or error}) from None


def _status(path: str) -> os.stat_result | None:
    try:
        return faults.retried(Path(path).stat)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, error) from None


def _stat(path: str, found: os.stat_result) -> Stat:
    return Stat(path, found.st_size, str(found.st_mtime_ns))


def _unreadable(uri: str, error: OSError) -> UserError:
    return UserError("it cannot be read", {"file": uri, "why": error.strerror or error})
