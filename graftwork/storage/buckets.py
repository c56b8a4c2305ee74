"""The connection to Google Cloud Storage, and what goes wrong with it in plain words."""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from graftwork.errors import UserError, in_one_line

SCHEME = "gs://"
_PATIENCE_SECONDS = 30.0


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
    """Return how long to try again where a look at a bucket is not answered: downloads may take longer."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(_PATIENCE_SECONDS)


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
