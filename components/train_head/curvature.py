"""In which directions the features vary most: what a linear head's loss is curved by."""

import functools
from dataclasses import dataclass

import numpy as np

from graftwork.artifacts.features import Split
from graftwork.components.train_head.parallel import mapped
from graftwork.components.train_head.standardization import Standardization

_DIRECTIONS = 256
_CHUNKS = 4
_PASSES = 3


@dataclass(frozen=True)
class Spectrum:
    """The second moments of standardised features: some eigenvectors, and one value for all other directions.

    Attributes:
        directions: float32 (d, r), orthonormal.
        moments: float32 (r,), of each direction.
        rest: Of any direction orthogonal to them.
    """

    directions: np.ndarray
    moments: np.ndarray
    rest: float

    def solve(self, values: np.ndarray, factor: float, penalty: float) -> np.ndarray:
        """Return (factor * moments + penalty * identity)^-1 @ values, for values (d, k)."""
        outside = 1 / (factor * self.rest + penalty)
        inside = 1 / (factor * self.moments + penalty)
        along = self.directions.T @ values.astype(np.float32)
        return outside * values + self.directions @ ((inside - outside)[:, None] * along)


def spectrum(split: Split, scale: Standardization) -> Spectrum:
    """Estimate the second moments of a split's standardised features from a few chunks, spread evenly over it.

    By subspace iteration: Halko, Martinsson and Tropp, Finding Structure with Randomness, 2011, algorithm 4.4.
    """
    dimensions = split.row_shape[0]
    count = min(_DIRECTIONS, dimensions)
    chunks = -(-len(split) // split.chunk_rows)
    sample = np.unique(np.linspace(0, chunks - 1, _CHUNKS).astype(int))
    image = np.random.default_rng(0).standard_normal((dimensions, count)).astype(np.float32)
    for _ in range(_PASSES):
        basis = np.linalg.qr(image)[0]
        image, seen, total = np.zeros_like(basis), 0, 0.0
        for part, rows, squares in mapped(functools.partial(_moments, scale, basis), split.chunks(sample)):
            image, seen, total = image + part, seen + rows, total + squares
    moments, rotation = np.linalg.eigh(basis.T @ image / seen)
    least = 1e-6 * (total / seen / dimensions or 1.0)
    rest = (total / seen - moments.sum()) / (dimensions - count) if count < dimensions else moments.mean()
    return Spectrum(basis @ rotation, np.maximum(moments, least), max(float(rest), least))


def _moments(
    scale: Standardization, basis: np.ndarray, rows: np.ndarray, _: np.ndarray
) -> tuple[np.ndarray, int, float]:
    """Return the second moments of some rows, summed, times the basis; how many they are; the sum of all squares."""
    rows -= scale.mean
    rows /= scale.deviation
    return rows.T @ (rows @ basis), len(rows), float(np.vdot(rows, rows))
