"""Google Cloud Storage, for `storage`: the connection, and what goes wrong with it in plain words."""

import functools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graftwork.errors import UserError, in_one_line
from graftwork.storage import faults
from graftwork.storage.local import Stat, hidden

SCHEME = "gs://"


def stat(uri: str) -> Stat | None:
    """See `storage.stat`."""
    name = split(uri)[1]
    with plain_words(uri):
        found = bucket(uri).get_blob(name, retry=patience()) if name else None
    return Stat(uri, found.size, str(found.generation)) if found else None


def walk(uri: str) -> Iterator[Stat]:
    """See `storage.walk`."""
    name, prefix = split(uri.rstrip("/") + "/")
    with plain_words(uri):
        for found in client().list_blobs(name, prefix=prefix, retry=patience()):
            parts = found.name[len(prefix) :].split("/")
            if parts[-1] and not any(map(hidden, parts)):
                yield Stat(f"{SCHEME}{name}/{found.name}", found.size, str(found.generation))


def read(uri: str) -> bytes:
    """See `storage.read`."""
    from google.api_core.exceptions import NotFound

    with plain_words(uri):
        try:
            return bytes(_blob(uri).download_as_bytes(retry=patience()))
        except NotFound:
            raise FileNotFoundError(uri) from None


def write(uri: str, content: bytes) -> None:
    """See `storage.write`."""
    with plain_words(uri):
        _blob(uri).upload_from_string(content, retry=patience())


def upload(file: Path, uri: str) -> None:
    """See `storage.upload`."""
    with plain_words(uri):
        _blob(uri).upload_from_filename(str(file), retry=patience())


@contextmanager
def written(uri: str) -> Iterator[Path]:
    """See `storage.written`."""
    stat(uri)  # whether access is refused shows before the work
    with tempfile.TemporaryDirectory(prefix="graftwork-") as scratch:
        file = Path(scratch) / uri.rpartition("/")[2]
        yield file
        upload(file, uri)


def local_copy(uri: str, folder: Path) -> Path:
    """See `storage.local_copy`."""
    target = folder / uri.rstrip("/").rpartition("/")[2]
    files = [Stat(uri, 0, "")] if stat(uri) else list(walk(uri))
    if not files:
        raise UserError("nothing is there", {"uri": uri})
    for file in files:
        path = target / file.uri.removeprefix(uri).lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        with plain_words(uri):
            _blob(file.uri).download_to_filename(str(path), retry=patience())
    return target


def split(uri: str) -> tuple[str, str]:
    """Return the bucket and the name in it that gs://bucket/name stands for."""
    bucket, _, name = uri.removeprefix(SCHEME).partition("/")
    return bucket, name


def bucket(uri: str) -> Any:
    """Return the bucket that a URI names; nothing is asked of the server yet."""
    return client().bucket(split(uri)[0])


@functools.cache
def client() -> Any:
    """Return Google's client, without credentials where there are none: public buckets need none."""
    from google.auth.credentials import AnonymousCredentials
    from google.auth.exceptions import DefaultCredentialsError
    from google.cloud import storage

    if os.environ.get("STORAGE_EMULATOR_HOST"):
        return storage.Client(project="emulator", credentials=AnonymousCredentials())
    try:
        return storage.Client()
    except (DefaultCredentialsError, OSError):
        return storage.Client.create_anonymous_client()


def patience() -> Any:
    """Return how a request to a bucket is tried again: after 408, 429, 5xx or a lost connection, ever later.

    It is passed to every request: without it, some versions of the client try an upload once.
    """
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(faults.patience_seconds())


@contextmanager
def plain_words(uri: str) -> Iterator[None]:
    """Turn what the client raises about a URI into a UserError in plain words."""
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


def _blob(uri: str) -> Any:
    return bucket(uri).blob(split(uri)[1])
