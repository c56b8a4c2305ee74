"""What a container leaves as its last words."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftwork.errors import UserError
from graftwork.reporting import progress, termination


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file as Kubernetes puts it into a container."""
    file = tmp_path / "termination-log"
    file.touch()
    monkeypatch.setattr(termination, "LOG", file)
    monkeypatch.delenv(progress.EVENTS_VARIABLE, raising=False)
    return file


@progress.step("sow")
def sow(error: Exception) -> None:
    raise error


def test_a_mistake_of_the_user_is_left_in_its_words(log: Path) -> None:
    with pytest.raises(SystemExit):
        sow(UserError("no seeds", {"field": "north"}, "buy some"))
    assert log.read_text() == "error: no seeds\n  field  north\n  next   buy some"


def test_a_crash_leaves_what_it_is_and_where_it_was(log: Path) -> None:
    with pytest.raises(ValueError, match="rain"):
        sow(ValueError("rain " * 4000))
    first, *_, last = log.read_text().splitlines()
    assert first.startswith("sow: ValueError: rain rain")
    assert last.endswith("rain rain ")
    assert 3500 < log.stat().st_size <= 4096


def test_elsewhere_nothing_is_left(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(progress.EVENTS_VARIABLE, "1")  # a local run, perhaps in a notebook's container
    with pytest.raises(SystemExit):
        sow(UserError("no seeds"))
    assert log.read_text() == ""
    monkeypatch.delenv(progress.EVENTS_VARIABLE)
    log.unlink()
    with pytest.raises(SystemExit):
        sow(UserError("no seeds"))
    assert not log.exists()


def test_a_step_that_is_stopped_says_so_and_dies_of_it(log: Path) -> None:
    code = f"""
import pathlib, time
from graftwork.reporting import progress, termination
termination.LOG = pathlib.Path({str(log)!r})
@progress.step("wait")
def wait():
    time.sleep(60)
wait()
"""
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "wait: started\n"
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
    assert said == "wait: stopped from outside by SIGTERM\n"
    assert log.read_text().startswith("wait: stopped from outside by SIGTERM: the pod was deleted or evicted")


def test_what_a_signal_does_otherwise_comes_back_after_the_step() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with termination.of_signals("sow"):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


@given(st.text(max_size=300), st.integers(60, 120))
def test_a_text_is_cut_to_its_beginning_and_its_end(text: str, most: int) -> None:
    cut = termination.shortened(text, most)
    assert len(cut.encode()) <= most
    if len(text.encode()) <= most:
        assert cut == text
    else:
        head, tail = cut.split("\n[...]\n", 1)
        assert text.startswith(head)
        assert text.endswith(tail)


def test_a_text_of_lines_is_cut_between_them() -> None:
    lines = [f"line {number}" for number in range(1000)]
    shown = termination.shortened(os.linesep.join(lines)).splitlines()
    assert set(shown) <= {*lines, "[...]"}
    assert (shown[0], shown[-1]) == ("line 0", "line 999")
