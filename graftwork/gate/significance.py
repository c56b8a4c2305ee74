"""How sure one may be that one classifier is better than another, from their answers about the same images."""

import math

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom, norm

from graftwork.evaluation.metrics import calibration_bins, expected_calibration_error

_CALIBRATION_DRAWS = 1_000
_RESOLUTION = 1e-9


def mcnemar_p(wins: int, losses: int) -> float:
    """Return the one-sided p-value of "no better", of McNemar's test with mid-p (McNemar, 1947; Lancaster, 1961).

    If neither classifier is better, each image that one of them has right and the other wrong is a fair coin. The exact
    test is too careful where few images differ; with mid-p it keeps its level closely (Fagerland, Lydersen and Laake,
    2013).

    Args:
        wins: Images that the first has right and the second wrong.
        losses: Images that the second has right and the first wrong.

    Returns:
        In (0, 1]; 0.5 where both are equal.
    """
    different = wins + losses
    return float(binom.sf(wins, different, 0.5) + 0.5 * binom.pmf(wins, different, 0.5))


def gain_lower_bound(wins: int, losses: int, count: int, level: float) -> float:
    """Return the lower bound of the gain in accuracy, by the score test for paired shares (Tango, 1998).

    Each gain is tested against what would be most likely if it were the true one. So the bound keeps its level where
    the observed shares say little about their spread, as where no images differ; there it is that of Wilson (1927).

    Args:
        wins: Images that the first has right and the second wrong.
        losses: Images that the second has right and the first wrong.
        count: Images in all, n > 0.
        level: How often the true gain may lie below the bound, below 0.5.

    Returns:
        In [-1, 1], as a difference of shares.
    """
    observed, z = (wins - losses) / count, float(norm.isf(level))
    if observed == -1:
        return -1.0

    def surplus(gain: float) -> float:
        """By how much the gain is exceeded, beyond what chance explains; falls as the gain rises."""
        # The most likely share of losses, if that is the gain: the larger root of a x^2 + b x + c.
        a, b, c = 2 * count, (2 * count - wins + losses) * gain - wins - losses, -losses * gain * (1 - gain)
        lost = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
        variance = count * max(0.0, 2 * lost + gain * (1 - gain))
        return wins - losses - count * gain - z * math.sqrt(variance)

    return float(brentq(surplus, -1.0, observed - _RESOLUTION))  # at the observed gain itself, 0 may be 0 by chance


def holm_adjusted(p_values: np.ndarray) -> np.ndarray:
    """Return p-values adjusted for their number, so that each may be compared with the level of all (Holm, 1979).

    Args:
        p_values: float (m,).

    Returns:
        float (m,), at most 1, none smaller than it was.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    raised = np.minimum(1.0, np.maximum.accumulate(p_values[order] * factors))
    result = np.empty(len(p_values))
    result[order] = raised
    return result


def better_calibrated_p(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray], seed: int
) -> float:
    """Return how often the first is no better calibrated when the images are drawn anew (paired bootstrap).

    Args:
        first: Confidence float (n,) and right bool (n,) of the one.
        second: The same of the other, about the same images.
        seed: Of the draws.
    """
    random, count = np.random.default_rng(seed), len(first[1])
    worse = 0
    for _ in range(_CALIBRATION_DRAWS):
        rows = random.integers(0, count, count)
        one, other = (calibration_error(confidence[rows], right[rows]) for confidence, right in (first, second))
        worse += one >= other
    return worse / _CALIBRATION_DRAWS


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Return the expected calibration error of answers: confidence float (n,), right bool (n,)."""
    return expected_calibration_error(calibration_bins(confidence, right))
