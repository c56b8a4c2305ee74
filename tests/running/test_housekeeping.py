"""What stays of earlier local runs, and what goes."""

import json
from pathlib import Path

import pytest

from graftwork.errors import UserError
from graftwork.running import housekeeping, local

from small_pipeline import run


def runs(output: Path) -> list[Path]:
    return sorted((output / ".pipeline").glob("small-*"))


def started(output: Path, value: str) -> list[str]:
    results, events = run(output, value)
    assert (results.model / "value.txt").read_text() == value
    return [event["step"] for event in events if event["event"] == "start"]


def test_the_outputs_of_runs_that_nobody_uses_any_more_are_removed(tmp_path: Path) -> None:
    for number in range(housekeeping.RECENT + 2):
        started(tmp_path, f"wood {number}")
    assert len(runs(tmp_path)) == housekeeping.RECENT
    assert started(tmp_path, "wood 4") == ["look"]
    assert started(tmp_path, "wood 0") == ["look", "make", "show"]


def test_what_is_used_again_and_again_stays_however_old_it_is(tmp_path: Path) -> None:
    for _ in range(housekeeping.RECENT + 2):
        started(tmp_path, "wood")
    first, *later = runs(tmp_path)
    assert (first / "make" / "model" / "value.txt").read_text() == "wood"
    assert len(later) == housekeeping.RECENT
    assert started(tmp_path, "wood") == ["look"]


def test_runs_that_fail_do_not_pile_up_either(tmp_path: Path) -> None:
    for number in range(housekeeping.RECENT + 2):
        with pytest.raises(UserError):
            run(tmp_path, f"wood {number}", "mistake")
    assert len(runs(tmp_path)) == housekeeping.RECENT


def test_what_is_not_a_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".pipeline" / "notes").mkdir(parents=True)
    housekeeping.clear(tmp_path / ".pipeline", ["abc"])
    for _ in range(housekeeping.RECENT + 1):
        run(tmp_path)
    assert (tmp_path / ".pipeline" / "notes").is_dir()
    entries = [json.loads(entry.read_text()) for entry in (tmp_path / ".pipeline" / housekeeping.CACHE).iterdir()]
    assert len(entries) == 2
    assert (tmp_path / local.LOG).is_file()
