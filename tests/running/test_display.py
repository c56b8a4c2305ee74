"""What a person sees of a local run."""

import io
from pathlib import Path

from rich.console import Console

from graftwork.reporting.metering import in_words
from graftwork.running.display import Display, show_results
from graftwork.running.local import Results

STEPS = ["look", "load", "train", "judge"]


def shown(events: list[dict[str, object]], terminal: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=100, highlight=False, no_color=True)
    display = Display(console, STEPS)
    with display.running():
        for event in events:
            display(event)
    display.finish()
    return file.getvalue()


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


def test_what_steps_say_that_run_side_by_side_stands_above_their_own_lines() -> None:
    def event(kind: str, process: str, **fields: object) -> dict[str, object]:
        return {"event": kind, "process": process, "step": "train", "seconds": 1.0, "peak_mib": 1.0, **fields}

    both = [event("start", process) for process in "ab"]
    said = [event("note", process, text=f"{process}{number}") for number in (1, 2) for process in "ab"]
    ended = [event("end", process) for process in "ba"]
    late = event("note", "a", text="a3")
    lines = shown([*both, *said, ended[0], late, ended[1]]).splitlines()
    assert [line.split()[0] for line in lines if "=" not in line] == ["b1", "b2", "✓", "a1", "a2", "a3", "✓"]


def test_without_a_terminal_there_are_no_control_characters_and_no_bars() -> None:
    progress = {"event": "progress", "done": 5, "total": 10, "what": "images", "detail": ""}
    text = shown([{"event": "start", "step": "look"}, progress, {"event": "note", "text": "[red]found[/red]"}])
    assert "\x1b" not in text
    assert "5 of 10" not in text
    assert "[red]found[/red]" in text  # shown as it is, not as markup


def test_how_fast_a_step_went_is_one_line_above_it() -> None:
    profile = {
        "images": 4501,
        "seconds": 7.1,
        "images_per_second": 634.0,
        "waiting_for_input": 0.03,
        "floor_ratio": 1.08,
    }
    begun, ended = ran("train")
    lines = shown([begun, {"event": "note", "text": in_words(profile)}, ended]).splitlines()
    assert lines[2].startswith("     634 images a second, 3")
    assert lines[2].endswith("of the time waiting for input, 1.08 times the floor")
    assert lines[3].split()[:2] == ["✓", "train"]


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
    results = Results(Path("out/model"), Path("out/report.html"), Path("out/metrics.json"))
    show_results(Console(file=file, width=100), summary, results)
    text = file.getvalue()
    (chosen,) = [line for line in text.splitlines() if line.rstrip().endswith("selected")]
    assert chosen.split() == ["fine-tuned", "0.9800", "0.9700", "0.9600", "to", "0.9800", "selected"]
    for part in (summary["reason"], "out/model", "out/report.html", "out/metrics.json"):
        assert str(part) in text
