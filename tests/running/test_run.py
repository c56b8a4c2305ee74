"""`graftwork.run` and `graftwork.retrain`: settings as arguments, and values that come back."""

import json
from pathlib import Path
from typing import Any

import pytest

import graftwork
from graftwork.errors import UserError

SOURCES = {"data": "photos", "base_model": "shelf.keras"}


def finished(output: Path, name: str = "head") -> Path:
    """Write what a run leaves behind, as far as it is looked at here."""
    splits = {split: {"accuracy": 0.9, "accuracy_interval": [0.8, 0.95], "n": 50} for split in ("validation", "test")}
    metrics = {"selected": name, "reason": "it is the only one", "test": splits["test"], "candidates": {name: splits}}
    output.mkdir()
    (output / "metrics.json").write_text(json.dumps(metrics))
    return output


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({}, r"1 setting is wrong in the arguments[\s\S]*base_model +missing"),
            (
                {"base_model": "m", "fine_tune": {"layer": 5}},
                "did you mean fine_tune.layers instead of",
            ),
            ({"base_model": "m", "sed": 5}, "did you mean seed instead of sed"),
            ({"base_model": "m", "input_size": 3}, "3: input should be greater than or equal to 8"),
            ({"base_model": "m", "runner": "podman"}, "there is no runner 'podman'"),
            ({"base_model": "m", "image": "x"}, "says nothing to a run without containers"),
            ({"base_model": "m", "pipeline": "swep"}, "there is no pipeline 'swep'"),
        ],
    )
    def test_mistakes_are_said_before_anything_runs(
        self, settings: dict[str, Any], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UserError, match=expected):
            graftwork.run(data="photos", **settings)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(("missing", "expected"), [("registry", "no registry is named"), ("name", "is not named")])
    def test_retraining_needs_to_know_of_which_model(self, missing: str, expected: str) -> None:
        given = {key: value for key, value in {"registry": "models", "name": "shelf"}.items() if key != missing}
        with pytest.raises(UserError, match=expected):
            graftwork.retrain(**SOURCES, **given)


class TestRun:
    def test_it_has_what_the_folder_has(self, tmp_path: Path) -> None:
        run = graftwork.Run(finished(tmp_path / "out"))
        assert (run.selected, run.metrics["test"]["n"]) == ("head", 50)
        assert (run.report, run.log) == (tmp_path / "out/report.html", tmp_path / "out/run.log")

    def test_it_shows_the_candidates(self, tmp_path: Path) -> None:
        run = graftwork.Run(finished(tmp_path / "out"))
        lines = str(run).splitlines()
        assert lines[0].split() == ["candidate", "validation", "test", "95", "%", "interval"]
        assert lines[1].split() == ["head", "0.9000", "0.9000", "0.8000", "to", "0.9500", "selected"]
        assert lines[-1] == f"metrics {tmp_path / 'out/metrics.json'}"
        assert repr(run) == str(run)

    def test_a_notebook_shows_the_same_and_no_markup_of_others(self, tmp_path: Path) -> None:
        shown = graftwork.Run(finished(tmp_path / "<script>", "<b>head</b>"))._repr_html_()
        assert "&lt;b&gt;head&lt;/b&gt; is selected" in shown
        assert "&lt;script&gt;/metrics.json" in shown
        assert "<script" not in shown
        assert "<b>" not in shown

    def test_a_folder_without_a_run_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="there is no finished run"):
            graftwork.Run(tmp_path)

    def test_its_model_is_opened_when_it_is_asked_for(self, tmp_path: Path, classifier: Path) -> None:
        run = graftwork.Run(finished(tmp_path / "out"))
        with pytest.raises(UserError, match="there is no model"):
            _ = run.model
        (tmp_path / "out/model").symlink_to(classifier)
        assert run.model.classes == ["blue", "green", "red"]
        assert run.model is run.model


class TestOutcome:
    def test_it_says_how_it_ended(self) -> None:
        fields = {"model": "shelf", "registry": "models", "run": "1", "at": "2026-07-01T02:00:00+00:00"}
        kept = graftwork.Outcome("kept", "worse <b>", 3, "models/shelf/reports/1", **fields)
        assert str(kept).splitlines()[:2] == ["shelf: kept; version 3 serves", "worse <b>"]
        assert "drift   models/shelf/reports/1/drift.html" in str(kept)
        assert "worse &lt;b&gt;" in kept._repr_html_()
        assert repr(graftwork.Outcome("unchanged", "", 3, "", **fields)) == "nothing has changed; version 3 serves"


def test_retraining_is_sent_to_its_own_function() -> None:
    with pytest.raises(graftwork.UserError, match="graftwork retrain"):
        graftwork.run("photos", "base.keras", pipeline="retraining")
