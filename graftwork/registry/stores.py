"""Where a model's versions lie: writes that happen whole or not at all, in a folder and in a bucket.

Both have the layout that TensorFlow Serving reads: NAME/VERSION/saved_model.pb. A version is there when its
saved_model.pb is: it is the last file to come and the first to go.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from graftwork import storage
from graftwork.data.streams import map_in_order
from graftwork.errors import UserError
from graftwork.storage import buckets, faults

WHOLE = "saved_model.pb"
_LOCK = ".lock"


class Store(Protocol):
    """The folder of one model."""

    uri: str

    def read(self, name: str) -> tuple[bytes, str] | None:
        """Return a small file and which writing of it this is; None if there is none."""

    def replace(self, name: str, content: bytes, generation: str | None) -> bool:
        """Write a small file if it is still as it was read: in the given writing, or absent (None)."""

    def versions(self) -> list[int]:
        """Return the numbers of all versions that are there and whole, in order."""

    def publish(self, folder: Path, number: int) -> None:
        """Copy a folder to the place of a version; nobody else may be given the same number."""

    def remove(self, number: int) -> None:
        """Remove a version, or what is there of it; nothing happens if there is nothing."""


def store(uri: str) -> Store:
    """Return the store of a model's folder, a local path or gs:// URI.

    Raises:
        UserError: The URI has another scheme.
    """
    return BucketStore(uri) if storage.is_remote(uri) else FolderStore(uri)


def models(uri: str) -> list[str]:
    """Return the names of the models below a registry's URI, in order: folders that hold versions or a registry."""
    found = set()
    for file in storage.walk(uri):
        name, _, inside = file.uri[len(uri.rstrip("/")) + 1 :].partition("/")
        number, _, rest = inside.partition("/")
        if inside == "registry.json" or (number.isdecimal() and rest == WHOLE):
            found.add(name)
    return sorted(found)


def only_name(uri: str, name: str | None) -> str:
    """Return the name of a model; without a name, the only one.

    Raises:
        UserError: There is none, or there are several.
    """
    there = models(uri)
    if name is None and len(there) == 1:
        return there[0]
    if name in there:
        return str(name)
    if not there:
        raise UserError("there are no models in the registry", {"registry": uri})
    problem = f"there is no model {name!r}" if name else "there are several models, and none is named"
    raise UserError(problem, {"registry": uri, "models": ", ".join(there)}, next="name it: --name NAME")


class FolderStore:
    """A local folder, or one that several machines have mounted if its locks work across them (NFS 4 does)."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._folder = Path(uri)

    def read(self, name: str) -> tuple[bytes, str] | None:
        """See `Store.read`."""
        try:
            with self._reading():
                content = faults.retried((self._folder / name).read_bytes)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return content, hashlib.sha256(content).hexdigest()

    def replace(self, name: str, content: bytes, generation: str | None) -> bool:
        """See `Store.replace`. The lock is the operating system's: it goes with the process that holds it."""

        def attempt() -> None:
            aside = self._folder / f".{name}.partial"
            aside.write_bytes(content)
            _flush(aside)
            aside.replace(self._folder / name)
            _flush(self._folder)

        with self._writing(), faults.retried((self._folder / _LOCK).open, "w") as lock:
            faults.retried(fcntl.flock, lock, fcntl.LOCK_EX)
            found = self.read(name)
            if (found and found[1]) != generation:
                return False
            faults.retried(attempt)
            return True

    def versions(self) -> list[int]:
        """See `Store.versions`."""
        with self._reading():
            there = faults.retried(os.listdir, self._folder) if self._folder.is_dir() else []
            found = [self._folder / name for name in there if _is_number(name)]
            return sorted(int(path.name) for path in found if (path / WHOLE).is_file())

    def publish(self, folder: Path, number: int) -> None:
        """See `Store.publish`."""
        aside = self._aside(number)
        with self._writing():
            shutil.rmtree(aside, ignore_errors=True)
            try:
                shutil.copytree(folder, aside)
                for path in (*aside.rglob("*"), aside):
                    _flush(path)
                aside.rename(self._folder / str(number))  # fails if something is there
                _flush(self._folder)
            finally:
                shutil.rmtree(aside, ignore_errors=True)

    def remove(self, number: int) -> None:
        """See `Store.remove`."""
        aside = self._aside(number)
        with self._writing():
            if (self._folder / str(number)).exists():
                shutil.rmtree(aside, ignore_errors=True)
                (self._folder / str(number)).rename(aside)
            shutil.rmtree(aside, ignore_errors=True)

    def _aside(self, number: int) -> Path:
        return self._folder / f".{number}.partial"

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError):
            raise
        except OSError as error:
            facts = {"file": error.filename or self._folder, "why": error.strerror or error}
            raise UserError("the registry cannot be read", facts) from None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            yield
        except OSError as error:
            facts = {"registry": self.uri, "why": f"{error.strerror or error}: {error.filename or self._folder}"}
            raise UserError("the registry cannot be written", facts) from None


class BucketStore:
    """A prefix in Google Cloud Storage. Small files are replaced under a generation precondition."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")

    def read(self, name: str) -> tuple[bytes, str] | None:
        """See `Store.read`."""
        from google.api_core.exceptions import NotFound

        while True:
            with buckets.plain_words(self.uri):
                blob = buckets.bucket(self.uri).get_blob(self._name(name), retry=buckets.patience())
                if blob is None:
                    return None
                generation = blob.generation  # downloading forgets it
                try:
                    return bytes(blob.download_as_bytes(retry=buckets.patience())), str(generation)
                except NotFound:  # that generation has been replaced
                    continue

    def replace(self, name: str, content: bytes, generation: str | None) -> bool:
        """See `Store.replace`."""
        from google.api_core.exceptions import PreconditionFailed

        blob = buckets.bucket(self.uri).blob(self._name(name))
        with buckets.plain_words(self.uri):
            try:
                blob.upload_from_string(
                    content,
                    content_type="application/json" if name.endswith(".json") else "text/plain",
                    if_generation_match=int(generation or 0),
                    retry=buckets.patience(),
                )
            except PreconditionFailed:
                # Either somebody was faster, or a first attempt of this call arrived and its answer was lost.
                found = self.read(name)
                return found is not None and found[0] == content
        return True

    def versions(self) -> list[int]:
        """See `Store.versions`."""
        names = (file.uri.removeprefix(f"{self.uri}/").partition("/") for file in storage.walk(self.uri))
        return sorted(int(number) for number, _, rest in names if rest == WHOLE and _is_number(number))

    def publish(self, folder: Path, number: int) -> None:
        """See `Store.publish`."""
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]

        def upload(path: Path) -> None:
            name = self._name(f"{number}/{path.relative_to(folder).as_posix()}")
            with buckets.plain_words(self.uri):
                buckets.bucket(self.uri).blob(name).upload_from_filename(str(path), retry=buckets.patience())

        for _ in map_in_order(upload, [path for path in files if path != folder / WHOLE]):
            pass
        upload(folder / WHOLE)

    def remove(self, number: int) -> None:
        """See `Store.remove`."""
        from google.api_core.exceptions import NotFound

        bucket, _ = buckets.split(self.uri)
        whole = self._name(f"{number}/{WHOLE}")
        with buckets.plain_words(self.uri):
            listing = buckets.client().list_blobs(bucket, prefix=self._name(f"{number}/"), retry=buckets.patience())
            for blob in sorted(listing, key=lambda blob: blob.name != whole):
                with suppress(NotFound):  # somebody else removes the same version
                    blob.delete(retry=buckets.patience())

    def _name(self, name: str) -> str:
        return f"{buckets.split(self.uri)[1]}/{name}".lstrip("/")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and not (text.startswith("0") and text != "0")


def _flush(path: Path) -> None:
    """Bring a file or folder to the disk: what follows may not become visible before it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
