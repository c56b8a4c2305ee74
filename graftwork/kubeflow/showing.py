"""A run on Kubeflow as a person sees it: its steps as a run on this machine shows them, then what came out."""

import contextlib
from typing import TYPE_CHECKING

from graftwork.kubeflow.connection import Kubeflow
from graftwork.kubeflow.fetching import EVERYTHING
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
    with contextlib.suppress(KeyError, TypeError):  # what another version has found out may have other names
        _show_results(kubeflow, run_id, watched, console)
    return watched


def _show_results(kubeflow: Kubeflow, run_id: str, watched: Watched, console: "Console") -> None:
    results, link = watched.results, kubeflow.link_to_run(run_id)
    if "select_model" in results:
        made = {**watched.artifacts.get("select_model", {}), **watched.artifacts.get("evaluate", {})}
        places = {name: made[name] for name in EVERYTHING if name in made}
        places |= {"run": link, "fetch": f"graftwork fetch {run_id}"}
        show_results(console, results["select_model"], places)
    elif watched.succeeded and watched.steps.get("select_model") == "cached":
        console.print(f"\nnothing has changed: the results are those of an earlier run; see {link}", soft_wrap=True)
    if "report_outcome" in results:
        show_outcome(console, results["report_outcome"]["outcome"])
