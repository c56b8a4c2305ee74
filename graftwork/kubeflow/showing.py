"""A run on Kubeflow as a person sees it: its steps as a run on this machine shows them, then what came out."""

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from graftwork.errors import UserError
from graftwork.kubeflow.connection import Kubeflow
from graftwork.kubeflow.fetching import EVERYTHING
from graftwork.kubeflow.logs import NoLogError, clean
from graftwork.kubeflow.step_logs import log_of, made_by, node_of
from graftwork.kubeflow.watching import POLL_SECONDS, Watched, watch
from graftwork.reporting.display import Display, show_outcome, show_results

if TYPE_CHECKING:
    from rich.console import Console


def shown(kubeflow: Kubeflow, run_id: str, console: "Console", poll_seconds: float = POLL_SECONDS) -> Watched:
    """Follow a run to its end, print what its steps do and say, and what came out.

    Raises:
        UserError: As `watch` does.
    """
    display = Display(console, [], clock=True)
    with display.running():
        try:
            watched = watch(kubeflow, run_id, display, poll_seconds)
        finally:
            display.leave()
    # What another version has found out may have other names; and a log may be gone meanwhile.
    with contextlib.suppress(KeyError, TypeError, NoLogError, UserError):
        _show_results(kubeflow, run_id, watched, console)
    return watched


def _show_results(kubeflow: Kubeflow, run_id: str, watched: Watched, console: "Console") -> None:
    results = watched.results
    if "select_model" in results:
        made = {**watched.artifacts.get("select_model", {}), **watched.artifacts.get("evaluate", {})}
        show_results(console, results["select_model"], _places(made, kubeflow.link_to_run(run_id), run_id))
    elif watched.succeeded and watched.steps.get("select_model") == "cached":
        _show_earlier(kubeflow, run_id, console)
    if "report_outcome" in results:
        show_outcome(console, results["report_outcome"]["outcome"])


def _show_earlier(kubeflow: Kubeflow, run_id: str, console: "Console") -> None:
    """Print the results of a run of which every step came from the cache: those of the run that it repeats."""
    made = made_by(kubeflow, kubeflow.run(run_id), "select_model")
    node = made and node_of(made, "select_model")
    if not made or not node:
        console.print("\nnothing has changed: the results are those of an earlier run", soft_wrap=True)
        return
    said = f"\nnothing has changed: the results are those of {clean(made.display_name)}"
    console.print(said, soft_wrap=True, markup=False)
    reader = log_of(kubeflow, made, node)
    show_results(console, reader.results, _places(reader.artifacts(), kubeflow.link_to_run(made.run_id), run_id))


def _places(made: Mapping[str, str], link: str, run_id: str) -> dict[str, str]:
    """Return where results are, and how to get them."""
    found = {name: made[name] for name in EVERYTHING if name in made}
    return {**found, "run": link, "fetch": f"graftwork fetch {run_id}"}
