"""The linear head: multinomial logistic regression over features that need not fit into memory."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from graftwork.artifacts.features import Split
from graftwork.components.train_head.curvature import Spectrum, spectrum
from graftwork.components.train_head.descent import PAIRS, Descent, Value, descend, minimize_together
from graftwork.components.train_head.parallel import mapped, undivided
from graftwork.components.train_head.standardization import Standardization
from graftwork.reporting import progress
from graftwork.reporting.metering import Meter

_MEMORY_BYTES = 64 * 2**20
"""What the descents that run at the same time may remember, unless one alone remembers more."""


def regularization_path(
    split: Split, classes: int, penalties: Sequence[float], weights: np.ndarray, scale: Standardization, meter: Meter
) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """Fit one linear head per penalty; a pass over the features serves as many of them as memory allows.

    Minimises the weighted mean cross-entropy plus l2 / 2 times the squared norm of the kernel, on standardised
    features; the bias is not penalised.

    Args:
        split: Training features (n, d).
        classes: k, how many.
        penalties: Values of l2.
        weights: float (k,), how much an image of each class counts.
        scale: Standardisation of the features.
        meter: Of the step; it is fed every pass. What it calls waiting is an upper bound, for while a chunk is read
            others are computed with.

    Returns:
        l2, kernel float32 (d, k) and bias float32 (k,), for features as they are, not standardised; from the largest
            penalty to the smallest.
    """
    objective = Objective(split, weights, scale, meter)
    ordered = sorted(set(penalties), reverse=True)
    with undivided():
        moments, minima = spectrum(split, scale), dict[float, np.ndarray]()
        solution = np.zeros((split.row_shape[0] + 1, classes))
        at_once = max(1, _MEMORY_BYTES // (PAIRS * 2 * 4 * solution.size))
        for first in range(0, len(ordered), at_once):
            descents = {penalty: _descent(solution, moments, penalty) for penalty in ordered[first : first + at_once]}
            minima |= minimize_together(descents, objective)
            solution = minima[ordered[len(minima) - 1]]
    return [(penalty, *scale.folded(minimum[:-1], minimum[-1])) for penalty, minimum in minima.items()]


def _descent(start: np.ndarray, moments: Spectrum, penalty: float) -> Descent:
    classes = start.shape[1]
    # The Hessian as it is on average where all classes are equally likely, each class by itself. Later on it is
    # smaller, but all that counts is the proportion between its directions.
    factor = (classes - 1) / classes**2

    def precondition(values: np.ndarray) -> np.ndarray:
        return np.concatenate([moments.solve(values[:-1], factor, penalty), values[-1:] / factor])

    return descend(start, precondition)


@dataclass(frozen=True)
class Objective:
    """What `regularization_path` minimises, for several penalties in one pass.

    Attributes:
        split: Training features (n, d).
        weights: float (k,), how much an image of each class counts.
        scale: Standardisation of the features.
        meter: Is fed the pass.
    """

    split: Split
    weights: np.ndarray
    scale: Standardization
    meter: Meter

    def __call__(self, points: Mapping[float, np.ndarray]) -> dict[float, Value]:
        """Return the objective and its gradient.

        Args:
            points: By the penalty, float64 (d + 1, k): the kernel for standardised features, and the bias in the last
                row.
        """
        progress.report(self.meter.images // len(self.split), None, "passes", f"linear heads in work: {len(points)}")
        classes = len(self.weights)
        folded = [self.scale.folded(point[:-1], point[-1]) for point in points.values()]
        kernels = np.concatenate([kernel for kernel, _ in folded], axis=1)
        biases = np.concatenate([bias for _, bias in folded])
        losses = np.zeros(len(points))
        kernel_gradients, bias_gradients = np.zeros(kernels.shape[::-1]), np.zeros(len(biases))
        chunks = self.meter.fed(self.split.chunks())
        function = functools.partial(_losses_and_gradients, kernels, biases, self.weights)
        for part_losses, part_kernel_gradients, part_bias_gradients in mapped(function, chunks):
            losses += part_losses
            kernel_gradients += part_kernel_gradients
            bias_gradients += part_bias_gradients
        self.meter.images += len(self.split)
        # The chain rule through the standardisation that is folded into kernel and bias.
        kernel_gradients -= np.outer(bias_gradients, self.scale.mean)
        kernel_gradients /= self.scale.deviation
        mass = self.weights[self.split.labels].sum()
        gradients = np.concatenate([kernel_gradients, bias_gradients[:, None]], axis=1).T / mass
        values = {}
        for number, (penalty, point) in enumerate(points.items()):
            gradient = gradients[:, number * classes : (number + 1) * classes].copy()
            gradient[:-1] += penalty * point[:-1]
            values[penalty] = float(losses[number] / mass + penalty / 2 * np.sum(point[:-1] ** 2)), gradient
        return values


def _losses_and_gradients(
    kernels: np.ndarray, biases: np.ndarray, weights: np.ndarray, rows: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the summed weighted cross-entropies of several heads on some rows, and their gradients.

    Args:
        kernels: float32 (d, h * k) of h heads side by side.
        biases: float32 (h * k,).
        weights: float (k,), how much an image of each class counts.
        rows: float32 (m, d), as they are.
        labels: int32 (m,).

    Returns:
        Losses (h,), gradients for the kernels (h * k, d) and for the biases (h * k,), float32.
    """
    weight, label = weights[labels].astype(np.float32), (slice(None), labels, np.arange(len(labels)))
    # (h, k, m), an array per class and not per image: sums over short rows are slow.
    logits = np.ascontiguousarray((rows @ kernels).T).reshape(-1, len(weights), len(rows))
    logits += biases.reshape(-1, len(weights), 1)
    logits -= logits.max(axis=1, keepdims=True)
    right = logits[label]
    probabilities = np.exp(logits, out=logits)
    total = probabilities.sum(axis=1, keepdims=True)
    losses = (np.log(total[:, 0]) - right) @ weight
    probabilities /= total
    probabilities[label] -= 1
    probabilities *= weight
    residuals = probabilities.reshape(len(biases), len(rows))
    return losses, residuals @ rows, residuals.sum(axis=1)
