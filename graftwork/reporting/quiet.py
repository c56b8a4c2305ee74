"""Keeps what other packages say out of the way of what graftwork says; at the level debug, everything is said."""

import faulthandler
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from graftwork.reporting import levels

_NATIVE_LOG = "TF_CPP_MIN_LOG_LEVEL"
_FATAL_ONLY = "3"
"""What else TensorFlow's native code calls an error is either raised as one, or of no account, as CUDA on a CPU is."""
_KFP = "root"
"""The logger of KFP's executor."""


@contextmanager
def without_native_log() -> Iterator[None]:
    """Keep native code from writing to standard error while the block runs; Python still can, through sys.stderr.

    TensorFlow's native code writes to the process's standard error whatever Python says. At the level debug it may.
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


def quieten_step() -> None:
    """Leave of the process of a step only what graftwork and KFP say, and the warnings and errors of Python packages.

    Has to be called before TensorFlow is imported: its native code reads its log level then, and says before it has
    that there is no GPU.
    """
    if levels.says(logging.DEBUG):
        return
    os.environ.setdefault(_NATIVE_LOG, _FATAL_ONLY)
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: record.name == _KFP or record.levelno >= logging.WARNING)
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _QuietImport("tensorflow"))


class _QuietImport:
    """Finds one package, as Python would, and imports it without its native log."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where the package is; None for all others."""
        found = PathFinder.find_spec(name, path, target) if name == self._package else None
        if found is not None and found.loader is not None:
            execute = found.loader.exec_module

            def execute_quietly(module: ModuleType) -> None:
                with without_native_log(), _crashes_shown():
                    execute(module)

            found.loader.exec_module = execute_quietly  # type: ignore[method-assign]
        return found


@contextmanager
def _crashes_shown() -> Iterator[None]:
    """Let Python say so if native code ends the process, as on a processor for which TensorFlow is not made."""
    faulthandler.enable(sys.stderr)
    try:
        yield
    finally:
        faulthandler.enable(sys.__stderr__ or sys.stderr)  # also what follows is native for the most part
