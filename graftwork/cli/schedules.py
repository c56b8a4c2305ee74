"""The commands for recurring runs: list them, pause, resume or delete one. `graftwork schedule` makes them."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graftwork.cli.address import ADDRESS, connect, takes
from graftwork.cli.output import Answer, Json, answering
from graftwork.reporting.shown import console

if TYPE_CHECKING:
    from graftwork.kubeflow.schedules import Verb

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the schedule.")]

schedules = typer.Typer(
    help="List the recurring runs of a Kubeflow; or pause, resume or delete one.", invoke_without_command=True
)


@schedules.callback()
@takes("address", ADDRESS)
def list_schedules(context: typer.Context, address: dict[str, Any], json_: Json = False) -> None:
    """List the recurring runs of a Kubeflow; or pause, resume or delete one."""
    context.obj = address
    if context.invoked_subcommand:
        return
    from graftwork.kubeflow import schedules as recurring

    found = sorted(recurring.all_schedules(connect(address)), key=lambda run: str(run.display_name))
    with answering(json_) as answer:
        answer.facts["schedules"] = listed = [_as_facts(run) for run in found]
        if listed:
            _print_schedules(listed, answer)
        else:
            answer.say("no schedules")


@schedules.command()
@takes("address", ADDRESS)
def pause(context: typer.Context, name: Name, address: dict[str, Any], json_: Json = False) -> None:
    """Pause a schedule; what runs goes on."""
    _change("pause", name, context, address, json_)


@schedules.command()
@takes("address", ADDRESS)
def resume(context: typer.Context, name: Name, address: dict[str, Any], json_: Json = False) -> None:
    """Resume a schedule."""
    _change("resume", name, context, address, json_)


@schedules.command()
@takes("address", ADDRESS)
def delete(context: typer.Context, name: Name, address: dict[str, Any], json_: Json = False) -> None:
    """Delete a schedule; its runs stay."""
    _change("delete", name, context, address, json_)


def _change(verb: "Verb", name: str, context: typer.Context, given: dict[str, Any], as_json: bool) -> None:
    from graftwork.kubeflow import schedules as recurring

    # The options may stand before the verb or after it.
    kubeflow = connect({key: given[key] or context.obj[key] for key in given})
    with answering(as_json) as answer:
        recurring.change(kubeflow, name, verb)
        answer.say(f"{name}: {verb}d", schedule=name, change=f"{verb}d")


def _as_facts(run: Any) -> dict[str, Any]:
    """Return what a recurring run is, as the list of schedules has it."""
    from graftwork.kubeflow.schedules import next_times

    cron = (run.trigger.cron_schedule.cron if run.trigger and run.trigger.cron_schedule else None) or ""
    active = run.status == "ENABLED"
    return {
        "schedule": str(run.display_name),
        "active": active,
        "cron": cron,
        "next": next_times(cron, 1)[0].isoformat() if cron and active else None,
        "max_concurrency": int(run.max_concurrency or 1),
        "catchup": not run.no_catchup,
    }


def _print_schedules(listed: list[dict[str, Any]], answer: Answer) -> None:
    from rich.table import Table

    headings = ("schedule", "state", "cron", "next (if in UTC)", "at once", "missed runs")
    table = Table(*headings, box=None, padding=(0, 2), header_style="dim", pad_edge=False)
    for facts in listed:
        state = "active" if facts["active"] else "paused"
        next_time = f"{datetime.fromisoformat(facts['next']):%a %d %b %H:%M}" if facts["next"] else ""
        missed = "made up for" if facts["catchup"] else "left out"
        table.add_row(facts["schedule"], state, facts["cron"], next_time, str(facts["max_concurrency"]), missed)
    console(answer.lines).print(table)
