"""The evaluation of candidates, the report, and the choice between them."""

import dataclasses
import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from kfp import dsl

from graftwork.artifacts import evaluation, images, model
from graftwork.artifacts.folder import write_json
from graftwork.components.evaluate import charts
from graftwork.components.evaluate.evaluate import Evaluated, Mistake, evaluate
from graftwork.components.evaluate.report import render
from graftwork.components.evaluate.step import run as run_evaluate
from graftwork.components.extract_features.extract import extract_features
from graftwork.components.fine_tune.fine_tune import fine_tune
from graftwork.components.load_base_model.load import load_base_model
from graftwork.components.select_model.select import select_model
from graftwork.components.select_model.step import run as run_select_model
from graftwork.components.train_head.train import train_head
from graftwork.config import FineTuneConfig, HeadConfig
from graftwork.errors import UserError
from graftwork.evaluation import metrics as own
from graftwork.evaluation.selection import select
from graftwork.prediction.served import Served
from graftwork.reporting.metering import Meter

DEEPER = FineTuneConfig(layers=2, epochs=1)


@pytest.fixture(scope="module")
def flow(prepared: Path, base_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with head/, tuned/ and their evaluation/. The head is poor, so that there are mistakes."""
    folder = tmp_path_factory.mktemp("flow")
    load_base_model(str(base_file), folder / "base")
    extract_features(prepared, folder / "base", folder / "features")
    untrained = HeadConfig(kind="mlp", hidden_units=2, epochs=1, learning_rate=1e-9)
    train_head([folder / "features"], folder / "base", folder / "head", untrained, seed=0)
    config = FineTuneConfig(layers=1, epochs=1, learning_rate=1e-3)
    fine_tune(prepared, folder / "head", folder / "tuned", config, seed=0)
    return folder


@pytest.fixture(scope="module")
def evaluated(prepared: Path, flow: Path) -> Evaluated:
    return evaluate(prepared, [flow / "head", flow / "tuned"], flow / "evaluation", seed=0)


class TestEvaluate:
    def test_both_candidates_on_both_splits_as_they_serve(
        self, prepared: Path, flow: Path, evaluated: Evaluated
    ) -> None:
        found = evaluated.evaluation
        assert list(found.candidates) == ["head", "fine-tuned"]
        data = images.read(prepared)
        for name, folder in (("head", "head"), ("fine-tuned", "tuned")):
            served = tf.saved_model.load(str(flow / folder)).signatures["serving_default"]
            for split in ("validation", "test"):
                records = list(data.records(split))
                expected = served(image_bytes=tf.constant([record.encoded for record in records]))["probabilities"]
                predictions = found.predictions(name, split)
                np.testing.assert_allclose(predictions["probabilities"], expected, atol=1e-6)
                assert predictions["labels"].tolist() == [record.label for record in records]
                assert [key.decode() for key in predictions["keys"]] == [record.key for record in records]
                assert found.candidates[name][split]["n"] == len(records)

    def test_the_worst_mistakes_are_mistakes_worst_first(self, evaluated: Evaluated) -> None:
        predictions = evaluated.evaluation.predictions("head", "test")
        best = predictions["probabilities"].argmax(axis=1)
        wrong = best != predictions["labels"]
        mistakes = evaluated.mistakes["head"]
        assert 0 < len(mistakes) == min(24, wrong.sum())
        scores = [mistake.score for mistake in mistakes]
        assert scores == sorted(predictions["probabilities"].max(axis=1)[wrong].tolist(), reverse=True)[:24]
        assert all(mistake.label != mistake.predicted for mistake in mistakes)
        assert all(f"{mistake.label}/test-" in mistake.source for mistake in mistakes)

    def test_a_head_that_was_passed_on_is_evaluated_once(self, prepared: Path, flow: Path, tmp_path: Path) -> None:
        found = evaluate(prepared, [flow / "head", flow / "head"], tmp_path / "evaluation", seed=0)
        assert list(found.evaluation.candidates) == ["head"]

    def test_the_order_in_which_candidates_arrive_changes_nothing(
        self, prepared: Path, flow: Path, tmp_path: Path
    ) -> None:
        fine_tune(prepared, flow / "head", tmp_path / "more", DEEPER, seed=0, candidate="fine-tuned-2")
        made = []
        head, tuned, more = flow / "head", flow / "tuned", tmp_path / "more"
        for number, order in enumerate(([head, tuned, more], [more, tuned, head], [tuned, more, head])):
            found = evaluate(prepared, order, tmp_path / f"evaluation-{number}", seed=0)
            summary = select_model(tmp_path / f"evaluation-{number}", order[::-1], tmp_path / "model").summary
            made.append((list(summary["candidates"]), summary["selected"], summary["reason"], found.mistakes))
            assert list(found.evaluation.candidates) == ["head", "fine-tuned", "fine-tuned-2"]  # the simplest first
        assert all(each == made[0] for each in made)

    def test_a_model_of_other_classes_is_refused(self, prepared: Path, flow: Path, tmp_path: Path) -> None:
        shutil.copytree(flow / "head", tmp_path / "head")
        description = tmp_path / "head" / model.DESCRIPTION
        description.write_text(description.read_text().replace('"green"', '"grey"'))
        with pytest.raises(UserError, match=r"other classes[\s\S]*blue, grey, red[\s\S]*blue, green, red"):
            evaluate(prepared, [tmp_path / "head", flow / "tuned"], tmp_path / "evaluation", seed=0)
        assert not (tmp_path / "evaluation").exists()

    def test_a_model_that_says_nan_loses(self, prepared: Path, flow: Path, tmp_path: Path) -> None:
        head = tmp_path / "head"
        train_head([flow / "features"], flow / "base", head, HeadConfig(kind="linear"), seed=0)
        tuned = model.read(flow / "tuned")
        diverged = tuned.keras_model()
        diverged.get_layer(model.HEAD).set_weights(
            [np.full_like(weight, np.nan) for weight in diverged.get_layer(model.HEAD).get_weights()]
        )
        training = {**tuned.description["training"], "fine_tune": {"curve": [{"loss": float("nan")}]}}
        described = {entry: tuned.description[entry] for entry in ("candidate", "classes", "stored_size")}
        model.write(tmp_path / "diverged", diverged, "classifier", {**described, "training": training})
        found = evaluate(prepared, [head, tmp_path / "diverged"], tmp_path / "evaluation", seed=0)
        test = found.evaluation.candidates["fine-tuned"]["test"]
        assert test["loss"] > 20
        assert test["expected_calibration_error"] == test["accuracy"]  # it is never sure of anything
        selected = select_model(tmp_path / "evaluation", [head, tmp_path / "diverged"], tmp_path / "model")
        assert selected.summary["selected"] == "head"
        json.dumps(selected.summary, allow_nan=False)

    def test_the_same_images_and_models_give_the_same_evaluation(
        self, prepared: Path, flow: Path, evaluated: Evaluated, tmp_path: Path
    ) -> None:
        again = evaluate(prepared, [flow / "head", flow / "tuned"], tmp_path / "evaluation", seed=0)
        assert again.evaluation.candidates == evaluated.evaluation.candidates

    def test_batches_are_answered_in_order_and_each_on_its_own(self, prepared: Path, flow: Path) -> None:
        data = images.read(prepared)
        batches = list(data.dataset("test").batch(10))
        served = Served(flow / "tuned")
        assert served.seconds_per_image() == 0.0
        answered = list(served.answers(batches))
        signature = tf.saved_model.load(str(flow / "tuned")).signatures["serving_default"]
        for asked, (batch, probabilities) in zip(batches, answered, strict=True):
            assert batch is asked
            expected = signature(image_bytes=asked["encoded"])["probabilities"]
            np.testing.assert_array_equal(probabilities, expected)
        assert 0 < served.seconds_per_image() < 1

    def test_no_more_batches_are_held_than_are_asked_about(self, prepared: Path, flow: Path) -> None:
        taken = 0

        def counted() -> Iterator[dict[str, tf.Tensor]]:
            nonlocal taken
            for batch in images.read(prepared).dataset("test").batch(4):
                taken += 1
                yield batch

        for given, _ in enumerate(Served(flow / "head").answers(counted())):
            assert taken - given <= 3

    def test_a_file_that_is_no_image_is_an_error(self, flow: Path) -> None:
        with pytest.raises(tf.errors.InvalidArgumentError):
            list(Served(flow / "head").answers([{"encoded": tf.constant([b"no image"])}]))

    def test_fewer_answers_than_images_is_an_error(self, tmp_path: Path) -> None:
        batch = (np.zeros(2, np.int32), np.zeros((2, 3), np.float32), np.zeros(2, "S64"))
        with pytest.raises(ValueError, match="answers for 2 of 5 images"):
            evaluation.write_predictions(tmp_path, "head", "test", (5, 3), [batch])

    @pytest.mark.parametrize("name", ["head-test-keys.npy", "fine-tuned-validation-probabilities.npy"])
    def test_a_file_that_was_cut_off_is_named(self, evaluated: Evaluated, tmp_path: Path, name: str) -> None:
        shutil.copytree(evaluated.evaluation.path, tmp_path / "evaluation")
        file = tmp_path / "evaluation" / name
        file.write_bytes(file.read_bytes()[:-4])
        with pytest.raises(UserError, match=name):
            evaluation.read(tmp_path / "evaluation")

    def test_an_array_of_another_shape_is_named(self, evaluated: Evaluated, tmp_path: Path) -> None:
        shutil.copytree(evaluated.evaluation.path, tmp_path / "evaluation")
        np.save(tmp_path / "evaluation" / "head-test-labels.npy", np.zeros(7, np.int32))
        with pytest.raises(UserError, match=r"head-test-labels.npy[\s\S]*int32 \(7,\), expected int32 \(48,\)"):
            evaluation.read(tmp_path / "evaluation")

    @pytest.mark.parametrize("name", ["evaluation.json", "head-test-probabilities.npy"])
    def test_a_missing_file_is_named(self, evaluated: Evaluated, tmp_path: Path, name: str) -> None:
        shutil.copytree(evaluated.evaluation.path, tmp_path / "evaluation")
        (tmp_path / "evaluation" / name).unlink()
        with pytest.raises(UserError, match=name):
            evaluation.read(tmp_path / "evaluation")


class TestProfile:
    """How fast each step went, of all steps in one place."""

    @staticmethod
    def measured(seconds: float) -> dict[str, float]:
        return {**Meter().profile(), "seconds": seconds}

    @classmethod
    def profiled(cls, source: Path, target: Path, candidate: str, steps: dict[str, float]) -> Path:
        """Return a copy of a model under another name, whose steps took so many seconds."""
        shutil.copytree(source, target)
        description = json.loads((target / model.DESCRIPTION).read_text())
        profile = {step: cls.measured(seconds) for step, seconds in steps.items()}
        write_json(target / model.DESCRIPTION, {**description, "candidate": candidate, "profile": profile})
        return target

    def test_the_step_measures_itself(self, evaluated: Evaluated) -> None:
        own = evaluated.evaluation.profile["evaluate"]
        assert own["images"] == 2 * (48 + 48)
        assert 0 <= own["waiting_for_input"] < 1
        assert own["floor_ratio"] > 1  # two small models: what is not asking them takes longest

    def test_it_holds_every_step_in_order(self, prepared: Path, flow: Path, tmp_path: Path) -> None:
        shutil.copytree(prepared, tmp_path / "images")
        description = json.loads((tmp_path / "images" / images.DESCRIPTION).read_text())
        reading = {"ingest_images": self.measured(1.0), "prepare_data": self.measured(2.0)}
        write_json(tmp_path / "images" / images.DESCRIPTION, {**description, "profile": reading})
        training = {"load_base_model": 3.0, "extract_features": 4.0, "train_head": 5.0}
        head = self.profiled(flow / "head", tmp_path / "head", "head", training)
        tuned = self.profiled(flow / "tuned", tmp_path / "tuned", "fine-tuned", {**training, "fine_tune": 6.0})
        found = evaluate(tmp_path / "images", [head, tuned], tmp_path / "evaluation", seed=0).evaluation.profile
        steps = ("load_base_model", "ingest_images", "prepare_data", "extract_features", "train_head", "fine_tune")
        assert list(found) == [*steps, "evaluate"]
        assert [found[step]["seconds"] for step in steps] == [3.0, 1.0, 2.0, 4.0, 5.0, 6.0]

    def test_of_a_sweep_it_names_the_candidates(self, prepared: Path, flow: Path, tmp_path: Path) -> None:
        tuned = [
            self.profiled(flow / "tuned", tmp_path / name, name, {"train_head": 5.0, "fine_tune": seconds})
            for name, seconds in (("fine-tuned-1-0.001", 6.0), ("fine-tuned-all-0.001", 7.0))
        ]
        found = evaluate(prepared, [flow / "head", *tuned], tmp_path / "evaluation", seed=0).evaluation.profile
        assert found["fine_tune (fine-tuned-1-0.001)"]["seconds"] == 6.0
        assert found["fine_tune (fine-tuned-all-0.001)"]["seconds"] == 7.0
        assert "fine_tune" not in found

    def test_an_evaluation_made_before_there_were_profiles_is_read(self, evaluated: Evaluated, tmp_path: Path) -> None:
        shutil.copytree(evaluated.evaluation.path, tmp_path / "evaluation")
        file = tmp_path / "evaluation" / evaluation.DESCRIPTION
        described = json.loads(file.read_text())
        del described["profile"]
        write_json(file, described)
        assert evaluation.read(tmp_path / "evaluation").profile == {}


@dataclasses.dataclass
class Passed:
    """What KFP hands to a step for an artifact without its own methods."""

    path: str
    metadata: dict[str, object] = dataclasses.field(default_factory=dict)


class TestSteps:
    """With KFP's own artifacts, as the components get them."""

    @staticmethod
    def run(prepared: Path, flow: Path, folder: Path) -> dict[str, dsl.Artifact]:
        made = {
            "evaluation": dsl.Artifact(uri=str(folder / "evaluation")),
            "metrics": dsl.Metrics(uri=str(folder / "metrics")),
            "matrix": dsl.ClassificationMetrics(uri=str(folder / "matrix")),
            "report": dsl.HTML(uri=str(folder / "report")),
            "model": dsl.Model(uri=str(folder / "model")),
            "summary": dsl.Metrics(uri=str(folder / "summary")),
        }
        head, tuned = Passed(str(flow / "head")), Passed(str(flow / "tuned"))
        run_evaluate(
            Passed(str(prepared)),
            head,
            None,
            tuned,
            None,
            made["evaluation"],
            made["metrics"],
            made["matrix"],
            made["report"],
            seed=0,
        )
        run_select_model(made["evaluation"], head, None, tuned, None, made["model"], made["summary"])
        return made

    def test_every_artifact_is_on_disk_and_logged(self, prepared: Path, flow: Path, tmp_path: Path) -> None:
        made = self.run(prepared, flow, tmp_path)
        for artifact in made.values():
            assert Path(artifact.path).exists()  # or KFP's cache would not take it up
        summary = json.loads(Path(made["summary"].path).read_text())
        assert set(summary) == {"selected", "reason", "candidates", "test", "classes", "profile"}
        assert summary["profile"] == evaluation.read(made["evaluation"].path).profile
        assert summary["test"]["accuracy"] == summary["candidates"][summary["selected"]]["test"]["accuracy"]
        assert made["metrics"].metadata["test_accuracy"] == summary["test"]["accuracy"]
        assert json.loads(Path(made["metrics"].path).read_text()) == made["metrics"].metadata
        assert made["model"].metadata["selected"] == summary["selected"]
        matrix = json.loads(Path(made["matrix"].path).read_text())
        shown = made["matrix"].metadata["confusionMatrix"]
        assert [row["row"] for row in shown["rows"]] == matrix["confusion"]
        assert [column["displayName"] for column in shown["annotationSpecs"]] == matrix["classes"]
        assert Path(made["report"].path).read_text().lstrip().startswith("<!doctype html>")


class TestSelectModel:
    def test_the_better_on_validation_is_copied_whole(self, flow: Path, evaluated: Evaluated, tmp_path: Path) -> None:
        selected = select_model(evaluated.evaluation.path, [flow / "head", flow / "tuned"], tmp_path / "model")
        scores = {name: splits["validation"] for name, splits in evaluated.evaluation.candidates.items()}
        name = select(scores)[0]
        assert selected.summary["selected"] == name
        assert selected.model.description["candidate"] == name
        found = selected.model.description["metrics"]["test"]
        expected_metrics = evaluated.evaluation.candidates[name]["test"]
        assert found["accuracy"] == expected_metrics["accuracy"]
        assert found["accuracy_interval"] == expected_metrics["accuracy_interval"]
        source = flow / {"head": "head", "fine-tuned": "tuned"}[name]
        image = np.full((1, 24, 24, 3), 90, np.float32)
        expected = model.read(source).keras_model().predict(image, verbose=0)
        np.testing.assert_array_equal(selected.model.keras_model().predict(image, verbose=0), expected)
        tf.saved_model.load(str(selected.model.path))

    def test_test_numbers_never_choose(self, flow: Path, evaluated: Evaluated, tmp_path: Path) -> None:
        before = select_model(evaluated.evaluation.path, [flow / "head", flow / "tuned"], tmp_path / "a").summary
        shutil.copytree(evaluated.evaluation.path, tmp_path / "evaluation")
        file = tmp_path / "evaluation" / evaluation.DESCRIPTION
        described = json.loads(file.read_text())
        for name, splits in described["candidates"].items():
            splits["test"]["accuracy"] = 0.0 if name == before["selected"] else 1.0
        file.write_text(json.dumps(described))
        after = select_model(tmp_path / "evaluation", [flow / "head", flow / "tuned"], tmp_path / "b").summary
        assert after["selected"] == before["selected"]

    def test_an_evaluation_of_other_models_is_refused(self, flow: Path, evaluated: Evaluated, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="the evaluation is not of these models"):
            select_model(evaluated.evaluation.path, [flow / "head", flow / "head"], tmp_path / "model")
        assert not (tmp_path / "model").exists()


class Structure(HTMLParser):
    """Checks that tags close in order, and collects what is shown."""

    VOID = frozenset(("meta", "img", "br", "path", "use", "rect"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


class TestReport:
    @staticmethod
    def page(prepared: Path, flow: Path, evaluated: Evaluated, mistakes: list[Mistake] | None = None) -> str:
        folder, name = model.read(flow / "tuned"), "fine-tuned"
        worst = evaluated.mistakes["head"] if mistakes is None else mistakes
        return render(evaluated.evaluation, worst, images.read(prepared), folder, name, "of this test")

    def test_it_says_what_a_reviewer_needs(self, prepared: Path, flow: Path, evaluated: Evaluated) -> None:
        page = self.page(prepared, flow, evaluated)
        shown = Structure()
        shown.feed(page)
        assert shown.open == []
        test = evaluated.evaluation.candidates["fine-tuned"]["test"]
        for text in (
            f"{100 * test['accuracy']:.1f} %",
            f"{100 * test['accuracy_interval'][0]:.1f} %",
            "selected: of this test",
            "blue",
            "expected calibration error",
            "small.keras",
            images.read(prepared).fingerprint,
        ):
            assert text in shown.text
        assert shown.tags.count("svg") == 3  # confusion, calibration, curves
        assert shown.tags.count("img") == len(evaluated.mistakes["head"])

    def test_a_sweep_is_a_table_and_a_picture_the_best_first(
        self, prepared: Path, flow: Path, evaluated: Evaluated
    ) -> None:
        before = evaluated.evaluation
        candidates, training = dict(before.candidates), dict(before.training)
        for layers, rate, accuracy in ((3, 1e-4, 0.5), (3, 1e-3, 0.75), (7, 1e-4, 0.625)):
            name = f"fine-tuned-{layers}-{rate}"
            tuned = training["fine-tuned"]["fine_tune"]
            settings = {**tuned["settings"], "learning_rate": rate}
            training[name] = {**training["fine-tuned"], "fine_tune": {**tuned, "layers": layers, "settings": settings}}
            validation = {**before.candidates["fine-tuned"]["validation"], "accuracy": accuracy}
            candidates[name] = {**before.candidates["fine-tuned"], "validation": validation}
        del candidates["fine-tuned"], training["fine-tuned"]
        swept = dataclasses.replace(before, candidates=candidates, training=training)
        folder = model.read(flow / "tuned")
        page = render(swept, [], images.read(prepared), folder, "fine-tuned-3-0.001", "of this test")
        shown = Structure()
        shown.feed(page)
        assert shown.open == []
        assert shown.tags.count("svg") == 4
        rows = re.findall(r'<tr ([^>]*)><td class="r">(\d+)</td><td class="r">([0-9.]+)</td>', page)
        assert [row[1:] for row in rows] == [("3", "0.001"), ("7", "0.0001"), ("3", "0.0001")]
        assert ["chosen" in row[0] for row in rows] == [True, False, False]
        assert "the head alone" in shown.text

    def test_it_says_that_test_numbers_have_no_say(self, prepared: Path, flow: Path, evaluated: Evaluated) -> None:
        assert "Only validation numbers choose" in self.page(prepared, flow, evaluated)

    def test_it_shows_every_head_that_was_tried(self, prepared: Path, flow: Path, evaluated: Evaluated) -> None:
        folder = model.read(flow / "tuned")
        trials = [
            {"kind": "linear", "l2": penalty, "validation": {"accuracy": 0.5 + penalty, "loss": 1.0}}
            for penalty in (0.125, 0.25)
        ]
        trials.append({"kind": "kept", "validation": {"accuracy": 0.5, "loss": 1.0}})
        training = {**folder.description["training"], "head": {**trials[1], "tried": trials, "seconds": 3.0}}
        tried = dataclasses.replace(folder, description={**folder.description, "training": training})
        page = render(evaluated.evaluation, [], images.read(prepared), tried, "fine-tuned", "of this test")
        shown = Structure()
        shown.feed(page)
        rows = [" ".join(row.split()) for row in shown.text.split("\n") if "linear" in row]
        assert rows[:2] == ["linearL2 0.1250.62501.0000", "linearL2 0.250.75001.0000chosen"]
        assert "the base's own, as it was" in shown.text

    def test_it_shows_where_the_time_went(self, prepared: Path, flow: Path, evaluated: Evaluated) -> None:
        loaded = {**Meter().profile(), "seconds": 2.0, "peak_memory_mib": 512.0}
        extracted = {**loaded, "images": 4501, "seconds": 8.0, "images_per_second": 562.6, "waiting_for_input": 0.25}
        profile = {"load_base_model": loaded, "extract_features": {**extracted, "floor_ratio": 1.08}}
        page = self.page(prepared, flow, Evaluated(dataclasses.replace(evaluated.evaluation, profile=profile), {}), [])
        shown = Structure()
        shown.feed(page)
        assert "Where the time went" in shown.text
        assert "load_base_model512 MiB2.0" in shown.text
        assert "extract_features4,50156325 %512 MiB1.088.0" in shown.text
        bars = re.findall(r'<i style="width: ([0-9.]+)%"></i><i style="width: ([0-9.]+)%"></i>', page)
        assert [tuple(map(float, bar)) for bar in bars] == [(25.0, 0.0), (75.0, 25.0)]

    def test_it_leaves_out_what_nobody_measured(self, prepared: Path, flow: Path, evaluated: Evaluated) -> None:
        unmeasured = dataclasses.replace(evaluated.evaluation, profile={})
        page = self.page(prepared, flow, Evaluated(unmeasured, {}), [])
        assert "Where the time went" not in page

    @pytest.mark.parametrize("why", ["the frozen layers run once: 12 MiB in float16", "The frozen layers run once."])
    def test_it_says_why_the_frozen_layers_ran_once(
        self, prepared: Path, flow: Path, evaluated: Evaluated, why: str
    ) -> None:
        training = {name: dict(how) for name, how in evaluated.evaluation.training.items()}
        training["fine-tuned"]["fine_tune"] = {**training["fine-tuned"]["fine_tune"], "cache": {"why": why}}
        told = dataclasses.replace(evaluated.evaluation, training=training)
        page = self.page(prepared, flow, Evaluated(told, {}), [])
        sentence = why.removesuffix(".")
        assert f"<p>{sentence[0].upper()}{sentence[1:]}.</p>" in page

    def test_it_says_how_the_base_was_opened(self, prepared: Path, flow: Path, evaluated: Evaluated) -> None:
        folder = model.read(flow / "tuned")
        conversion = {"how": "rebuilt in Keras 3", "changes": ["Sequential to functional"], "difference": 2e-7}
        description = {**folder.description, "conversion": conversion, "frozen": "its function has no gradients"}
        opened = dataclasses.replace(folder, description=description)
        page = render(evaluated.evaluation, [], images.read(prepared), opened, "fine-tuned", "of this test")
        assert "rebuilt in Keras 3, Sequential to functional; largest difference from the original 2e-07" in page
        assert "its function has no gradients" in page

    def test_it_does_not_claim_certainty_when_all_is_right(
        self, prepared: Path, flow: Path, evaluated: Evaluated
    ) -> None:
        labels = np.arange(48) % 3
        right = own.metrics(own.answers(labels, np.eye(3)[labels]), evaluated.evaluation.classes, seed=0)
        candidates = {"fine-tuned": {"validation": right, "test": right}}
        perfect = dataclasses.replace(evaluated.evaluation, candidates=candidates)
        page = self.page(prepared, flow, Evaluated(perfect, {"head": []}))
        assert "likely between 93.9 % and 100.0 % (95 %, by the rule of three" in page
        assert "No test image is labelled wrong" in page
        assert "The worst mistakes" not in page

    def test_it_needs_no_other_file(self, prepared: Path, flow: Path, evaluated: Evaluated) -> None:
        page = self.page(prepared, flow, evaluated)
        fetched = re.findall(r'(?:src|href)="([^"#]{4})', page)
        assert fetched
        assert set(fetched) <= {"data"}
        assert "@import" not in page
        assert len(page) < 1_000_000

    def test_names_from_the_data_cannot_change_the_page(self, prepared: Path, flow: Path, evaluated: Evaluated) -> None:
        encoded = evaluated.mistakes["head"][0].encoded
        hostile = Mistake(0.9, "<script>alert(1)</script>", "b" * 500, 'x"><script>alert(2)</script>.png', encoded)
        shown = Structure()
        shown.feed(self.page(prepared, flow, evaluated, [hostile]))
        assert "script" not in shown.tags
        assert "alert(1)" in shown.text

    def test_hostile_class_names_in_pictures(self, evaluated: Evaluated) -> None:
        picture = charts.confusion([[1, 0], [1, 1]], ["<b>&x</b>", "$\\frac{$"])
        assert "<b>" not in picture
        assert "&lt;b&gt;" in picture
        assert "$\\frac{$" in picture

    @pytest.mark.parametrize("count", [2, 12, 30, 100])
    def test_any_number_of_classes_can_be_drawn(self, count: int) -> None:
        picture = charts.confusion(np.eye(count, dtype=int).tolist(), [f"class {number}" for number in range(count)])
        assert picture.startswith("<svg")
        assert picture.rstrip().endswith("</svg>")
