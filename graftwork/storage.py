"""Local paths and gs:// behind one small interface.

A URI is a local path or gs://bucket/name. Reading is safe from several threads at once.
"""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graftwork.errors import UserError, in_one_line

_REMOTE = "gs://"
_PATIENCE_SECONDS = 30.0
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
    if separator and not uri.startswith(_REMOTE):
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


def stat(uri: str) -> Stat | None:
    """Return size and version of one file, None if there is none."""
    if not is_remote(uri):
        try:
            found = Path(uri).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Stat(uri, found.st_size, str(found.st_mtime_ns))
    bucket, name = _split(uri)
    with _plain_words(uri):
        blob = _client().bucket(bucket).get_blob(name, retry=_patience()) if name else None
    return Stat(uri, blob.size, str(blob.generation)) if blob else None


def walk(uri: str) -> Iterator[Stat]:
    """Yield every file below a folder, sorted by name, hidden files left out; nothing if there is no such folder."""
    if not is_remote(uri):
        yield from _walk_local(uri)
        return
    bucket, prefix = _split(uri.rstrip("/") + "/")
    with _plain_words(uri):
        for blob in _client().list_blobs(bucket, prefix=prefix, retry=_patience()):
            parts = blob.name[len(prefix) :].split("/")
            if parts[-1] and not any(_hidden(part) for part in parts):
                yield Stat(f"{_REMOTE}{bucket}/{blob.name}", blob.size, str(blob.generation))


def read(uri: str) -> bytes:
    """Return the content of a file.

    Raises:
        FileNotFoundError: There is none.
        OSError: It cannot be read.
    """
    if not is_remote(uri):
        return Path(uri).read_bytes()
    from google.api_core.exceptions import NotFound

    bucket, name = _split(uri)
    with _plain_words(uri):
        try:
            return bytes(_client().bucket(bucket).blob(name).download_as_bytes())
        except NotFound:
            raise FileNotFoundError(uri) from None


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
        bucket, name = _split(file.uri)
        with _plain_words(uri):
            _client().bucket(bucket).blob(name).download_to_filename(str(path))
    return target


def _walk_local(folder: str) -> Iterator[Stat]:
    try:
        with os.scandir(folder) as listing:
            names = sorted(entry.name for entry in listing)  # not the entries: they are four times as large
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        if _hidden(name):
            continue
        path = f"{folder.rstrip('/')}/{name}"  # begins with the folder as it was given, "./" and all
        if Path(path).is_dir():
            yield from _walk_local(path)
        else:
            found = stat(path)
            if found is not None:  # a dangling link
                yield found


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in _JUNK


def _split(uri: str) -> tuple[str, str]:
    bucket, _, name = uri.removeprefix(_REMOTE).partition("/")
    return bucket, name


@functools.cache
def _client() -> Any:
    from google.auth.credentials import AnonymousCredentials
    from google.auth.exceptions import DefaultCredentialsError
    from google.cloud import storage

    if os.environ.get("STORAGE_EMULATOR_HOST"):
        return storage.Client(project="emulator", credentials=AnonymousCredentials())
    try:
        return storage.Client()
    except (DefaultCredentialsError, OSError):
        return storage.Client.create_anonymous_client()  # public buckets need no credentials


def _patience() -> Any:
    """How long to try again where a look at a bucket is not answered: downloads may take longer."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(_PATIENCE_SECONDS)


@contextmanager
def _plain_words(uri: str) -> Iterator[None]:
    from google.api_core.exceptions import Forbidden, GoogleAPICallError, NotFound, RetryError, Unauthorized
    from google.auth.exceptions import GoogleAuthError
    from requests.exceptions import RequestException

    try:
        yield
    except (Forbidden, Unauthorized, GoogleAuthError) as error:
        next = [
            "sign in:  gcloud auth application-default login",
            "or point GOOGLE_APPLICATION_CREDENTIALS to a key file",
        ]
        raise UserError(
            "Google Cloud Storage refuses access", {"uri": uri, "reason": in_one_line(error)}, next
        ) from None
    except NotFound as error:
        raise UserError("the bucket does not exist", {"uri": uri, "reason": in_one_line(error)}) from None
    except (GoogleAPICallError, RetryError, RequestException) as error:
        facts = {"uri": uri, "reason": in_one_line(error)}
        raise UserError("Google Cloud Storage does not answer", facts, "check the network and try again") from None
