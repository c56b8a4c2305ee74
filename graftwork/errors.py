"""The errors that a user can mend: shown without a traceback, exit code 2."""

import importlib.util
import re
from collections.abc import Mapping, Sequence

EXIT_CODE = 2
_BEYOND_A_CLIENT = (
    "tensorflow",
    "tf_keras",
    "numpy",
    "scipy",
    "sklearn",
    "pandas",
    "pyarrow",
    "matplotlib",
    "PIL",
    "jinja2",
)
"""Packages that `requirements-client.lock` does not have."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LONGEST = 300
"""Characters; some exceptions hold a whole graph."""


class UserError(Exception):
    """Something the user gave is wrong: says what, where, what was expected and what to do next.

    Args:
        problem: What is wrong, in one line without a final stop.
        facts: What was looked at, as label -> text; shown one a line in the order given.
        next: What to do about it, one line or several.

    Attributes:
        problem: As given.
        facts: As given, as text.
        next: As given, a list of lines.

    Example:
        >>> try:
        ...     graftwork.open_model("nothing")
        ... except graftwork.UserError as error:
        ...     print(error)
        there is no model
          given     nothing
          expected  the output of a run, a model folder, or REGISTRY/NAME for the champion of a model
    """

    def __init__(
        self, problem: str, facts: Mapping[str, object] | None = None, next: str | Sequence[str] | None = None
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.facts = {label: str(text) for label, text in (facts or {}).items()}
        self.next = [next] if isinstance(next, str) else list(next or [])

    def __str__(self) -> str:
        lines = list(self.facts.items())
        lines += [("next" if i == 0 else "", text) for i, text in enumerate(self.next)]
        width = max((len(label) for label, _ in lines), default=0)
        return "\n".join([self.problem, *(f"  {label:<{width}}  {text}" for label, text in lines)])


def need_everything(doing: str) -> None:
    """Refuse to do what the packages of a client are not enough for.

    Args:
        doing: What needs them, as in "a run on this machine".

    Raises:
        UserError: A package is missing; nothing is imported to find out.
    """
    if missing := [name for name in _BEYOND_A_CLIENT if importlib.util.find_spec(name) is None]:
        facts = {"missing": ", ".join(missing), "here": "what submitting to a cluster needs, and no more"}
        raise UserError(f"{doing} needs all of graftwork", facts, next="pip install graftwork")


def in_one_line(error: object) -> str:
    """Return what an exception of another package says, as a fact of a UserError: one line, cut short, no colours."""
    return " ".join(_COLOURS.sub("", str(error)).split())[:_LONGEST]
