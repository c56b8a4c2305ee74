"""The command `graftwork`. Whatever is slow to import is imported by the command that needs it."""

import os
import sys
from typing import Annotated

import typer

from graftwork import __version__
from graftwork.cli import cluster_runs, inspect, kubeflow, models, predict, run, schedules
from graftwork.cli.help import Commands
from graftwork.errors import EXIT_CODE, UserError
from graftwork.reporting.levels import VARIABLE, Level

app = typer.Typer(
    name="graftwork",
    cls=Commands,
    help="Transfer learning from any saved Keras model, as Kubeflow pipelines.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line; the user's mistakes end with exit code 2 and a message."""
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_CODE)


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
    log_level: Annotated[
        Level, typer.Option(envvar=VARIABLE, case_sensitive=False, help="How much is said besides results and errors.")
    ] = Level.INFO,
) -> None:
    """Transfer learning from any saved Keras model, as Kubeflow pipelines."""
    if version:
        print(f"graftwork {__version__}")
        raise typer.Exit
    os.environ[VARIABLE] = log_level


for command in (
    *(run.run, run.retrain, inspect.inspect, run.demo, predict.predict),
    *(kubeflow.compile_, kubeflow.submit, cluster_runs.watch, cluster_runs.fetch, kubeflow.schedule),
    models.serve_manifest,
):
    app.command(command.__name__.strip("_").replace("_", "-"))(command)
app.add_typer(schedules.schedules, name="schedules")
app.add_typer(models.models, name="models")

if __name__ == "__main__":
    main()
