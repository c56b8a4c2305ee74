"""What a step tells: lines for a log, or events for a local run."""

import json
import subprocess
import sys

import pytest

from graftwork.errors import UserError
from graftwork.reporting import progress


@pytest.fixture(autouse=True)
def afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_reported", -100.0)


def test_a_log_gets_plain_lines_and_few_of_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(progress.EVENTS_VARIABLE, raising=False)
    assert list(progress.track(range(1000), 1000, "images")) == list(range(1000))
    assert capsys.readouterr().out.splitlines() == ["images: 1 of 1,000", "images: 1,000 of 1,000"]
    assert list(progress.track("abc", None, "letters")) == ["a", "b", "c"]
    assert capsys.readouterr().out.splitlines() == ["letters: 3 of 3"]


def test_a_local_run_gets_events(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(progress.EVENTS_VARIABLE, "1")
    progress.note("found «it»\nand more")
    progress.report(3, None, "heads", "best 0.9")
    first, second = (progress.parse("    " + line) or {} for line in capsys.readouterr().out.splitlines())
    assert first.pop("process") == second.pop("process")
    assert first == {"event": "note", "text": "found «it»\nand more"}
    assert second == {"event": "progress", "done": 3, "total": None, "what": "heads", "detail": "best 0.9"}


@pytest.mark.parametrize(
    "line", ["", "Epoch 1", "::graftwork::", "::graftwork::{", "::graftwork::[1]", 'said ::graftwork::{"event": "x"}']
)
def test_other_lines_are_no_events(line: str) -> None:
    assert progress.parse(line) is None


def test_a_step_reports_its_start_its_end_and_its_mistakes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(progress.EVENTS_VARIABLE, "1")

    @progress.step("sow")
    def sow(seeds: int) -> int:
        if seeds < 0:
            raise UserError("no seeds", {"seeds": seeds})
        return 1 // seeds

    assert sow(1) == 1
    with pytest.raises(SystemExit) as exited:
        sow(-1)
    assert exited.value.code == 2
    with pytest.raises(ZeroDivisionError):
        sow(0)
    events = [progress.parse(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events if event] == ["start", "end", "start", "error", "start", "crash"]
    assert (events[3] or {})["message"] == "no seeds\n  seeds  -1"


def test_peak_memory_is_this_processs_own() -> None:
    code = "from graftwork.reporting.progress import peak_memory_mib as p; a = p(); b = bytearray(2**28); print(a, p())"
    before, after = map(float, subprocess.check_output([sys.executable, "-P", "-c", code]).split())
    assert 5 < before < 120  # and not that of the process that started it
    assert 200 < after - before < 400


@pytest.mark.parametrize(("level", "expected"), [("info", 5), ("loud", 5), ("warning", 0), ("error", 0)])
def test_on_a_cluster_the_log_level_hides_what_is_no_error(
    level: str, expected: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRAFTWORK_LOG_LEVEL", level)

    @progress.step("look")
    def look(mistaken: bool) -> None:
        progress.note("found")
        if mistaken:
            raise UserError("no")

    look(False)
    with pytest.raises(SystemExit):
        look(True)
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == expected
    assert said.err == "error: no\n"


@pytest.mark.parametrize("level", ["debug", "info", "error"])
def test_on_a_cluster_a_result_is_one_line_at_any_level(
    level: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(progress.EVENTS_VARIABLE, raising=False)
    monkeypatch.setenv("GRAFTWORK_LOG_LEVEL", level)
    document = {"step": "sow", "why": "dry\nand «cold»", "seeds": [1, 0.5]}
    progress.result(document)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.isascii()
    assert json.loads(line.removeprefix("graftwork result: ")) == document


def test_a_local_run_has_its_results_in_files(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(progress.EVENTS_VARIABLE, "1")
    progress.result({"step": "sow"})
    assert capsys.readouterr().out == ""


def test_a_result_that_a_log_cannot_hold_is_not_in_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(progress.EVENTS_VARIABLE, raising=False)
    progress.result({"step": "sow", "seeds": ["x" * 1000] * 64})
    assert capsys.readouterr().out.startswith("warning: the result of sow is too long")


def test_a_warning_is_said_where_notes_are_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(progress.EVENTS_VARIABLE, raising=False)
    for level, said in (("warning", "warning: frost\n"), ("error", "")):
        monkeypatch.setenv("GRAFTWORK_LOG_LEVEL", level)
        progress.note("sun")
        progress.warn("frost")
        assert capsys.readouterr().out == said
    monkeypatch.setenv(progress.EVENTS_VARIABLE, "1")
    progress.warn("frost")
    event = progress.parse(capsys.readouterr().out) or {}
    assert (event["event"], event["text"]) == ("note", "warning: frost")
