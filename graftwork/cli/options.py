"""Options that several commands have."""

from typing import Annotated

import typer

from graftwork.cli.help import SETTING

Preprocessing = Annotated[str | None, typer.Option(help=SETTING)]
Architecture = Annotated[str, typer.Option(help=SETTING)]
CustomObjects = Annotated[str, typer.Option(metavar="MODULE", help=SETTING)]
TrustCode = Annotated[bool, typer.Option("--trust-code", help=SETTING)]
