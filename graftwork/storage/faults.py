"""How long a fault of storage is waited for: most pass, and a step that fails of one begins from its beginning."""

import os
import random
import time
from collections.abc import Callable
from errno import ECONNRESET, EHOSTDOWN, EHOSTUNREACH, EIO, ENOTCONN, ESTALE, ETIMEDOUT
from typing import ParamSpec, TypeVar

from graftwork.errors import UserError

_STEP_SECONDS, _TERMINAL_SECONDS = 120.0, 30.0
_DISK_SECONDS = 15.0
_VOLUME_IS_AWAY = (ESTALE, ETIMEDOUT, ENOTCONN, ECONNRESET, EHOSTDOWN, EHOSTUNREACH)
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.2, 10.0

P = ParamSpec("P")
T = TypeVar("T")


def in_step() -> bool:
    """Return whether this is the process of a step, on a cluster or here: KFP says so in the environment."""
    return os.environ.get("_KFP_RUNTIME") == "true"


def patience_seconds() -> float:
    """Return for how long to try again: two minutes in a step, half a minute where somebody waits at a terminal."""
    return _STEP_SECONDS if in_step() else _TERMINAL_SECONDS


def retried(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a call on files returns; call again, ever later, if a network volume is away for the moment.

    EIO is tried again for seconds only: a disk says it of what is lost for good, a volume when it has waited itself.

    Args:
        call: May be called again after it has failed, whatever it had done by then.
        args: Its arguments.
        kwargs: Its arguments by name.

    Raises:
        UserError: The volume has stayed away.
        OSError: What the call raises else.
    """
    started, wait = time.monotonic(), _FIRST_WAIT_SECONDS
    while True:
        try:
            return call(*args, **kwargs)
        except OSError as error:
            away = error.errno in _VOLUME_IS_AWAY
            if not away and error.errno != EIO:
                raise
            pause = wait * random.uniform(0.5, 1.5)  # many steps wait for the same volume
            if time.monotonic() + pause - started > (patience_seconds() if away else _DISK_SECONDS):
                if not away:
                    raise
                facts = {"file": error.filename or "", "reason": error.strerror}
                raise UserError("the volume does not answer", facts, "check the volume and try again") from None
            time.sleep(pause)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
