"""Metrics of a classifier's answers on one split. Arrays on disk are read a chunk at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

_CHUNK = 8192
_DRAWS = 10_000
_BINS = 15


@dataclass(frozen=True)
class Answers:
    """What a classifier says about n images.

    Attributes:
        labels: integers (n,), the true classes.
        predicted: integers (n,), the most probable classes.
        confidence: float (n,), the probability of the predicted class.
        loss: Mean cross-entropy.
        top_3_accuracy: Share of images whose true class is among the three most probable.
    """

    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    loss: float
    top_3_accuracy: float


def answers(labels: np.ndarray, probabilities: np.ndarray) -> Answers:
    """Reduce probabilities to what the metrics need.

    Args:
        labels: integers (n,).
        probabilities: float (n, k), rows sum to 1; may be memory-mapped.
    """
    predicted, confidence = np.empty(len(labels), np.int32), np.empty(len(labels), np.float32)
    loss, among_three = 0.0, 0
    for start, chunk in _chunks(probabilities):
        rows = slice(start, start + len(chunk))
        truth = labels[rows]
        predicted[rows] = chunk.argmax(axis=1)
        confidence[rows] = chunk.max(axis=1)
        of_truth = chunk[np.arange(len(chunk)), truth]
        loss -= float(np.log(np.maximum(of_truth.astype(np.float64), 1e-12)).sum())
        among_three += int(((chunk > of_truth[:, None]).sum(axis=1) < 3).sum())
    count = len(labels)
    return Answers(np.asarray(labels), predicted, confidence, loss / count, among_three / count)


def metrics(labels: np.ndarray, probabilities: np.ndarray, classes: list[str], seed: int) -> dict[str, Any]:
    """Return every metric of one split.

    Args:
        labels: integers (n,) in [0, k).
        probabilities: float (n, k), rows sum to 1.
        classes: k names.
        seed: Of the bootstrap.

    Returns:
        n, loss, accuracy, accuracy_interval, top_3_accuracy, macro_f1, per_class (name -> precision, recall, f1,
        support), confusion (rows are true classes), expected_calibration_error, calibration (its bins).
    """
    given = answers(labels, probabilities)
    right = given.predicted == given.labels
    numbers = np.arange(len(classes))
    precision, recall, f1, support = precision_recall_fscore_support(
        given.labels, given.predicted, labels=numbers, zero_division=0.0
    )
    bins = calibration_bins(given.confidence, right)
    return {
        "n": len(right),
        "loss": given.loss,
        "accuracy": float(right.mean()),
        "accuracy_interval": accuracy_interval(int(right.sum()), len(right), seed),
        "top_3_accuracy": given.top_3_accuracy,
        "macro_f1": float(np.mean(f1)),
        "expected_calibration_error": expected_calibration_error(bins),
        "calibration": bins,
        "per_class": {
            name: {
                "precision": float(precision[number]),
                "recall": float(recall[number]),
                "f1": float(f1[number]),
                "support": int(support[number]),
            }
            for number, name in enumerate(classes)
        },
        "confusion": confusion_matrix(given.labels, given.predicted, labels=numbers).tolist(),
    }


def accuracy_interval(right: int, count: int, seed: int) -> list[float]:
    """Return the 95 % percentile bootstrap interval of an accuracy (Efron and Tibshirani, 1993, chapter 13).

    Drawing n of n answers with replacement makes the number of right ones binomial, so it is drawn directly.

    Args:
        right: Answers that are right.
        count: Answers in all, n.
        seed: Of the draws.
    """
    draws = np.random.default_rng(seed).binomial(count, right / count, _DRAWS) / count
    return [float(bound) for bound in np.quantile(draws, [0.025, 0.975])]


def calibration_bins(confidence: np.ndarray, right: np.ndarray) -> list[dict[str, float]]:
    """Return, for each of 15 equal-width bins of confidence that holds answers, their mean confidence and accuracy.

    Args:
        confidence: float (n,) in [0, 1].
        right: bool (n,).
    """
    number = np.clip(np.ceil(confidence * _BINS).astype(int) - 1, 0, _BINS - 1)
    counts = np.bincount(number, minlength=_BINS)
    confidences = np.bincount(number, weights=confidence, minlength=_BINS)
    accuracies = np.bincount(number, weights=right, minlength=_BINS)
    return [
        {
            "confidence": float(confidences[bin] / counts[bin]),
            "accuracy": float(accuracies[bin] / counts[bin]),
            "count": int(counts[bin]),
        }
        for bin in np.flatnonzero(counts)
    ]


def expected_calibration_error(bins: list[dict[str, float]]) -> float:
    """Return the mean gap between confidence and accuracy, each bin weighted by its answers (Guo et al., 2017).

    Returns:
        A value in [0, 1]; 0 is perfectly calibrated.
    """
    total = sum(bin["count"] for bin in bins)
    return sum(bin["count"] * abs(bin["confidence"] - bin["accuracy"]) for bin in bins) / total


def _chunks(array: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(array), _CHUNK):
        yield start, np.asarray(array[start : start + _CHUNK])
