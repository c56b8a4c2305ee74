"""How sure one may be that one classifier is better than another, from their answers about the same images."""

import numpy as np
from scipy.stats import binom

from graftwork.metrics import calibration_bins, expected_calibration_error

_DRAWS = 10_000
_CALIBRATION_DRAWS = 1_000


def p_better(wins: int, losses: int) -> float:
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


def smallest_gain(wins: int, losses: int, count: int, level: float, seed: int) -> float:
    """Return the lower bound of the gain in accuracy, by a paired percentile bootstrap (Efron and Tibshirani, 1993).

    Drawing n of n pairs with replacement makes the numbers of wins and losses multinomial, so they are drawn directly.

    Args:
        wins: Images that the first has right and the second wrong.
        losses: Images that the second has right and the first wrong.
        count: Images in all, n.
        level: How often the true gain may lie below the bound.
        seed: Of the draws.

    Returns:
        In [-1, 1], as a difference of shares.
    """
    shares = [wins / count, losses / count, (count - wins - losses) / count]
    drawn = np.random.default_rng(seed).multinomial(count, shares, _DRAWS)
    return float(np.quantile((drawn[:, 0] - drawn[:, 1]) / count, level))


def adjusted(p_values: np.ndarray) -> np.ndarray:
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


def p_better_calibrated(
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
        one, other = (calibration_gap(confidence[rows], right[rows]) for confidence, right in (first, second))
        worse += one >= other
    return worse / _CALIBRATION_DRAWS


def calibration_gap(confidence: np.ndarray, right: np.ndarray) -> float:
    """Return the expected calibration error of answers: confidence float (n,), right bool (n,)."""
    return expected_calibration_error(calibration_bins(confidence, right))
