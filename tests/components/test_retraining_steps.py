"""The steps that only retraining has, on small real models."""

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from kfp import dsl

from graftwork.artifacts import images as images_artifact
from graftwork.artifacts import model, trained_on
from graftwork.artifacts.images import Images
from graftwork.artifacts.trained_on import TrainedOn
from graftwork.components.check_data.check import check
from graftwork.components.check_data.step import run as run_check_data
from graftwork.components.evaluate.evaluate import evaluate
from graftwork.components.extract_features.extract import extract_features
from graftwork.components.find_champion.find import MadeOf, find
from graftwork.components.judge.judge import Judged, Policy, judge
from graftwork.components.judge.report import render
from graftwork.components.load_base_model.load import load_base_model
from graftwork.components.promote.promote import Source, keep, promote, record
from graftwork.components.report_outcome.report import deliver, outcome_of
from graftwork.components.select_model.select import select_model
from graftwork.components.train_head.train import train_head
from graftwork.config import DriftConfig, GateConfig, HeadConfig
from graftwork.errors import UserError
from graftwork.gate import export
from graftwork.registry.registry import Author, Registry, described

from fake_buckets import fake_buckets
from images_on_disk import prepare_source, write_photos

NOBODY = TrainedOn(np.zeros(0, np.uint64), np.array(["red"]), np.array([1]))


@pytest.fixture(scope="module")
def flow(prepared: Path, base_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with champion/, which knows nothing, and challenger/, which has learnt, and its evaluation/."""
    folder = tmp_path_factory.mktemp("flow")
    load_base_model(str(base_file), folder / "base")
    extract_features(prepared, folder / "base", folder / "features")
    for name, config in (
        ("untrained", HeadConfig(kind="mlp", hidden_units=2, epochs=1, learning_rate=1e-9)),
        ("trained", HeadConfig(kind="linear")),
    ):
        train_head([folder / "features"], folder / "base", folder / name, config, seed=0)
        evaluate(prepared, [folder / name], folder / f"{name}-evaluation", seed=0)
        select_model(folder / f"{name}-evaluation", [folder / name], folder / f"{name}-selected")
    (folder / "none").mkdir()
    return folder


def champion(flow: Path, folder: Path, name: str = "untrained", record: TrainedOn = NOBODY) -> Path:
    """Return a model that serves, with what it was trained on."""
    shutil.copytree(flow / f"{name}-selected", folder / "champion")
    trained_on.write(folder / "champion" / model.TRAINED_ON, record)
    return folder / "champion"


def judged(prepared: Path, flow: Path, serving: Path, policy: Policy | None = None, drift: str = "") -> Judged:
    challenger, evaluation = flow / "trained-selected", flow / "trained-evaluation"
    return judge(prepared, evaluation, challenger, serving, drift, policy or Policy(), seed=0)


def failed(verdict: Judged) -> set[str]:
    return {rule.rule for rule in verdict.verdict.rules if not rule.passed}


def seen(data: Images, split: str) -> TrainedOn:
    return TrainedOn(**{**vars(NOBODY), "seen": trained_on.union(trained_on.short(keys(data, split)))})


def keys(data: Images, split: str) -> list[str]:
    return [record.key for record in data.records(split)]


class TestJudge:
    def test_a_challenger_that_has_learnt_more_is_promoted(self, prepared: Path, flow: Path, tmp_path: Path) -> None:
        found = judged(prepared, flow, champion(flow, tmp_path))
        assert found.verdict.promote, found.verdict.reason
        assert found.accuracy["challenger"] > found.accuracy["champion"]
        page = render(found)
        assert "Promote the challenger" in page
        assert all(rule.rule in page for rule in found.verdict.rules)
        assert "Only the challenger is right" in page
        assert 0 < page.count("<figure>") == len(found.differing) <= 24

    def test_the_champion_itself_is_not_better(self, prepared: Path, flow: Path, tmp_path: Path) -> None:
        found = judged(prepared, flow, champion(flow, tmp_path, "trained"))
        assert not found.verdict.promote
        assert failed(found) == {"better"}
        assert "Keep the champion" in render(found)

    def test_the_first_model_needs_no_champion(self, prepared: Path, flow: Path) -> None:
        found = judged(prepared, flow, flow / "none")
        assert found.verdict.promote
        assert found.verdict.reason == "the first version of this model"

    @pytest.mark.parametrize(("split", "holds"), [("train", True), ("validation", True), ("test", False)])
    def test_a_champion_that_was_trained_on_test_images(
        self, split: str, holds: bool, prepared: Path, flow: Path, tmp_path: Path
    ) -> None:
        record = seen(images_artifact.read(prepared), split)
        found = judged(prepared, flow, champion(flow, tmp_path, record=record))
        assert (failed(found) == set()) is holds
        assert found.verdict.promote is holds
        if not holds:
            assert "the champion has been trained on 48" in found.verdict.reason

    def test_a_champion_that_does_not_say_what_it_was_trained_on(
        self, prepared: Path, flow: Path, tmp_path: Path
    ) -> None:
        serving = champion(flow, tmp_path)
        (serving / model.TRAINED_ON).unlink()
        with pytest.raises(UserError, match="does not say which images it was trained on"):
            judged(prepared, flow, serving)

    def test_what_the_data_check_found_counts(self, prepared: Path, flow: Path, tmp_path: Path) -> None:
        serving = champion(flow, tmp_path)
        held = judged(prepared, flow, serving, Policy(drift=DriftConfig(action="hold")), "drift in brightness")
        assert failed(held) == {"data"}
        let_pass = judged(prepared, flow, serving, drift="drift in brightness")
        assert let_pass.verdict.promote
        assert let_pass.verdict.reason.endswith("; drift in brightness")

    def test_labels_that_have_changed_show_in_the_champion(self, prepared: Path, flow: Path, tmp_path: Path) -> None:
        serving = champion(flow, tmp_path)
        description = json.loads((serving / model.DESCRIPTION).read_text())
        description["metrics"]["test"] |= {"accuracy": 0.99, "n": 1000}
        (serving / model.DESCRIPTION).write_text(json.dumps(description))
        held = judged(prepared, flow, serving, Policy(drift=DriftConfig(action="hold")))
        assert failed(held) == {"data"}
        assert "of the test images, 0.9900 when it was made" in held.verdict.reason

    def test_images_of_new_classes_count_where_they_are_allowed(
        self, prepared: Path, flow: Path, tmp_path: Path
    ) -> None:
        serving = champion(flow, tmp_path, "trained")
        described = (serving / model.DESCRIPTION).read_text()
        (serving / model.DESCRIPTION).write_text(described.replace('"red"', '"crimson"'))
        left_out = judged(prepared, flow, serving)
        assert failed(left_out) == {"classes", "better"}
        assert left_out.accuracy["champion"] == left_out.accuracy["challenger"]
        policy = Policy(GateConfig(allow_new_classes=True, allow_gone_classes=True))
        allowed = judged(prepared, flow, serving, policy)
        assert allowed.verdict.promote, allowed.verdict.reason
        red = sum(record.label == 2 for record in images_artifact.read(prepared).records("test"))
        assert allowed.accuracy["challenger"] - allowed.accuracy["champion"] == pytest.approx(red / 48)
        assert {image.label for image in allowed.differing} == {"red"}

    def test_slices_are_patterns_over_sources(self, prepared: Path, flow: Path, tmp_path: Path) -> None:
        policy = Policy(GateConfig(slices={"reds": "red/*", "none": "nothing/*"}))
        found = judged(prepared, flow, champion(flow, tmp_path), policy)
        assert found.verdict.promote
        rule = next(rule for rule in found.verdict.rules if rule.rule == "no class falls")
        assert rule.says.endswith("no image is in slice none")

    def test_an_evaluation_of_another_model_is_refused(self, prepared: Path, flow: Path) -> None:
        other = flow / "other-evaluation"
        shutil.copytree(flow / "trained-evaluation", other, dirs_exist_ok=True)
        content = json.loads((other / "evaluation.json").read_text())
        (other / "evaluation.json").write_text(json.dumps({**content, "images": "0" * 64}))
        with pytest.raises(UserError, match="not of this model and these images"):
            judge(prepared, other, flow / "trained-selected", flow / "none", "", Policy(), seed=0)


class TestExport:
    def test_it_answers_in_a_clean_process_as_it_did_before(self, prepared: Path, flow: Path) -> None:
        requests, expected = asked(prepared, flow)
        found = export.check(flow / "trained-selected", requests, expected)
        assert not found.problem
        assert found.difference < 1e-5
        assert found.latency_ms > 0
        assert 0 < found.size < sum(file.stat().st_size for file in (flow / "trained-selected").rglob("*"))

    def test_other_answers_are_noticed(self, prepared: Path, flow: Path) -> None:
        requests, expected = asked(prepared, flow)
        assert export.check(flow / "trained-selected", requests, 1 - expected).difference > 0.01
        assert "classes" in export.check(flow / "trained-selected", requests, expected[:, :2]).problem

    def test_a_damaged_export_is_a_finding_not_a_crash(self, prepared: Path, flow: Path, tmp_path: Path) -> None:
        broken = tmp_path / "broken"
        shutil.copytree(flow / "trained-selected", broken)
        (broken / "saved_model.pb").write_bytes(b"nothing")
        found = export.check(broken, *asked(prepared, flow))
        assert "does not work in a clean process" in found.problem

    def test_a_process_that_is_killed_or_too_slow_says_nothing_about_the_model(
        self, prepared: Path, flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        script = tmp_path / "script.py"
        monkeypatch.setattr(export, "_SCRIPT", script)
        monkeypatch.setattr(export, "_TIMEOUT_SECONDS", 1)
        for content in ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "import time; time.sleep(60)"):
            script.write_text(content)
            with pytest.raises(RuntimeError, match=r"was killed|no answers in 1 seconds"):
                export.check(flow / "trained-selected", *asked(prepared, flow))


def asked(prepared: Path, flow: Path) -> tuple[list[bytes], np.ndarray]:
    from graftwork.artifacts import evaluation

    requests = [record.encoded for record in images_artifact.read(prepared).records("test")][:5]
    return requests, evaluation.read(flow / "trained-evaluation").predictions("head", "test")["probabilities"][:5]


class TestPromote:
    def test_a_version_carries_what_it_was_trained_on(self, prepared: Path, flow: Path, tmp_path: Path) -> None:
        registry, source = (
            Registry(str(tmp_path / "models"), "m"),
            Source(prepared, flow / "trained-selected"),
        )
        run = Author("graftwork", "the first", run="r1", inputs="i1")
        verdict = {"promote": True, "reason": "the first", "rules": []}
        assert promote(registry, source, None, verdict, run) == 1
        before = registry.state()
        Path(registry.uri, "models.config").unlink()  # it died before it could write that
        assert promote(registry, source, None, verdict, run) == 1  # the step is tried again
        assert registry.state() == before
        assert "versions: 1 " in Path(registry.uri, "models.config").read_text()
        entry = before.versions[1]
        assert entry.data["inputs"] == "i1"
        assert entry.verdict == verdict
        found = model.read(registry.folder(1)).trained_on
        assert found is not None
        data = images_artifact.read(prepared)
        for split, known in (("train", True), ("validation", True), ("test", False)):
            assert (found.knows(keys(data, split)) == known).all()
        assert found.features.shape == (96, 16)
        assert found.counts.sum() == 96

    def test_a_step_that_is_tried_again_leaves_what_a_person_has_done(
        self, prepared: Path, flow: Path, tmp_path: Path
    ) -> None:
        registry, source = Registry(str(tmp_path / "models"), "m"), Source(prepared, flow / "trained-selected")
        verdict = {"promote": True, "reason": "better", "rules": []}
        for version, run in enumerate(("r1", "r2")):
            promote(registry, source, version or None, verdict, Author("graftwork", run=run))
        registry.rollback(Author("ann", "too slow"))
        assert promote(registry, source, 1, verdict, Author("graftwork", run="r2")) == 1
        assert registry.state().champion == 1

    def test_what_a_forebear_has_seen_is_seen(self, prepared: Path, flow: Path, tmp_path: Path) -> None:
        record = TrainedOn(**{**vars(NOBODY), "seen": np.array([7], np.uint64)})
        serving = champion(flow, tmp_path, "trained", record)
        load_base_model(str(serving), tmp_path / "base", start="champion")
        extract_features(prepared, tmp_path / "base", tmp_path / "features")
        made = train_head(
            [tmp_path / "features"], tmp_path / "base", tmp_path / "head", HeadConfig(kind="linear"), seed=0
        )
        assert made.description["candidate"] == "head-champion"
        assert made.trained_on is not None
        assert 7 in made.trained_on.seen
        assert len(made.trained_on.seen) == 96 + 48 + 1

    def test_a_kept_champion_is_noted_once(self, tmp_path: Path) -> None:
        registry, run = Registry(str(tmp_path), "m"), Author("graftwork", "no better", run="r1")
        assert keep(registry, None, run) == 0
        assert keep(registry, None, run) == 0
        (event,) = registry.state().history
        assert (event.action, event.why, event.champion) == ("keep", "no better", None)


def uris(starts: list[str]) -> list[str]:
    return [start.rpartition("#")[0] for start in starts]


class TestFind:
    def test_without_a_champion_everything_is_new(self, tmp_path: Path) -> None:
        found = find(str(tmp_path / "models"), "m", tmp_path / "champion", MadeOf(["base"], ["data"]), "both", "r1")
        assert (found.changed, found.version, found.starts) == (True, 0, [""])
        assert not model.is_model(tmp_path / "champion")

    def test_the_champion_is_fetched_and_what_was_tried_is_known(self, flow: Path, tmp_path: Path) -> None:
        with fake_buckets():
            registry = Registry("gs://shelf/models", "m")
            first = find("gs://shelf/models", "m", tmp_path / "none", MadeOf(["base"], [1]), "both", "r1")
            entry = described(flow / "trained-selected")
            data = {**entry["data"], "inputs": first.inputs}
            number = registry.register(flow / "trained-selected", {**entry, "data": data}, Author("ann"))
            registry.promote(number, None, Author("ann"))
            found = find("gs://shelf/models", "m", tmp_path / "champion", MadeOf(["base"], [1]), "both", "r1")
            assert (found.changed, found.version) == (False, 1)
            assert not model.is_model(tmp_path / "champion")
            other = find("gs://shelf/models", "m", tmp_path / "again", MadeOf(["base"], [2]), "champion", "r2")
            assert (first.stored_size, found.stored_size, other.stored_size) == (0, 0, 28)
            assert (other.changed, uris(other.starts)) == (True, ["gs://shelf/models/m/1"])
            assert model.read(tmp_path / "again").description == model.read(flow / "trained-selected").description
            for network in ("another base", "base"):
                again = find("gs://shelf/models", "m", tmp_path / network, MadeOf([network], [3]), "both", "r1")
                assert uris(again.starts) == (["", "gs://shelf/models/m/1"] if network != "base" else [""])
            registry.keep(1, Author("graftwork", inputs=other.inputs))
            assert not find(
                "gs://shelf/models", "m", tmp_path / "third", MadeOf(["base"], [2]), "champion", "r2"
            ).changed

    def test_a_champion_that_no_challenger_can_be_compared_with(self, flow: Path, tmp_path: Path) -> None:
        registry, serving = Registry(str(tmp_path / "models"), "m"), champion(flow, tmp_path)
        (serving / model.TRAINED_ON).unlink()
        registry.promote(registry.register(serving, {}, Author("ann")), None, Author("ann"))
        with pytest.raises(UserError, match="does not say which images it was trained on"):
            find(str(tmp_path / "models"), "m", tmp_path / "fetched", MadeOf([], []), "both", "r1")
        assert not (tmp_path / "fetched").exists()

    def test_a_challenger_whose_promotion_was_refused_is_not_judged(self, flow: Path, tmp_path: Path) -> None:
        registry = Registry(str(tmp_path / "models"), "m")
        serving, made_of = champion(flow, tmp_path, "trained"), MadeOf(["base"], ["data"])
        one, two, mine = (registry.register(serving, {}, Author("ann", inputs=i)) for i in ("", "", made_of.inputs))
        registry.promote(one, None, Author("ann"))
        registry.promote(two, one, Author("ann"))
        with pytest.raises(UserError, match="the champion is another one by now"):
            registry.promote(mine, one, Author("graftwork", inputs=made_of.inputs))
        assert find(str(tmp_path / "models"), "m", tmp_path / "fetched", made_of, "both", "r1").changed
        registry.promote(mine, two, Author("ann"))  # as the message says
        registry.rollback(Author("ann"))
        assert not find(str(tmp_path / "models"), "m", tmp_path / "fetched", made_of, "both", "r2").changed

    def test_what_a_person_took_back_is_not_tried_again_when_the_data_is_as_it_was(
        self, flow: Path, tmp_path: Path
    ) -> None:
        registry, serving = Registry(str(tmp_path / "models"), "m"), champion(flow, tmp_path, "trained")
        made_of = {data: MadeOf(["base"], [data]) for data in ("monday", "tuesday", "wednesday")}
        for version, data in ((None, "friday"), (1, "sunday"), (2, "monday")):
            number = registry.register(serving, {}, Author("graftwork"))
            registry.promote(number, version, Author("graftwork", run=data, inputs=MadeOf(["base"], [data]).inputs))
        restored = find(str(tmp_path / "models"), "m", tmp_path / "friday", MadeOf(["base"], ["friday"]), "both", "r")
        assert restored.changed  # the gate, not a person, has put another version in its place
        registry.rollback(Author("ann", "too slow"))
        registry.keep(2, Author("graftwork", inputs=made_of["tuesday"].inputs))
        registry.keep(3, Author("graftwork", inputs=made_of["wednesday"].inputs))  # compared before the rollback
        changed = {
            data: find(str(tmp_path / "models"), "m", tmp_path / data, made_of[data], "both", data).changed
            for data in made_of
        }
        assert changed == {"monday": False, "tuesday": False, "wednesday": True}
        registry.promote(registry.register(serving, {}, Author("bob")), 2, Author("bob"))
        assert find(str(tmp_path / "models"), "m", tmp_path / "x", made_of["tuesday"], "both", "r").changed

    def test_a_registry_that_has_lost_who_is_the_champion_ends_the_night(self, flow: Path, tmp_path: Path) -> None:
        registry = Registry(str(tmp_path / "models"), "m")
        serving = champion(flow, tmp_path, "trained")
        registry.promote(registry.register(serving, described(serving), Author("ann")), None, Author("ann"))
        Path(registry.uri, "registry.json").unlink()
        with pytest.raises(UserError, match=r"lost which version is the champion[\s\S]*models promote VERSION"):
            find(str(tmp_path / "models"), "m", tmp_path / "fetched", MadeOf([], []), "both", "r1")
        registry.register(serving, described(serving), Author("bob"))  # which writes a registry.json, but does not know
        with pytest.raises(UserError, match="lost which version is the champion"):
            find(str(tmp_path / "models"), "m", tmp_path / "fetched", MadeOf([], []), "both", "r1")
        registry.promote(1, None, Author("ann"))
        assert find(str(tmp_path / "models"), "m", tmp_path / "fetched", MadeOf([], []), "both", "r1").version == 1

    def test_another_champion_at_the_same_place_is_another_start(self, flow: Path, tmp_path: Path) -> None:
        starts = set()
        for name in ("untrained", "trained"):
            folder = tmp_path / name
            folder.mkdir()
            serving, registry = champion(flow, folder, name), Registry(str(tmp_path / "models"), "m")
            registry.promote(registry.register(serving, described(serving), Author("ann")), None, Author("ann"))
            found = find(str(tmp_path / "models"), "m", folder / "fetched", MadeOf([], []), "champion", name)
            starts |= {start.rpartition("#")[::2] for start in found.starts}
            shutil.rmtree(tmp_path / "models")
        assert len(starts) == 2
        assert {uri for uri, _ in starts} == {str(tmp_path / "models/m/1")}

    def test_something_must_be_named(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no registry is named"):
            find("", "m", tmp_path / "champion", MadeOf([], []), "both", "r1")
        with pytest.raises(UserError, match="no model in the registry is named"):
            find("models", "", tmp_path / "champion", MadeOf([], []), "both", "r1")


class TestCheckData:
    def test_the_same_images_are_no_news(self, prepared: Path, flow: Path, tmp_path: Path) -> None:
        data = images_artifact.read(prepared)
        same = record(data, model.read(flow / "trained-selected"))
        found = check(prepared, champion(flow, tmp_path, "trained", same), DriftConfig(), seed=0)
        assert found.drift is not None
        assert found.drift.new_images == 0
        assert not found.drift.problem

    def test_darker_images_are_shown(self, prepared: Path, flow: Path, tmp_path: Path) -> None:
        data = images_artifact.read(prepared)
        serving = champion(flow, tmp_path, "trained", record(data, model.read(flow / "trained-selected")))
        dark(write_photos(tmp_path / "photos", count=200, size=24))
        prepare_source(str(tmp_path / "photos"), tmp_path / "images", prepare_config())
        made = {name: kind(uri=str(tmp_path / name)) for name, kind in (("drift", dsl.Artifact), ("report", dsl.HTML))}
        given = [dsl.Dataset(uri=str(tmp_path / "images")), dsl.Model(uri=str(serving)), made["drift"], made["report"]]
        assert run_check_data(*given, {}, 0).startswith("drift in brightness")
        with pytest.raises(SystemExit):
            run_check_data(*given, {"action": "stop"}, 0)
        content = json.loads((tmp_path / "drift").read_text())
        assert "brightness" in content["problem"]
        assert len(content["oddest"]) == 12
        page = (tmp_path / "report").read_text()
        assert page.count("<figure>") == 12
        assert "The data has drifted" in page

    def test_the_size_at_which_images_are_stored_is_no_drift(self, prepared: Path, flow: Path, tmp_path: Path) -> None:
        data = images_artifact.read(prepared)
        serving = champion(flow, tmp_path, "trained", record(data, model.read(flow / "trained-selected")))
        photos = write_photos(tmp_path / "photos", count=200, size=64, seed=7)
        for size in (28, 64):
            prepare_source(str(photos), tmp_path / f"{size}", prepare_config(), stored_size=size)
        found = [check(tmp_path / f"{size}", serving, DriftConfig(), seed=0).drift for size in (28, 64)]
        measured = [{f.what: f.distance for f in drift.findings if f.p is not None} for drift in found if drift]
        assert measured[0].keys() == measured[1].keys() >= {"sharpness", "features"}
        for name, number in measured[0].items():
            assert measured[1][name] == pytest.approx(number, abs=0.05), name

    def test_a_champion_that_was_promoted_by_hand_has_no_features(
        self, prepared: Path, flow: Path, tmp_path: Path
    ) -> None:
        found = check(prepared, champion(flow, tmp_path), DriftConfig(), seed=0)
        assert found.drift is not None
        assert "promoted by hand" in found.drift.findings[-1].says

    def test_without_a_champion_there_is_nothing_to_compare(self, prepared: Path, flow: Path) -> None:
        found = check(prepared, flow / "none", DriftConfig(), seed=0)
        assert found.drift is None
        assert found.why == "there is no champion to compare with"


def dark(folder: Path) -> None:
    from PIL import Image

    for file in folder.rglob("*.png"):
        with Image.open(file) as image:
            image.point(lambda value: value // 3).save(file)


def prepare_config():  # type: ignore[no-untyped-def]
    from graftwork.config import PrepareConfig

    return PrepareConfig()


class TestReportOutcome:
    def test_what_the_registry_says_of_the_run_is_what_happened(self, tmp_path: Path) -> None:
        registry = Registry(str(tmp_path), "m")
        registry.keep(None, Author("graftwork", "no better", run="r1", report="pages"))
        for state in ("SUCCEEDED", "RUNNING", "FAILED"):
            kept = outcome_of(str(tmp_path), "m", "r1", state, "afterwards")
            assert (kept["outcome"], kept["why"], kept["report"]) == ("kept", "no better", "pages")

    # Backends differ in what they call a run that has come to its end.
    @pytest.mark.parametrize("state", ["SUCCEEDED", "COMPLETE", "CACHED", "SKIPPED", "RUNNING", ""])
    def test_a_run_is_unchanged_if_it_has_looked_and_found_nothing(self, state: str, tmp_path: Path) -> None:
        registry = Registry(str(tmp_path), "m")
        registry.note_look("r2", news=False)
        registry.note_look("r3", news=True)
        assert outcome_of(str(tmp_path), "m", "r2", state)["outcome"] == "unchanged"
        lost = outcome_of(str(tmp_path), "m", "r3", state)
        assert lost["outcome"] == "failed"
        assert "without a verdict" in lost["why"]
        assert outcome_of(str(tmp_path), "m", "r4", state)["outcome"] == "failed"

    def test_a_run_that_fails_has_failed(self, tmp_path: Path) -> None:
        Registry(str(tmp_path), "m").note_look("r1", news=False)
        broken = outcome_of(str(tmp_path), "m", "r1", "FAILED", "Task judge failed.")
        assert (broken["outcome"], broken["why"]) == ("failed", "Task judge failed.")

    def test_an_unreadable_registry_is_reported_not_raised(self, tmp_path: Path) -> None:
        (tmp_path / "m").mkdir()
        (tmp_path / "m/registry.json").write_text("nonsense")
        found = outcome_of(str(tmp_path), "m", "r1", "SUCCEEDED")
        assert found["outcome"] == "failed"
        assert "cannot be read" in found["why"]

    def test_it_goes_to_a_file_and_to_a_bucket(self, tmp_path: Path) -> None:
        content = outcome_of(str(tmp_path), "m", "r1", "SUCCEEDED")
        deliver(content, str(tmp_path / "new/outcome.json"))
        assert json.loads((tmp_path / "new/outcome.json").read_text()) == content
        with fake_buckets() as server:
            deliver(content, "gs://news/outcome.json")
            assert json.loads(server.objects["news", "outcome.json"][1]) == content

    def test_a_webhook_that_refuses_is_an_error(self, tmp_path: Path) -> None:
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
                deliver(
                    outcome_of(str(tmp_path), "m", "r1", "SUCCEEDED"), f"http://127.0.0.1:{server.server_address[1]}"
                )
        finally:
            server.shutdown()
            server.server_close()
