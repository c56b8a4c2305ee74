"""Metrics of a classifier's answers: against scikit-learn, by hand, and their laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from graftwork.evaluation import metrics as own


def random_answers(count: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    logits = random.normal(size=(count, classes)) + 2.0 * np.eye(classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, probabilities.astype(np.float32)


def test_they_are_those_of_scikit_learn() -> None:
    labels, probabilities = random_answers(500, 7)
    names = [f"class {number}" for number in range(7)]
    batches = [
        own.answers(labels[start : start + 64], probabilities[start : start + 64]) for start in range(0, 500, 64)
    ]
    found = own.metrics(own.joined(list(batches)), names, seed=0)
    predicted = probabilities.argmax(axis=1)
    assert found["n"] == 500
    assert found["accuracy"] == reference.accuracy_score(labels, predicted)
    assert found["loss"] == pytest.approx(reference.log_loss(labels, probabilities), rel=1e-5)
    assert found["top_3_accuracy"] == reference.top_k_accuracy_score(labels, probabilities, k=3)
    assert found["macro_f1"] == pytest.approx(reference.f1_score(labels, predicted, average="macro"))
    assert found["confusion"] == reference.confusion_matrix(labels, predicted).tolist()
    report = reference.classification_report(labels, predicted, target_names=names, output_dict=True)
    for name in names:
        for own_name, their_name in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert found["per_class"][name][own_name] == pytest.approx(report[name][their_name])
        assert found["per_class"][name]["support"] == report[name]["support"]


def test_a_class_without_images_counts_zero() -> None:
    found = own.metrics(own.answers(np.array([0, 0]), np.eye(2)[[0, 0]]), ["here", "absent"], seed=0)
    assert found["per_class"]["absent"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    assert found["macro_f1"] == 0.5


def test_a_saturated_wrong_answer_is_not_among_the_first_three() -> None:
    # All but one probability are 0: the order among the others is that of the classes, as argmax has it.
    found = own.answers(np.array([1, 2, 3, 9]), np.eye(10)[[0, 0, 0, 0]])
    assert found.rank.tolist() == [1, 2, 3, 9]


@given(st.lists(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=4, max_size=4), min_size=1), st.data())
def test_the_answer_of_rank_zero_is_the_predicted_one(rows: list[list[float]], data: st.DataObject) -> None:
    labels = np.array([data.draw(st.integers(0, 3)) for _ in rows])
    found = own.answers(labels, np.array(rows))
    np.testing.assert_array_equal(found.rank == 0, found.predicted == labels)
    assert (found.rank < 4).all()


def test_an_impossible_true_class_leaves_the_loss_finite() -> None:
    found = own.metrics(own.answers(np.array([0]), np.array([[0.0, 1.0]])), ["a", "b"], seed=0)
    assert found["loss"] == pytest.approx(-np.log(1e-12))


def test_calibration_error_by_hand() -> None:
    # Two bins: 0.9 sure and right half the time, 0.6 sure and always right.
    confidence, right = np.array([0.9, 0.9, 0.6, 0.6]), np.array([True, False, True, True])
    bins = own.calibration_bins(confidence, right)
    assert [bin["count"] for bin in bins] == [2, 2]
    assert own.expected_calibration_error(bins) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=200))
def test_calibration_error_lies_between_0_and_1_and_loses_none(given: list[tuple[float, bool]]) -> None:
    confidence, right = (np.array(column) for column in zip(*given, strict=True))
    bins = own.calibration_bins(confidence, right)
    assert sum(bin["count"] for bin in bins) == len(given)
    assert 0 <= own.expected_calibration_error(bins) <= 1 + 1e-9


@given(st.dictionaries(st.integers(1, 15), st.integers(1, 5), min_size=1))
def test_a_model_that_is_right_as_often_as_it_claims_has_no_calibration_error(groups: dict[int, int]) -> None:
    # Fifteen answers each m / 15 sure, of which m are right, are perfectly calibrated.
    confidence = np.concatenate([np.full(15 * times, m / 15) for m, times in groups.items()])
    right = np.concatenate([np.tile(np.arange(15) < m, times) for m, times in groups.items()])
    assert own.expected_calibration_error(own.calibration_bins(confidence, right)) == pytest.approx(0, abs=1e-9)


@given(right=st.integers(0, 300), wrong=st.integers(0, 300))
@settings(max_examples=50)
def test_the_interval_holds_the_accuracy(right: int, wrong: int) -> None:
    if right + wrong:
        low, high = own.accuracy_interval(right, right + wrong, seed=0)
        assert 0 <= low <= right / (right + wrong) <= high <= 1


def test_the_interval_is_that_of_resampling_answers() -> None:
    answers = np.repeat([1.0, 0.0], [90, 30])
    random = np.random.default_rng(1)
    means = random.choice(answers, (20_000, 120)).mean(axis=1)
    np.testing.assert_allclose(own.accuracy_interval(90, 120, seed=0), np.quantile(means, [0.025, 0.975]), atol=0.01)


def test_more_images_make_the_interval_narrower() -> None:
    widths = [np.ptp(own.accuracy_interval(9 * n, 10 * n, seed=0)) for n in (10, 100, 1000)]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize("count", [20, 500])
def test_all_right_is_not_certain(count: int) -> None:
    low, high = own.accuracy_interval(count, count, seed=0)
    assert high == 1
    assert low**count == pytest.approx(0.05)  # this low, all are right once in twenty times
    assert own.accuracy_interval(0, count, seed=0) == [0.0, pytest.approx(1 - low)]


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_the_interval_is_the_same_for_the_same_seed(seed: int) -> None:
    assert own.accuracy_interval(95, 100, seed) == own.accuracy_interval(95, 100, seed)
