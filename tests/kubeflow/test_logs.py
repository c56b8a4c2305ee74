"""What is graftwork's own in the log of a pod, as a real server gives it."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graftwork.kubeflow.logs import Reader

from fake_kubeflow import ANSWERS


def taken(text: str) -> tuple[Reader, list[dict[str, Any]]]:
    reader = Reader()
    return reader, [event for line in text.splitlines() for event in reader.take(line)]


def recorded(name: str) -> tuple[Reader, list[dict[str, Any]]]:
    return taken((ANSWERS / f"{name}.txt").read_text())


def test_notes_and_progress_of_a_step_and_nothing_else() -> None:
    reader, events = recorded("log-fine-tune")
    assert [event["text"] for event in events if event["event"] == "note"] == [
        "training the last 25 of 49 layers of the base, and the head, in float32",
        "the frozen layers run in every epoch: a cache would need 1,715 of 1,820 passes",
        "best validation accuracy 0.9524 of 2 epochs",
        "8 images a second, 0 % of the time waiting for input, 1.49 times the floor",
    ]
    progress = [event for event in events if event["event"] == "progress"]
    assert [(event["done"], event["total"]) for event in progress][:2] == [(1, 52), (8, 52)]
    assert progress[-1]["detail"] == "epoch 1: validation accuracy 0.9143"
    assert reader.ended == {"seconds": 197.0, "peak_mib": 1861.0}
    assert reader.why() == ""


def test_where_a_step_puts_what_it_makes() -> None:
    reader, _ = recorded("log-select-model")
    place = "minio://mlpipeline/v2/artifacts/transfer-learning/"
    made = reader.artifacts()
    assert set(made) == {"executor-logs", "metrics", "model"}
    assert made["model"].startswith(place)
    assert made["model"].endswith("/model")


def test_the_users_mistake_is_told_as_the_step_told_it() -> None:
    reader, events = recorded("log-first-step-failed")
    assert events == []
    assert reader.exit_status == 2
    assert reader.why().splitlines() == [
        "error: the data does not exist",
        "  data      /data/nowhere",
        "  expected  a folder with one sub-folder of images per class, or a .csv, .jsonl or .parquet table",
    ]


def test_a_step_that_was_killed_says_what_that_means_most_often() -> None:
    reader, _ = recorded("log-out-of-memory")
    assert reader.exit_status == 137
    assert "more memory than its limit" in reader.why()


@pytest.mark.parametrize("cut", ['{"selected": "he', "", "[1]", "null"])
def test_a_result_that_was_cut_off_is_none(cut: str) -> None:
    reader, _ = taken(f"select_model: started\ngraftwork result: {cut}\nselect_model: 1.0 s, 5 MiB at most")
    assert reader.results == {}
    assert reader.ended


def test_an_input_that_was_cut_off_is_none() -> None:
    reader, _ = taken("[KFP Executor x INFO]: Got executor_input:\n{\n  half\n}\nlook: started\na note")
    assert (reader.inputs, reader.artifacts()) == ({}, {})


NOTES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1).filter(
    lambda note: ":" not in note and "[" not in note
)


@settings(deadline=None)
@given(st.lists(NOTES, max_size=5))
def test_what_a_step_says_comes_through_what_others_say(notes: list[str]) -> None:
    noise = [
        "I1126 21:31:47.360724      16 launcher_v2.go:867] Executing uploadOutputArtifacts attempt: 1",
        "[KFP Executor 2026-11-26 21:31:32,250 INFO]: generated new fontManager",
        "E0000 00:00:1795728697.679086      25 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error",
        "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    ]
    lines = ["look: started", *(line for note in notes for line in (*noise, note)), *noise]
    _, events = taken("\n".join(lines))
    assert [event["text"] for event in events] == notes


PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)))


@settings(deadline=None)
@given(st.dictionaries(PLAIN, st.integers() | PLAIN | st.none()))
def test_a_result_comes_back_as_it_was(document: dict[str, Any]) -> None:
    reader, events = taken(f"look: started\ngraftwork result: {json.dumps(document)}")
    assert reader.results == document
    assert events == []
