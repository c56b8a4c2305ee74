"""How much an image counts in training, so that rare classes are not drowned by frequent ones."""

import numpy as np


def class_weights(counts: np.ndarray) -> np.ndarray:
    """Return how much an image of each class counts so that all classes count the same; 1 on average over images.

    Args:
        counts: integers (k,), images of each class.

    Returns:
        float (k,), n / (k * images of the class); King and Zeng, Logistic Regression in Rare Events Data, 2001.
    """
    return counts.sum() / (len(counts) * np.maximum(counts, 1))
