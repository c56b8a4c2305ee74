"""What there is to know of a kind of file: how to tell it, what to check, how to open it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graftwork.artifacts.code import CustomCode
from graftwork.base_models.opened import OpenedModel, Request


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: For people.
        recognise: Whether a path is of this kind, from its content.
        open: Load it, given what saved it.
        suffix: By which Keras tells the kind; "" where it does not.
        saved_by: What saved it, as in "Keras 2.15.0"; "" if that is not known.
        check: Look through it for harm, before anything is made of it; return every length that a side of one of its
            weights has, as far as that is known.
        configurations: What Keras saved of the model's structure.
    """

    name: str
    recognise: Callable[[Path], bool]
    open: Callable[[Path, Request, str], OpenedModel]
    suffix: str = ""
    saved_by: Callable[[Path], str] = lambda path: ""
    check: Callable[[Path, CustomCode], set[int]] = lambda path, code: set()
    configurations: Callable[[Path], Iterable[Any]] = lambda path: ()
