"""How much is said: the command's --log-level, which steps on a cluster read from GRAFTWORK_LOG_LEVEL."""

import logging
import os
from enum import StrEnum

VARIABLE = "GRAFTWORK_LOG_LEVEL"


class Level(StrEnum):
    """Names of Python's logging, from everything to the least."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def says(level: int) -> bool:
    """Return whether what has a level of Python's logging is said: at the level in the environment, or else at info.

    A name that logging does not have counts as info: no training fails of it.
    """
    name = os.environ.get(VARIABLE, "").lower()
    return level >= logging.getLevelNamesMapping()[(name if name in list(Level) else Level.INFO).upper()]
