"""A local file or folder appears under its name whole or not at all: it is written aside, then renamed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EISDIR, ENOTDIR
from pathlib import Path


@contextmanager
def file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield where to write a file; it takes the place of an older one, in one go, when the block ends without an error.

    Raises:
        OSError: Nothing can be written there, or it is a folder; before the block, as far as can be known.
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), str(target))
    with _aside(target) as scratch:
        new = scratch / target.name  # some writers know the format by the suffix
        yield new
        new.replace(target)


@contextmanager
def folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a folder to write into; it takes the place of an older one when the block ends without an error.

    Raises:
        OSError: Nothing can be written there, and the older one is where it was; or it is a file, before the block.
    """
    target = Path(path)
    if target.is_file():
        raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), str(target))
    with _aside(target) as scratch:
        new, old = scratch / "new", scratch / "old"
        new.mkdir()
        yield new
        if target.exists():
            target.rename(old)
        try:
            new.rename(target)
        except BaseException:
            if old.exists():
                old.rename(target)
            raise


@contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """Yield a hidden folder beside the target, to which renaming is possible; it goes with all that is left in it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # No name of a fixed form: several threads may write the same file.
    with tempfile.TemporaryDirectory(
        prefix=f".{target.name}.partial-", dir=target.parent, ignore_cleanup_errors=True
    ) as scratch:
        yield Path(scratch)
