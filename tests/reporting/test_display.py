"""What a person sees of a local run."""

import io
import time

import pytest
from rich.console import Console

from graftwork.reporting.display import Display, show_results
from graftwork.reporting.metering import in_words

STEPS = ["look", "load", "train", "judge"]


def shown(events: list[dict[str, object]], terminal: bool = False, width: int = 100, long_seconds: float = 60) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=width, highlight=False, no_color=True)
    display = Display(console, STEPS, long_seconds)
    with display.running():
        for event in events:
            time.sleep(event.pop("after", 0))  # type: ignore[arg-type]
            display(event)
    display.finish()
    return file.getvalue()


def event(kind: str, process: str = "a", **fields: object) -> dict[str, object]:
    return {"event": kind, "process": process, "step": "train", "seconds": 1.0, "peak_mib": 1.0, **fields}


def ran(step: str) -> list[dict[str, object]]:
    return [{"event": "start", "step": step}, {"event": "end", "step": step, "seconds": 1.25, "peak_mib": 512.0}]


def test_steps_that_ran_show_their_time_and_the_others_that_they_were_cached() -> None:
    lines = shown([*ran("look"), *ran("judge")]).splitlines()
    assert [line.split()[:2] for line in lines] == [["✓", "look"], ["=", "load"], ["=", "train"], ["✓", "judge"]]
    assert "1.2 s" in lines[0]
    assert "0.5 GiB" in lines[0]
    assert lines[1].endswith("cached")


def test_everything_cached_but_the_first() -> None:
    assert [line.split()[0] for line in shown(ran("look")).splitlines()] == ["✓", "=", "=", "="]


def test_a_failed_step_is_marked() -> None:
    lines = shown([*ran("look"), {"event": "start", "step": "load"}, {"event": "error", "message": "no"}]).splitlines()
    assert lines[1].split()[:2] == ["✗", "load"]


def test_notes_stand_under_the_line_of_their_step() -> None:
    begun, ended = ran("look")
    notes = [{"event": "note", "text": text} for text in ("one", "two")]
    lines = shown([begun, *notes, ended, *ran("load")]).splitlines()
    assert [line.split()[0] for line in lines] == ["✓", "one", "two", "✓", "=", "="]
    assert lines[1] == "     one"


def test_the_notes_of_a_failed_step_stand_under_its_line_too() -> None:
    failed = [event("start"), event("note", text="found"), event("crash", message="no")]
    lines = [line.split()[:2] for line in shown(failed).splitlines()]
    assert lines[2:4] == [["✗", "train"], ["found"]]


def test_what_a_step_said_that_was_killed_is_not_lost() -> None:
    lines = [line.split()[:2] for line in shown([event("start"), event("note", text="found")]).splitlines()]
    assert lines[2:4] == [["✗", "train"], ["found"]]


def test_what_steps_say_that_run_side_by_side_stands_under_their_own_lines() -> None:
    both = [event("start", process) for process in "ab"]
    said = [event("note", process, text=f"{process}{number}") for number in (1, 2) for process in "ab"]
    ended = [event("end", process) for process in "ba"]
    late = event("note", "a", text="a3")
    lines = shown([*both, *said, ended[0], late, ended[1]]).splitlines()
    assert [line.split()[0] for line in lines if "=" not in line] == ["✓", "b1", "b2", "✓", "a1", "a2", "a3"]


def test_a_log_says_that_a_long_step_runs_and_what_it_says_meanwhile() -> None:
    said = [event("note", text="one"), event("note", text="two", after=0.5), event("end")]
    lines = shown([event("start"), *said], long_seconds=0.1).splitlines()
    assert [line.split()[0] for line in lines if "=" not in line] == ["…", "one", "two", "✓"]
    assert lines[2].split()[:4] == ["…", "train", "running", "since"]


def test_in_a_log_too_no_note_stands_under_the_line_of_another_step() -> None:
    both = [event("start", "a"), event("start", "b", after=0.2)]
    said = [event("note", process, text=process * 2, after=0.2) for process in "ab"]
    ended = [event("end", process) for process in "ba"]
    lines = shown([*both, *said, *ended], long_seconds=0.1).splitlines()
    assert [line.split()[0] for line in lines if "=" not in line] == ["…", "…", "bb", "✓", "✓", "aa"]


def test_in_a_terminal_a_step_that_runs_has_its_notes_under_it() -> None:
    running = [event("start"), event("note", text="found"), event("end", after=0.4)]
    while_it_runs, _, at_the_end = shown(running, terminal=True).rpartition("✓")
    assert "train" in while_it_runs
    assert while_it_runs.rindex("train") < while_it_runs.rindex("found")
    assert "found" in at_the_end
    assert "…" not in while_it_runs + at_the_end


def test_in_a_narrow_terminal_a_long_note_keeps_its_indentation() -> None:
    text = shown([event("start"), event("note", text="many words " * 9), event("end")], terminal=True, width=50)
    notes = [line.partition("     ")[2] for line in text.rpartition("✓")[2].splitlines() if "words" in line]
    assert len(notes) == 3
    assert all(note.startswith(("many", "words", "\x1b[2mmany", "\x1b[2mwords")) for note in notes)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["2026", "✓", "found", "=", "✓", "="]),
        ("info", ["✓", "found", "=", "✓", "="]),
        ("warning", ["✓", "=", "✓", "="]),
        ("error", []),
    ],
)
def test_the_log_level_says_how_much_is_shown(level: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFTWORK_LOG_LEVEL", level)
    begun, ended = ran("look")
    said = [{"event": "output", "text": "\x1b[95m2026 a line of KFP\x1b[0m"}, {"event": "note", "text": "found"}]
    lines = shown([begun, *said, ended, *ran("train")]).splitlines()
    assert [line.split()[0] for line in lines] == expected


def test_without_a_terminal_there_are_no_control_characters_and_no_bars() -> None:
    progress = {"event": "progress", "done": 5, "total": 10, "what": "images", "detail": ""}
    begun, ended = ran("look")
    text = shown([begun, progress, {"event": "note", "text": "[red]found[/red]"}, ended])
    assert "\x1b" not in text
    assert "5 of 10" not in text
    assert "[red]found[/red]" in text  # shown as it is, not as markup


def test_how_fast_a_step_went_is_one_line_under_it() -> None:
    profile = {
        "images": 4501,
        "seconds": 7.1,
        "images_per_second": 634.0,
        "waiting_for_input": 0.03,
        "floor_ratio": 1.08,
    }
    begun, ended = ran("train")
    lines = shown([begun, {"event": "note", "text": in_words(profile)}, ended]).splitlines()
    assert lines[2].split()[:2] == ["✓", "train"]
    assert lines[3].startswith("     634 images a second, 3")
    assert lines[3].endswith("of the time waiting for input, 1.08 times the floor")


def test_the_results_name_the_selected_candidate_and_where_everything_is() -> None:
    def numbers(validation: float, test: float) -> dict[str, dict[str, object]]:
        interval = [test - 0.01, test + 0.01]
        return {"validation": {"accuracy": validation}, "test": {"accuracy": test, "accuracy_interval": interval}}

    summary = {
        "selected": "fine-tuned",
        "reason": "validation accuracy 0.9800 against 0.9000 of head",
        "candidates": {"head": numbers(0.9, 0.91), "fine-tuned": numbers(0.98, 0.97)},
    }
    file = io.StringIO()
    results = {"model": "out/model", "report": "out/report.html", "metrics": "out/metrics.json"}
    show_results(Console(file=file, width=100), summary, results)
    text = file.getvalue()
    (chosen,) = [line for line in text.splitlines() if line.rstrip().endswith("selected")]
    assert chosen.split() == ["fine-tuned", "0.9800", "0.9700", "0.9600", "to", "0.9800", "selected"]
    for part in (summary["reason"], "out/model", "out/report.html", "out/metrics.json"):
        assert str(part) in text
