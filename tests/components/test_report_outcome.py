"""What somebody hears of a retraining."""

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from kfp.dsl import Artifact, PipelineTaskFinalStatus
from rich.console import Console

from graftwork.components.report_outcome.report import deliver, outcome_of
from graftwork.components.report_outcome.step import run
from graftwork.errors import UserError
from graftwork.registry.registry import Author, Registry
from graftwork.reporting import progress
from graftwork.reporting.display import show_outcome

from fake_buckets import fake_buckets

STATES = ["SUCCEEDED", "RUNNING", "FAILED", "CANCELED", ""]


def promoted(registry: Registry, run: str, model: Path) -> None:
    number = registry.register(model, {}, Author("graftwork", run=run))
    registry.promote(number, registry.state().champion, Author("graftwork", "better", run=run, report="pages"))


# A run that was terminated, or failed afterwards, has promoted all the same; and up to KFP 2.16 every run is "RUNNING".
@pytest.mark.parametrize("state", STATES)
def test_what_the_registry_says_of_the_run_is_what_happened(state: str, tmp_path: Path) -> None:
    registry, uri = Registry(str(tmp_path / "models"), "m"), str(tmp_path / "models")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/saved_model.pb").touch()
    registry.note_look("r1", news=True)
    promoted(registry, "r1", tmp_path / "model")
    registry.note_look("r2", news=True)
    registry.keep(1, Author("graftwork", "no better", run="r2", report="other pages"))
    expected = {"r1": ("promoted", "better", "pages"), "r2": ("kept", "no better", "other pages")}
    for identity, said in expected.items():
        found = outcome_of(uri, "m", identity, state, "afterwards")
        assert (found["outcome"], found["why"], found["report"]) == said
        assert found["champion"] == 1


@pytest.mark.parametrize("state", STATES)
def test_a_run_that_found_news_and_came_to_no_verdict_has_failed(state: str, tmp_path: Path) -> None:
    registry = Registry(str(tmp_path), "m")
    registry.note_look("r1", news=True)
    for identity in ("r1", "never looked"):
        found = outcome_of(str(tmp_path), "m", identity, state)
        assert (found["outcome"], found["champion"], found["report"]) == ("failed", None, "")
        assert found["why"].startswith("it ended without a verdict")
        assert "RUNNING" not in found["why"]
        assert outcome_of(str(tmp_path), "m", identity, state, "Task judge failed.")["why"] == "Task judge failed."


# Backends differ in what they call a run that has come to its end.
@pytest.mark.parametrize("state", ["SUCCEEDED", "COMPLETE", "CACHED", "SKIPPED", "RUNNING", ""])
def test_a_run_is_unchanged_if_it_has_looked_and_found_nothing(state: str, tmp_path: Path) -> None:
    registry = Registry(str(tmp_path), "m")
    registry.note_look("r2", news=False)
    registry.note_look("r3", news=True)
    assert outcome_of(str(tmp_path), "m", "r2", state)["outcome"] == "unchanged"
    lost = outcome_of(str(tmp_path), "m", "r3", state)
    assert lost["outcome"] == "failed"
    assert "without a verdict" in lost["why"]
    assert outcome_of(str(tmp_path), "m", "r4", state)["outcome"] == "failed"


@pytest.mark.parametrize("state", ["FAILED", "CANCELED"])
def test_a_run_that_fails_has_failed(state: str, tmp_path: Path) -> None:
    Registry(str(tmp_path), "m").note_look("r1", news=False)
    broken = outcome_of(str(tmp_path), "m", "r1", state, "Task judge failed.")
    assert (broken["outcome"], broken["why"]) == ("failed", "Task judge failed.")


@pytest.mark.parametrize("state", STATES)
def test_an_unreadable_registry_is_reported_not_raised(state: str, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m/registry.json").write_text("nonsense")
    found = outcome_of(str(tmp_path), "m", "r1", state)
    assert found["outcome"] == "failed"
    assert "cannot be read" in found["why"]


def test_it_goes_to_a_file_and_to_a_bucket(tmp_path: Path) -> None:
    content = outcome_of(str(tmp_path), "m", "r1", "SUCCEEDED")
    deliver(content, str(tmp_path / "new/outcome.json"))
    assert json.loads((tmp_path / "new/outcome.json").read_text()) == content
    with fake_buckets() as server:
        deliver(content, "gs://news/outcome.json")
        assert json.loads(server.objects["news", "outcome.json"][1]) == content


def test_the_log_says_the_outcome_in_one_line_even_where_nobody_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(progress.EVENTS_VARIABLE, raising=False)
    status = PipelineTaskFinalStatus("SUCCEEDED", "p", "t", None, None)
    Registry(str(tmp_path), "m").note_look("r1", news=False)
    outcome = Artifact(uri=str(tmp_path / "outcome.json"))
    with pytest.raises(SystemExit):
        run(status, str(tmp_path), "m", "r1", outcome, "/proc/nowhere/outcome.json", "")
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line.removeprefix(progress.RESULT) for line in lines if line.startswith(progress.RESULT))
    said = json.loads(line)
    assert said == {"step": "report_outcome", "outcome": json.loads((tmp_path / "outcome.json").read_text())}
    console = Console(file=io.StringIO(), width=120)
    show_outcome(console, said["outcome"])
    assert "nothing has changed; no version serves" in console.file.getvalue()  # type: ignore[attr-defined]


@contextmanager
def webhook(*answers: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the URL of one and what it is told; it answers with these statuses, 0 for none at all, then with 204."""
    left, told = list(answers), list[dict[str, Any]]()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if status := left.pop(0) if left else 204:
                self.send_response(status)
                self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", told
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("fault", [503, 429, 0])
def test_a_webhook_that_is_away_for_a_moment_is_told_all_the_same(fault: int, tmp_path: Path) -> None:
    content = outcome_of(str(tmp_path), "m", "r1", "SUCCEEDED")
    with webhook(fault) as (url, told):
        deliver(content, url)
        assert told == [content, content]


def test_a_webhook_that_refuses_is_an_error(tmp_path: Path) -> None:
    content = outcome_of(str(tmp_path), "m", "r1", "SUCCEEDED")
    with webhook(403) as (url, told):
        with pytest.raises(UserError, match="could not be delivered"):
            deliver(content, url)
        assert told == [content]
