"""Which candidate is kept, and what the log says of it: enough to show the result and to check what is fetched."""

import hashlib
import io
import json
from pathlib import Path

import pytest
from kfp.dsl import Artifact, Metrics, Model
from rich.console import Console

from graftwork.components.select_model.step import run
from graftwork.reporting import progress
from graftwork.reporting.display import show_results


@pytest.fixture
def log(flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.delenv(progress.EVENTS_VARIABLE, raising=False)
    evaluation, head = Artifact(uri=str(flow / "trained-evaluation")), Model(uri=str(flow / "trained"))
    model, metrics = Model(uri=str(tmp_path / "model")), Metrics(uri=str(tmp_path / "metrics.json"))
    run(evaluation, head, None, None, None, model, metrics)
    assert model.metadata["selected"] == "head"
    assert metrics.metadata == {"test_accuracy": model.metadata["test_accuracy"], "test_images": 48}
    return capsys.readouterr().out.splitlines()


def shown(summary: dict) -> str:  # type: ignore[type-arg]
    console = Console(file=io.StringIO(), width=120)
    show_results(console, summary, {})
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_log_alone_is_enough_for_what_a_run_here_prints(log: list[str], tmp_path: Path) -> None:
    (line,) = (line for line in log if line.startswith(progress.RESULT))
    said = json.loads(line.removeprefix(progress.RESULT))
    summary = json.loads((tmp_path / "metrics.json").read_text())
    assert shown(said) == shown(summary)
    assert len(json.dumps(said["candidates"])) < 200


def test_every_file_is_named_with_what_it_has_to_be(log: list[str], tmp_path: Path) -> None:
    (line,) = (line for line in log if line.startswith(progress.RESULT))
    files = json.loads(line.removeprefix(progress.RESULT))["files"]
    there = [path for path in (tmp_path / "model").rglob("*") if path.is_file()]
    assert {tmp_path / "model" / file["path"] for file in files["model"]} == set(there)
    for file in (*files["model"], {"path": "../metrics.json", **files["metrics"]}):
        content = (tmp_path / "model" / file["path"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
