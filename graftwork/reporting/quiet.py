"""TensorFlow's native code writes to the process's standard error whatever Python says; here it does not."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from graftwork.reporting import levels


@contextmanager
def without_native_log() -> Iterator[None]:
    """Keep native code from writing to standard error while the block runs; Python still can, through sys.stderr.

    At the level debug, native code may.
    """
    if levels.says(logging.DEBUG):
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    before = sys.stderr
    sys.stderr = os.fdopen(os.dup(kept), "w", buffering=1)
    try:
        yield
    finally:
        sys.stderr.close()
        sys.stderr = before
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
