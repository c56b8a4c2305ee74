"""What the heads are trained on: features with a mean of zero and comparable deviations."""

from dataclasses import dataclass

import numpy as np

from graftwork.artifacts.features import Split


@dataclass(frozen=True)
class Standardization:
    """What is subtracted from each feature, and what it is divided by; float32 (d,)."""

    mean: np.ndarray
    deviation: np.ndarray

    def folded(self, kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the dense layer for features as they are that says the same as this one for standardised features.

        Args:
            kernel: float (d, u).
            bias: float (u,).

        Returns:
            Kernel float32 (d, u) and bias float32 (u,).
        """
        kernel = kernel / self.deviation[:, None]
        return kernel.astype(np.float32), (bias - self.mean @ kernel).astype(np.float32)


def standardization(split: Split) -> Standardization:
    """Return mean and standard deviation of each feature over a split, in one pass.

    No deviation is less than the root mean square of all: a feature that is nearly always zero in training would
    otherwise become enormous in the one new image that has it.
    """
    total = np.zeros(split.row_shape[0])
    squares = np.zeros_like(total)
    shift: np.ndarray | None = None
    for rows, _ in split.chunks():
        # Shifted by the first row, so that float32 sums within a chunk and the difference of squares below lose no
        # digits that count.
        shift = rows[0].copy() if shift is None else shift
        rows -= shift
        total += rows.sum(axis=0)
        squares += np.einsum("ij,ij->j", rows, rows)
    assert shift is not None  # no split is empty
    mean = total / len(split)
    variance = np.maximum(squares / len(split) - mean**2, 0.0)
    deviation = np.sqrt(np.maximum(variance, variance.mean() or 1.0))
    return Standardization((mean + shift).astype(np.float32), deviation.astype(np.float32))
