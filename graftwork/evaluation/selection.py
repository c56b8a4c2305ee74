"""Which of several trained models is kept. Only validation numbers count; test numbers never choose."""

import math
from collections.abc import Mapping


def rank(accuracy: float, loss: float) -> tuple[float, float]:
    """Return a key that sorts better models higher: by accuracy, then by lower loss; last those that diverged."""
    return (accuracy, -loss) if math.isfinite(loss) else (-1.0, -math.inf)


def select(candidates: Mapping[str, Mapping[str, float]]) -> tuple[str, str]:
    """Pick the better model on validation.

    Args:
        candidates: Validation metrics of each candidate by name, with "accuracy" and "loss"; the simpler first.

    Returns:
        The name of the candidate with the highest accuracy; of equals, the lowest loss; of equals still, the first.
        And why, in one line.
    """
    ranked = {name: rank(metrics["accuracy"], metrics["loss"]) for name, metrics in candidates.items()}
    best = max(ranked, key=lambda name: ranked[name])  # max keeps the first of equals
    if len(ranked) == 1:
        return best, "the only candidate"
    accuracy = candidates[best]["accuracy"]
    others = {name: metrics["accuracy"] for name, metrics in candidates.items() if name != best}
    runner_up = max(others, key=lambda name: ranked[name])
    if accuracy > others[runner_up]:
        return best, f"validation accuracy {accuracy:.4f} against {others[runner_up]:.4f} of {runner_up}"
    if candidates[best]["loss"] < candidates[runner_up]["loss"]:
        losses = f"{candidates[best]['loss']:.4f} against {candidates[runner_up]['loss']:.4f}"
        return best, f"the same validation accuracy as {runner_up}, lower loss: {losses}"
    return best, f"{runner_up} is no better on validation"
