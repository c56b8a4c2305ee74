"""An exported model, tried in a clean process."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from graftwork.artifacts import evaluation
from graftwork.artifacts import images as images_artifact
from graftwork.gate import export


def asked(prepared: Path, flow: Path) -> tuple[list[bytes], np.ndarray]:
    requests = [record.encoded for record in images_artifact.read(prepared).records("test")][:5]
    return requests, evaluation.read(flow / "trained-evaluation").predictions("head", "test")["probabilities"][:5]


def test_it_answers_in_a_clean_process_as_it_did_before(prepared: Path, flow: Path) -> None:
    requests, expected = asked(prepared, flow)
    found = export.check(flow / "trained-selected", requests, expected)
    assert not found.problem
    assert found.difference < 1e-5
    assert found.latency_ms > 0
    assert 0 < found.size < sum(file.stat().st_size for file in (flow / "trained-selected").rglob("*"))


def test_other_answers_are_noticed(prepared: Path, flow: Path) -> None:
    requests, expected = asked(prepared, flow)
    assert export.check(flow / "trained-selected", requests, 1 - expected).difference > 0.01
    assert "classes" in export.check(flow / "trained-selected", requests, expected[:, :2]).problem


def test_a_damaged_export_is_a_finding_not_a_crash(prepared: Path, flow: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(flow / "trained-selected", broken)
    (broken / "saved_model.pb").write_bytes(b"nothing")
    found = export.check(broken, *asked(prepared, flow))
    assert "does not work in a clean process" in found.problem


def test_a_process_that_is_killed_or_too_slow_says_nothing_about_the_model(
    prepared: Path, flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "script.py"
    monkeypatch.setattr(export, "_SCRIPT", script)
    monkeypatch.setattr(export, "_TIMEOUT_SECONDS", 1)
    for content in ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "import time; time.sleep(60)"):
        script.write_text(content)
        with pytest.raises(RuntimeError, match=r"was killed|no answers in 1 seconds"):
            export.check(flow / "trained-selected", *asked(prepared, flow))
