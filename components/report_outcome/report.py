"""How a retraining ended, from what the registry says of its run; and the delivery of that."""

import json
from datetime import UTC, datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from graftwork import storage
from graftwork.errors import UserError, in_one_line
from graftwork.registry.registry import Registry

SCHEMA = "graftwork.outcome/1"
_OUTCOMES = {"promote": "promoted", "keep": "kept"}
_FAILED = ("FAILED", "CANCELED", "CANCELLED", "ERROR")
_TIMEOUT_SECONDS = 30
_ATTEMPTS = Retry(
    total=7,  # with pauses of 0, 2, 4, 8, 16, 32 and 60 seconds, two minutes together
    backoff_factor=1,
    backoff_max=60,
    backoff_jitter=1,
    status_forcelist=(408, 429, 500, 502, 503, 504),
    allowed_methods=None,  # also POST: who is told twice sees by the run that it is the same
)


def outcome_of(registry: str, name: str, run: str, state: str, error: str = "") -> dict[str, Any]:
    """Return the outcome of a run as a JSON object.

    What stands in the registry has happened. What KFP says of the run only makes a failure of what does not stand
    there: some of its versions call a run that has just succeeded "RUNNING".

    Args:
        registry: A folder or gs:// URI.
        name: Of the model in it.
        run: Its ID.
        state: What KFP says of it, as in "SUCCEEDED".
        error: What KFP says beyond that.

    Returns:
        outcome ("promoted", "kept", "unchanged" or "failed"), why, champion (the version that serves now; None if there
        is none, or the registry does not say), report (a folder of pages), model, registry, run, and at, the time.
    """
    called = f"; KFP calls it {state}" if state in _FAILED else ""  # what else it says of such a run is not so
    outcome, why, champion, report = "failed", error or f"it ended without a verdict{called}", None, ""
    try:
        known = Registry(registry, name).state()
        champion = known.champion
        done = [event for event in known.history if event.run == run and event.action in _OUTCOMES]
        without_news = any(look.run == run and not look.news for look in known.looks)
        if done:
            outcome, why, report = _OUTCOMES[done[-1].action], done[-1].why, done[-1].report
        elif without_news and state not in _FAILED:
            outcome, why = "unchanged", "nothing new to train on"
    except UserError as unreadable:
        why = error or in_one_line(unreadable)
    return {
        "schema": SCHEMA,
        "outcome": outcome,
        "why": why,
        "champion": champion,
        "report": report,
        "model": name,
        "registry": registry,
        "run": run,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def deliver(content: dict[str, Any], notify: str) -> None:
    """Send an outcome to a webhook, or write it to a file; for two minutes again, where nobody answers.

    Raises:
        UserError: Nobody takes it.
    """
    if not notify.startswith(("http://", "https://")):
        storage.write(notify, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
        return
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=_ATTEMPTS))
        try:
            session.post(notify, json=content, timeout=_TIMEOUT_SECONDS).raise_for_status()
        except requests.RequestException as error:
            facts = {"webhook": notify, "reason": in_one_line(error), "outcome": content["outcome"]}
            raise UserError("the outcome could not be delivered", facts, "look at  retraining.notify") from None
