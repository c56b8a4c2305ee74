"""The step as a pipeline runs it: KFP's status in, the outcome out."""

from typing import Any

from graftwork.artifacts.folder import write_json
from graftwork.components.report_outcome.report import deliver, outcome_of
from graftwork.registry import mirror
from graftwork.registry.registry import Registry
from graftwork.reporting import progress


@progress.step("report_outcome")
def run(status: Any, registry: str, name: str, run: str, outcome: Any, notify: str, model_registry: str) -> None:
    """Write the outcome of a run to the KFP artifact `outcome`, send it to `notify`, and tell the `model_registry`."""
    content = outcome_of(registry, name, run, status.state or "", progress.failure() or status.error_message or "")
    write_json(outcome.path, content)
    progress.note(f"{content['outcome']}: {content['why']}")
    progress.result({"step": "report_outcome", "outcome": content})
    try:
        if notify:
            deliver(content, notify)
    finally:  # neither waits for the other to be reachable
        if model_registry:
            mirror.follow(model_registry, Registry(registry, name), "graftwork retraining")
