"""The commands about a run on a cluster that is under way or over: watch, fetch. `graftwork submit` starts one."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graftwork.cli.address import ADDRESS, connect, takes
from graftwork.cli.output import FAILED, INTERRUPTED, Answer, Json, answering
from graftwork.reporting.shown import console

if TYPE_CHECKING:
    from graftwork.kubeflow.connection import Kubeflow

Run = Annotated[str, typer.Argument(metavar="RUN", help="ID of a run.")]


@takes("address", ADDRESS)
def watch(run_id: Run, address: dict[str, Any], json_: Json = False) -> None:
    """Follow a run on Kubeflow: what its steps do and say, why one fails, what comes out. Exit as it ends."""
    with answering(json_) as answer:
        answer.facts["run"] = run_id
        follow(connect(address), run_id, answer)


@takes("address", ADDRESS)
def fetch(
    run_id: Run,
    address: dict[str, Any],
    output: Annotated[str, typer.Option("--output", "-o", metavar="FOLDER", help="Where to.")] = "graftwork-run",
    model: Annotated[bool, typer.Option("--model", help="The model alone, or with what else is named.")] = False,
    report: Annotated[bool, typer.Option("--report", help="The report alone, or with what else is named.")] = False,
    json_: Json = False,
) -> None:
    """Bring the model, the metrics and the report of a run on Kubeflow to this machine."""
    from graftwork.kubeflow import fetching

    asked = [name for name, wanted in ((fetching.MODEL, model), (fetching.REPORT, report)) if wanted]
    what = asked or fetching.EVERYTHING
    with answering(json_) as answer:
        for name, path in zip(what, fetching.fetch(connect(address), run_id, Path(output), what), strict=True):
            answer.say(f"{name:<8}{path}", **{name: str(path)})


def follow(kubeflow: "Kubeflow", run_id: str, answer: Answer) -> None:
    """Follow a run to its end, and leave as it does."""
    from graftwork.kubeflow.showing import shown

    try:
        watched = shown(kubeflow, run_id, console(answer.lines))
    except KeyboardInterrupt:
        print(f"the run goes on; follow it again: graftwork watch {run_id}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    answer.facts |= {"state": watched.state, "succeeded": watched.succeeded, "reason": watched.reason}
    answer.facts |= {"steps": watched.steps, "results": watched.results}
    if not watched.succeeded:
        raise typer.Exit(FAILED)
