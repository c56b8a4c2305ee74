"""Recurring runs: one schedule per name, created, changed, paused, resumed and deleted."""

import contextlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from croniter import croniter

from graftwork.errors import UserError
from graftwork.kubeflow.connection import Kubeflow
from graftwork.kubeflow.step_logs import parameters_of
from graftwork.kubeflow.submitting import EXPERIMENT, Version, experiment

Verb = Literal["pause", "resume", "delete"]
TIME_ZONE = "the time zone of Kubeflow's scheduler: UTC, unless CRON_SCHEDULE_TIMEZONE is set for it"


def parse_cron(text: str) -> str:
    """Turn a cron expression of five fields, as everybody writes them, into Kubeflow's of six.

    Kubeflow takes one of five fields too, and reads the minutes as seconds.

    Args:
        text: minute, hour, day of month, month, day of week; or with seconds in front.

    Raises:
        UserError: It is something else.
    """
    fields = text.split()
    expected = 'minute hour day month weekday, as in "30 3 * * *" for every night at half past three'
    if len(fields) not in (5, 6):
        raise UserError(f"{text!r} is not a cron expression", {"fields": len(fields), "expected": expected})
    six = " ".join(fields if len(fields) == 6 else ["0", *fields])
    try:
        croniter(six, second_at_beginning=True)
    except (ValueError, KeyError) as error:
        raise UserError(f"{text!r} is not a cron expression", {"why": error, "expected": expected}) from None
    if any(sign in six.split()[5] for sign in "7#Ll"):
        raise UserError(
            f"Kubeflow does not know the day of week {six.split()[5]!r}", {"expected": "0 (Sunday) to 6, or SUN to SAT"}
        )
    return six


def next_times(cron: str, count: int = 3, start: datetime | None = None) -> list[datetime]:
    """Return when a schedule is due next, in the scheduler's time zone taken as UTC."""
    times = croniter(cron, start or datetime.now(UTC), second_at_beginning=True)
    return [times.get_next(datetime) for _ in range(count)]


def schedule(
    kubeflow: Kubeflow,
    name: str,
    version: Version,
    parameters: Mapping[str, Any],
    cron: str,
    *,
    max_concurrency: int = 1,
    catchup: bool = True,
    experiment_name: str = EXPERIMENT,
    service_account: str | None = None,
) -> str:
    """Make sure that exactly one schedule of this name is there, and is as described.

    Kubeflow cannot change a schedule. A new one is made, paused; only when the old one is gone it begins. Whatever
    happens in between, never are two of them active, and the same command again sets it right.

    Args:
        kubeflow: The server.
        name: Of the schedule.
        version: Of the pipeline to run.
        parameters: The pipeline's parameters.
        cron: When it runs: six fields, seconds first, as Kubeflow has them and `parse_cron` returns them.
        max_concurrency: How many of its runs may be under way at the same time.
        catchup: Whether runs that were missed are made up for, each of them.
        experiment_name: Under which its runs are listed; created if it is not there.
        service_account: Kubernetes service account of the pods; None for the server's default.

    Returns:
        "created", "updated", "resumed" or "unchanged"; in any case it is active.

    Raises:
        UserError: The server refuses, or the connection is lost.
    """
    there = find(kubeflow, name)
    wanted = {
        "version": version.version_id,
        "parameters": json.loads(json.dumps(dict(parameters))),
        "cron": cron,
        "max_concurrency": max_concurrency,
        "catchup": catchup,
        "service_account": service_account,
    }
    same = [run for run in there if _content(run, service_account) == wanted]
    kept = next((run for run in same if run.status == "ENABLED"), same[0] if same else None)
    if kept and len(there) == 1 and kept.status == "ENABLED":
        return "unchanged"
    if not kept:
        experiment_id = experiment(kubeflow, experiment_name)
        with kubeflow.saying(f"create the schedule {name}"), contextlib.redirect_stdout(None):
            kept = kubeflow.client.create_recurring_run(
                experiment_id,
                name,
                cron_expression=cron,
                max_concurrency=max_concurrency,
                no_catchup=not catchup,
                params=dict(parameters),
                pipeline_id=version.pipeline_id,
                version_id=version.version_id,
                enabled=not there,
                service_account=service_account,
            )
    if not there:
        return "created"
    for run in there:
        if run.recurring_run_id != kept.recurring_run_id:
            with kubeflow.saying(f"remove the schedule {name} that was there before; the new one is paused"):
                kubeflow.client.delete_recurring_run(run.recurring_run_id)
    with kubeflow.saying(f"resume the schedule {name}"):
        kubeflow.client.enable_recurring_run(kept.recurring_run_id)
    return "resumed" if kept in there and len(there) == 1 else "updated"


def find(kubeflow: Kubeflow, name: str) -> list[Any]:
    """Return the recurring runs of a name; there is one, unless an update was interrupted."""
    list_ = kubeflow.client.list_recurring_runs
    return kubeflow.find(list_, "recurring_runs", name, namespace=kubeflow.namespace)


def all_schedules(kubeflow: Kubeflow) -> list[Any]:
    """Return every recurring run of the namespace."""
    list_ = kubeflow.client.list_recurring_runs
    return list(kubeflow.every(list_, "recurring_runs", namespace=kubeflow.namespace))


def change(kubeflow: Kubeflow, name: str, verb: Verb) -> None:
    """Pause, resume or delete a schedule; its runs stay, and what runs goes on.

    Raises:
        UserError: There is none of this name, the server refuses, or the connection is lost.
    """
    call = {"pause": "disable_recurring_run", "resume": "enable_recurring_run", "delete": "delete_recurring_run"}[verb]
    found = find(kubeflow, name)
    if not found:
        names = sorted({str(run.display_name) for run in all_schedules(kubeflow)})
        raise UserError(f"there is no schedule {name!r}", {"host": kubeflow.where, "there": ", ".join(names) or "none"})
    for run in found:
        with kubeflow.saying(f"{verb} the schedule {name}"):
            getattr(kubeflow.client, call)(run.recurring_run_id)


def _content(run: Any, service_account: str | None) -> dict[str, Any]:
    """Return what a recurring run is made of, as `schedule` compares it."""
    reference, trigger = run.pipeline_version_reference, run.trigger
    return {
        "version": reference and reference.pipeline_version_id,
        "parameters": parameters_of(run),
        "cron": trigger and trigger.cron_schedule and trigger.cron_schedule.cron,
        "max_concurrency": int(run.max_concurrency or 1),
        "catchup": not run.no_catchup,
        # The server fills in its default where none was asked for.
        "service_account": run.service_account if service_account else None,
    }
