"""Metrics, the evaluation of candidates, the report, and the choice between them."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from graftwork.artifacts import evaluation, images, model
from graftwork.components.evaluate import metrics as own
from graftwork.components.evaluate.evaluate import Evaluated, Mistake, evaluate
from graftwork.components.evaluate.report import render
from graftwork.components.extract_features.extract import extract_features
from graftwork.components.fine_tune.fine_tune import fine_tune
from graftwork.components.load_base_model.load import load_base_model
from graftwork.components.select_model.select import select_model
from graftwork.components.train_head.train import train_head
from graftwork.config import FineTuneConfig, HeadConfig
from graftwork.errors import UserError
from graftwork.selection import select


def random_answers(count: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    logits = random.normal(size=(count, classes)) + 2.0 * np.eye(classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, probabilities.astype(np.float32)


class TestMetrics:
    def test_they_are_those_of_scikit_learn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(own, "_CHUNK", 64)  # several chunks
        labels, probabilities = random_answers(500, 7)
        names = [f"class {number}" for number in range(7)]
        found = own.metrics(labels, probabilities, names, seed=0)
        predicted = probabilities.argmax(axis=1)
        assert found["n"] == 500
        assert found["accuracy"] == reference.accuracy_score(labels, predicted)
        assert found["loss"] == pytest.approx(reference.log_loss(labels, probabilities), rel=1e-5)
        assert found["top_3_accuracy"] == reference.top_k_accuracy_score(labels, probabilities, k=3)
        assert found["macro_f1"] == pytest.approx(reference.f1_score(labels, predicted, average="macro"))
        assert found["confusion"] == reference.confusion_matrix(labels, predicted).tolist()
        report = reference.classification_report(labels, predicted, target_names=names, output_dict=True)
        assert found["per_class"]["class 3"]["recall"] == pytest.approx(report["class 3"]["recall"])
        assert found["per_class"]["class 3"]["support"] == report["class 3"]["support"]

    def test_calibration_error_by_hand(self) -> None:
        # Two bins: 0.9 sure and right half the time, 0.6 sure and always right.
        confidence, right = np.array([0.9, 0.9, 0.6, 0.6]), np.array([True, False, True, True])
        bins = own.calibration_bins(confidence, right)
        assert [bin["count"] for bin in bins] == [2, 2]
        assert own.expected_calibration_error(bins) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)

    @given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=200))
    def test_calibration_error_lies_between_0_and_1_and_loses_none(self, given: list[tuple[float, bool]]) -> None:
        confidence, right = (np.array(column) for column in zip(*given, strict=True))
        bins = own.calibration_bins(confidence, right)
        assert sum(bin["count"] for bin in bins) == len(given)
        assert 0 <= own.expected_calibration_error(bins) <= 1 + 1e-9

    @given(right=st.integers(0, 300), wrong=st.integers(0, 300))
    @settings(max_examples=50)
    def test_the_interval_holds_the_accuracy(self, right: int, wrong: int) -> None:
        if right + wrong:
            low, high = own.accuracy_interval(right, right + wrong, seed=0)
            assert 0 <= low <= right / (right + wrong) <= high <= 1

    def test_the_interval_is_that_of_resampling_answers(self) -> None:
        answers = np.repeat([1.0, 0.0], [90, 30])
        random = np.random.default_rng(1)
        means = random.choice(answers, (20_000, 120)).mean(axis=1)
        np.testing.assert_allclose(
            own.accuracy_interval(90, 120, seed=0), np.quantile(means, [0.025, 0.975]), atol=0.01
        )


SCORES = st.dictionaries(
    st.sampled_from("abcdef"),
    st.fixed_dictionaries({"accuracy": st.integers(0, 10).map(lambda n: n / 10), "loss": st.floats(0, 5)}),
    min_size=1,
)


class TestSelection:
    @given(SCORES)
    def test_nothing_is_better_than_what_is_selected(self, candidates: dict[str, dict[str, float]]) -> None:
        chosen = candidates[select(candidates)[0]]
        for other in candidates.values():
            assert (chosen["accuracy"], -chosen["loss"]) >= (other["accuracy"], -other["loss"])

    def test_of_equals_the_first_which_is_the_simpler(self) -> None:
        equal = {"accuracy": 0.5, "loss": 1.0}
        assert select({"head": equal, "fine-tuned": dict(equal)}) == ("head", "fine-tuned is no better on validation")

    def test_equal_accuracy_is_decided_by_loss(self) -> None:
        name, reason = select({"head": {"accuracy": 0.5, "loss": 1.0}, "fine-tuned": {"accuracy": 0.5, "loss": 0.9}})
        assert name == "fine-tuned"
        assert "lower loss" in reason


@pytest.fixture(scope="module")
def flow(prepared: Path, base_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with head/, tuned/ and their evaluation/. The head is poor, so that there are mistakes."""
    folder = tmp_path_factory.mktemp("flow")
    load_base_model(str(base_file), folder / "base")
    extract_features(prepared, folder / "base", folder / "features")
    untrained = HeadConfig(kind="mlp", hidden_units=2, epochs=1, learning_rate=1e-9)
    train_head(folder / "features", folder / "base", folder / "head", untrained, seed=0)
    config = FineTuneConfig(layers=1, epochs=1, learning_rate=1e-3)
    fine_tune(prepared, folder / "head", folder / "tuned", config, seed=0)
    return folder


@pytest.fixture(scope="module")
def evaluated(prepared: Path, flow: Path) -> Evaluated:
    return evaluate(prepared, flow / "head", flow / "tuned", flow / "evaluation", seed=0)


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
        found = evaluate(prepared, flow / "head", flow / "head", tmp_path / "evaluation", seed=0)
        assert list(found.evaluation.candidates) == ["head"]

    def test_a_model_of_other_classes_is_refused(self, prepared: Path, flow: Path, tmp_path: Path) -> None:
        shutil.copytree(flow / "head", tmp_path / "head")
        description = tmp_path / "head" / model.DESCRIPTION
        description.write_text(description.read_text().replace('"green"', '"grey"'))
        with pytest.raises(UserError, match=r"other classes[\s\S]*blue, grey, red[\s\S]*blue, green, red"):
            evaluate(prepared, tmp_path / "head", flow / "tuned", tmp_path / "evaluation", seed=0)
        assert not (tmp_path / "evaluation").exists()

    @pytest.mark.parametrize("name", ["evaluation.json", "head-test-probabilities.npy"])
    def test_a_missing_file_is_named(self, evaluated: Evaluated, tmp_path: Path, name: str) -> None:
        shutil.copytree(evaluated.evaluation.path, tmp_path / "evaluation")
        (tmp_path / "evaluation" / name).unlink()
        with pytest.raises(UserError, match=name):
            evaluation.read(tmp_path / "evaluation")


class TestSelectModel:
    def test_the_better_on_validation_is_copied_whole(self, flow: Path, evaluated: Evaluated, tmp_path: Path) -> None:
        selected = select_model(evaluated.evaluation.path, flow / "head", flow / "tuned", tmp_path / "model")
        scores = {name: splits["validation"] for name, splits in evaluated.evaluation.candidates.items()}
        name = select(scores)[0]
        assert selected.summary["selected"] == name
        assert selected.model.description["candidate"] == name
        assert selected.model.description["metrics"] == evaluated.evaluation.candidates[name]
        source = flow / {"head": "head", "fine-tuned": "tuned"}[name]
        image = np.full((1, 24, 24, 3), 90, np.float32)
        expected = model.read(source).keras_model().predict(image, verbose=0)
        np.testing.assert_array_equal(selected.model.keras_model().predict(image, verbose=0), expected)
        tf.saved_model.load(str(selected.model.path))

    def test_test_numbers_never_choose(self, flow: Path, evaluated: Evaluated, tmp_path: Path) -> None:
        before = select_model(evaluated.evaluation.path, flow / "head", flow / "tuned", tmp_path / "a").summary
        shutil.copytree(evaluated.evaluation.path, tmp_path / "evaluation")
        file = tmp_path / "evaluation" / evaluation.DESCRIPTION
        described = json.loads(file.read_text())
        for name, splits in described["candidates"].items():
            splits["test"]["accuracy"] = 0.0 if name == before["selected"] else 1.0
        file.write_text(json.dumps(described))
        after = select_model(tmp_path / "evaluation", flow / "head", flow / "tuned", tmp_path / "b").summary
        assert after["selected"] == before["selected"]

    def test_an_evaluation_of_other_models_is_refused(self, flow: Path, evaluated: Evaluated, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="the evaluation is not of these models"):
            select_model(evaluated.evaluation.path, flow / "head", flow / "head", tmp_path / "model")
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
        from graftwork.components.evaluate import charts

        picture = charts.confusion([[1, 0], [1, 1]], ["<b>&x</b>", "$a$ \\alpha"])
        assert "<b>" not in picture
        assert "&lt;b&gt;" in picture

    @pytest.mark.parametrize("count", [2, 12, 30, 100])
    def test_any_number_of_classes_can_be_drawn(self, count: int) -> None:
        from graftwork.components.evaluate import charts

        picture = charts.confusion(np.eye(count, dtype=int).tolist(), [f"class {number}" for number in range(count)])
        assert picture.startswith("<svg")
        assert picture.rstrip().endswith("</svg>")
