"""Values that a person sees as the command line prints them: at the prompt, in print, and in a notebook."""

import io
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_NOTEBOOK_COLUMNS = 120
_HTML = '<pre style="white-space:pre;overflow-x:auto;line-height:normal;font-family:monospace">{code}</pre>'


class Shown(ABC):
    """A value with one appearance, whoever shows it."""

    @abstractmethod
    def show(self, console: "Console") -> None:
        """Print it, as a command does."""

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        console = _console(color_system=None)
        self.show(console)
        return console.file.getvalue().strip("\n")  # type: ignore[attr-defined]

    def _repr_html_(self) -> str:
        """Return it for a notebook; every name that somebody gave is escaped."""
        console = _console(record=True, width=_NOTEBOOK_COLUMNS)
        self.show(console)
        return console.export_html(inline_styles=True, code_format=_HTML)


def console(file: TextIO, quiet: bool = False) -> "Console":
    """Return a console that writes to a file as it is now: a run redirects standard output.

    FORCE_COLOR colours what goes elsewhere than to a terminal; it does not animate it.
    """
    from rich.console import Console

    return Console(file=file, quiet=quiet, highlight=False, force_interactive=None if file.isatty() else False)


def _console(**how: Any) -> "Console":
    from rich.console import Console

    return Console(file=io.StringIO(), highlight=False, force_terminal=False, force_jupyter=False, **how)
