"""Metrics of a classifier's answers on one split, from a few numbers per image."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

_DRAWS = 10_000
_BINS = 15
_LEAST = 1e-12
"""A probability below counts as this one, so that the cross-entropy is finite."""


@dataclass(frozen=True)
class Answers:
    """What a classifier says about n images, without the n x k probabilities.

    Attributes:
        labels: integers (n,), the true classes.
        predicted: integers (n,), the most probable classes; of equals, the first.
        confidence: float (n,), the probability of the predicted class.
        likelihood: float (n,), the probability of the true class.
        rank: integers (n,), how many classes come before the true one; 0 where the answer is right.
    """

    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    likelihood: np.ndarray
    rank: np.ndarray


def answers(labels: np.ndarray, probabilities: np.ndarray) -> Answers:
    """Reduce probabilities to what the metrics need.

    Args:
        labels: integers (n,) in [0, k).
        probabilities: float (n, k), rows sum to 1.
    """
    likelihood = probabilities[np.arange(len(labels)), labels]
    # Equals are ordered as argmax orders them: a saturated answer, with zeros for all classes but one, names no second.
    before = probabilities > likelihood[:, None]
    equal = probabilities == likelihood[:, None]
    before |= equal & (np.arange(probabilities.shape[1]) < labels[:, None])
    return Answers(labels, probabilities.argmax(axis=1), probabilities.max(axis=1), likelihood, before.sum(axis=1))


def joined(parts: Sequence[Answers]) -> Answers:
    """Return the answers of several batches as one."""
    return Answers(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Answers)))


def metrics(given: Answers, classes: list[str], seed: int) -> dict[str, Any]:
    """Return every metric of one split.

    Args:
        given: The answers for its n images.
        classes: k names.
        seed: Of the bootstrap.

    Returns:
        n, loss (mean cross-entropy, in nats), accuracy, accuracy_interval, top_3_accuracy, macro_f1, per_class
        (name -> precision, recall, f1, support), confusion (rows are true classes), expected_calibration_error,
        calibration (its bins).
    """
    right = given.predicted == given.labels
    numbers = np.arange(len(classes))
    precision, recall, f1, support = precision_recall_fscore_support(
        given.labels, given.predicted, labels=numbers, zero_division=0.0
    )
    bins = calibration_bins(given.confidence, right)
    return {
        "n": len(right),
        "loss": -float(np.log(np.maximum(given.likelihood.astype(np.float64), _LEAST)).mean()),
        "accuracy": float(right.mean()),
        "accuracy_interval": accuracy_interval(int(right.sum()), len(right), seed),
        "top_3_accuracy": float((given.rank < 3).mean()),
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

    Drawing n of n answers with replacement makes the number of right ones binomial, so it is drawn directly. Where all
    answers are right every draw is the same and would claim certainty; there the lower bound is the rule of three's:
    with an accuracy below it, n right answers of n come up less than once in twenty times (Hanley and Lippman-Hand,
    1983). Where none is right, the other way round.

    Args:
        right: Answers that are right.
        count: Answers in all, n.
        seed: Of the draws.

    Returns:
        The lower and the upper bound, in [0, 1].
    """
    if right in (0, count):
        bound = float(0.05 ** (1 / count))
        return [bound, 1.0] if right else [0.0, 1.0 - bound]
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
