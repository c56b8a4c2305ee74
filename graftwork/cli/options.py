"""Options that several commands have."""

from typing import Annotated

import typer

Architecture = Annotated[str, typer.Option(help="Of a file with weights only, its keras.applications model.")]
CustomObjects = Annotated[
    str, typer.Option(metavar="MODULE", help="A module or a .py file that registers classes the base needs.")
]
TrustCode = Annotated[bool, typer.Option("--trust-code", help="Run Python code that the base's file contains.")]
