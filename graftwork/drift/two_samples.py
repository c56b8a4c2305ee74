"""Two-sample tests: how often samples would differ so much if they came from the same images."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2_contingency, ks_2samp

_PERMUTATIONS = 1_000


@dataclass(frozen=True)
class FeatureTest:
    """A test of two samples of feature vectors.

    Attributes:
        distance: The squared maximum mean discrepancy, biased estimate, at least 0.
        p: How often it is as large when the two samples are mixed and divided anew.
        oddness: Of each new vector how unlike the old ones it is: float (m,), larger is odder.
    """

    distance: float
    p: float
    oddness: np.ndarray


def compare_features(old: np.ndarray, new: np.ndarray, seed: int) -> FeatureTest:
    """Test whether two samples of features come from one distribution, whatever it is (Gretton et al., 2012).

    The kernel is Gaussian over standardized features, as wide as the median distance of two vectors; the p-value comes
    from permutations, so it is exact for any sample size.

    Args:
        old: float (n, d).
        new: float (m, d).
        seed: Of the permutations.
    """
    count = len(old)
    both = np.concatenate([old, new]).astype(np.float64)
    both -= both.mean(axis=0)
    both /= np.where(both.std(axis=0) > 0, both.std(axis=0), 1.0)
    kernel = _kernel(both)
    groups = np.zeros((_PERMUTATIONS + 1, len(both)))
    groups[0, :count] = 1.0
    random = np.random.default_rng(seed)
    for row in groups[1:]:
        row[random.permutation(len(both))[:count]] = 1.0
    distances = _discrepancies(kernel, groups, count)
    p = (1 + int((distances[1:] >= distances[0] - 1e-15).sum())) / (_PERMUTATIONS + 1)
    # The witness function: where the new sample has more of its mass than the old one.
    oddness = kernel[count:, count:].mean(axis=1) - kernel[count:, :count].mean(axis=1)
    return FeatureTest(float(max(0.0, distances[0])), p, oddness)


def compare_values(old: np.ndarray, new: np.ndarray) -> tuple[float, float]:
    """Return the largest gap between two empirical distributions and its p-value (Kolmogorov and Smirnov).

    Args:
        old: float (n,).
        new: float (m,).
    """
    result = ks_2samp(old, new)
    return float(result.statistic), float(result.pvalue)


def compare_counts(old: np.ndarray, new: np.ndarray) -> tuple[float, float]:
    """Return the distance in total variation of two class balances, and its p-value (chi-squared).

    Args:
        old: integers (k,), images of each class; none is 0 in both.
        new: integers (k,).

    Returns:
        The distance in [0, 1], the share of images that would have to change class; and the p-value.
    """
    if len(old) < 2 or not old.sum() or not new.sum():
        return 0.0, 1.0
    distance = 0.5 * float(np.abs(old / old.sum() - new / new.sum()).sum())
    return distance, float(chi2_contingency(np.stack([old, new])).pvalue)


def _kernel(vectors: np.ndarray) -> np.ndarray:
    squares = (vectors**2).sum(axis=1)
    distances = np.maximum(0.0, squares[:, None] + squares[None, :] - 2 * vectors @ vectors.T)
    apart = distances[np.triu_indices(len(vectors), 1)]
    width = float(np.median(apart)) if len(apart) else 0.0
    return np.exp(-distances / (width if width > 0 else 1.0))


def _discrepancies(kernel: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """Return the discrepancy of each division into a first group of `count`, marked with 1, and the rest."""
    signs = groups / count - (1 - groups) / (len(kernel) - count)
    return np.einsum("ij,ij->i", signs @ kernel, signs)
