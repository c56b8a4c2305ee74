"""What somebody hears of a retraining."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from graftwork.components.report_outcome.report import deliver, outcome_of
from graftwork.errors import UserError
from graftwork.registry.registry import Author, Registry

from fake_buckets import fake_buckets


def test_what_the_registry_says_of_the_run_is_what_happened(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path), "m")
    registry.keep(None, Author("graftwork", "no better", run="r1", report="pages"))
    for state in ("SUCCEEDED", "RUNNING", "FAILED"):
        kept = outcome_of(str(tmp_path), "m", "r1", state, "afterwards")
        assert (kept["outcome"], kept["why"], kept["report"]) == ("kept", "no better", "pages")


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


def test_a_run_that_fails_has_failed(tmp_path: Path) -> None:
    Registry(str(tmp_path), "m").note_look("r1", news=False)
    broken = outcome_of(str(tmp_path), "m", "r1", "FAILED", "Task judge failed.")
    assert (broken["outcome"], broken["why"]) == ("failed", "Task judge failed.")


def test_an_unreadable_registry_is_reported_not_raised(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m/registry.json").write_text("nonsense")
    found = outcome_of(str(tmp_path), "m", "r1", "SUCCEEDED")
    assert found["outcome"] == "failed"
    assert "cannot be read" in found["why"]


def test_it_goes_to_a_file_and_to_a_bucket(tmp_path: Path) -> None:
    content = outcome_of(str(tmp_path), "m", "r1", "SUCCEEDED")
    deliver(content, str(tmp_path / "new/outcome.json"))
    assert json.loads((tmp_path / "new/outcome.json").read_text()) == content
    with fake_buckets() as server:
        deliver(content, "gs://news/outcome.json")
        assert json.loads(server.objects["news", "outcome.json"][1]) == content


def test_a_webhook_that_refuses_is_an_error(tmp_path: Path) -> None:
    class Refuses(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(403)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        with pytest.raises(UserError, match="could not be delivered"):
            deliver(outcome_of(str(tmp_path), "m", "r1", "SUCCEEDED"), f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()
        server.server_close()
