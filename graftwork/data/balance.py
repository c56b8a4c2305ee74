"""How much an image counts in training, so that rare classes are not drowned by frequent ones."""

from typing import Literal

import numpy as np


def class_weights(counts: np.ndarray, weighting: Literal["balanced", "none"] = "balanced") -> np.ndarray:
    """Return how much an image of each class counts; 1 on average over images.

    Args:
        counts: integers (k,), images of each class.
        weighting: "balanced" for all classes to count the same, "none" for all images.

    Returns:
        float (k,): balanced, n / (k * images of the class); King and Zeng, Logistic Regression in Rare Events Data,
            2001. Else ones.
    """
    if weighting == "none":
        return np.ones(len(counts))
    return counts.sum() / (len(counts) * np.maximum(counts, 1))
