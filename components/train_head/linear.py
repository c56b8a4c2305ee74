"""The linear head: multinomial logistic regression by L-BFGS, over features that need not fit into memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from graftwork.artifacts.features import Split

_ITERATIONS = 200


@dataclass(frozen=True)
class Standardization:
    """What is subtracted from each feature, and what it is divided by; float32 (d,)."""

    mean: np.ndarray
    deviation: np.ndarray


def standardization(split: Split) -> Standardization:
    """Return mean and standard deviation of each feature over a split, in one pass.

    No deviation is less than the root mean square of all: a feature that is nearly always zero in training would
    otherwise become enormous in the one new image that has it.
    """
    total = np.zeros(split.row_shape[0])
    squares = np.zeros_like(total)
    shift: np.ndarray | None = None
    for rows, _ in split.chunks():
        # Shifted by the first row, so that the difference of squares below loses no digits.
        shift = rows[0].astype(np.float64) if shift is None else shift
        shifted = rows - shift
        total += shifted.sum(axis=0)
        squares += np.square(shifted).sum(axis=0)
    assert shift is not None  # no split is empty
    mean = total / len(split)
    variance = np.maximum(squares / len(split) - mean**2, 0.0)
    deviation = np.sqrt(np.maximum(variance, variance.mean() or 1.0))
    return Standardization((mean + shift).astype(np.float32), deviation.astype(np.float32))


def regularization_path(
    split: Split, classes: int, penalties: Sequence[float], weights: np.ndarray, scale: Standardization
) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
    """Fit one linear head per penalty, each starting from the one before.

    Minimises the weighted mean cross-entropy plus l2 / 2 times the squared norm of the kernel, on standardised
    features; the bias is not penalised.

    Args:
        split: Training features (n, d).
        classes: k, how many.
        penalties: Values of l2; tried from the largest to the smallest.
        weights: float (k,), how much an image of each class counts.
        scale: Standardisation of the features.

    Yields:
        l2, kernel float32 (d, k) and bias float32 (k,) for features as they are, not standardised.
    """
    dimensions = split.row_shape[0]
    solution = np.zeros((dimensions + 1) * classes)
    for penalty in sorted(penalties, reverse=True):
        result = minimize(
            _loss_and_gradient,
            solution,
            args=(split, classes, penalty, weights, scale),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _ITERATIONS, "maxcor": 10, "gtol": 1e-5, "ftol": 1e-7},
        )
        solution = result.x
        kernel, bias = _unpack(solution, dimensions, classes, scale)
        yield penalty, kernel, bias


def _loss_and_gradient(
    parameters: np.ndarray, split: Split, classes: int, penalty: float, weights: np.ndarray, scale: Standardization
) -> tuple[float, np.ndarray]:
    dimensions = len(scale.mean)
    standardized = parameters[:-classes].reshape(dimensions, classes)
    kernel, bias = _unpack(parameters, dimensions, classes, scale)
    loss, mass = 0.0, 0.0
    kernel_gradient = np.zeros((dimensions, classes))
    bias_gradient = np.zeros(classes)
    for rows, labels in split.chunks():
        logits = rows @ kernel + bias
        log_probabilities = logits - logsumexp(logits, axis=1, keepdims=True)
        picked = np.arange(len(labels))
        weight = weights[labels]
        loss -= float(weight @ log_probabilities[picked, labels])
        mass += float(weight.sum())
        residual = np.exp(log_probabilities)
        residual[picked, labels] -= 1.0
        residual *= weight[:, None].astype(residual.dtype)
        kernel_gradient += rows.T @ residual
        bias_gradient += residual.sum(axis=0)
    # The chain rule through the standardisation that _unpack folds into kernel and bias.
    kernel_gradient = (kernel_gradient - np.outer(scale.mean, bias_gradient)) / scale.deviation[:, None]
    gradient = np.concatenate([(kernel_gradient / mass + penalty * standardized).ravel(), bias_gradient / mass])
    return loss / mass + penalty / 2 * float(np.sum(standardized**2)), gradient


def _unpack(
    parameters: np.ndarray, dimensions: int, classes: int, scale: Standardization
) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel and bias for raw features, from those for standardised ones."""
    kernel = parameters[:-classes].reshape(dimensions, classes) / scale.deviation[:, None]
    bias = parameters[-classes:] - scale.mean @ kernel
    return kernel.astype(np.float32), bias.astype(np.float32)
