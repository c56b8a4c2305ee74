"""What training has to reach, as ratios, beside what was reached."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

Run = Mapping[str, float]
Runs = Mapping[str, Sequence[Run]]
"""Of each contestant that ran, its runs: wall_s and perhaps test_accuracy. Those of one repeat have the same place."""


@dataclass(frozen=True)
class Target:
    """A bound on one ratio.

    Attributes:
        what: In words.
        bound: The number.
        at_least: Whether the ratio must not be below it; else it must not be above.
        of: The contestant in the numerator.
        over: The one in the denominator.
        ratio: Computes it from a run of the one and a run of the other.
    """

    what: str
    bound: float
    at_least: bool
    of: str
    over: str
    ratio: Callable[[Run, Run], float]

    def met(self, reached: float) -> bool:
        """Return whether a ratio is on the right side of the bound."""
        return reached >= self.bound if self.at_least else reached <= self.bound


def paired(ratio: Callable[[Run, Run], float], of: Sequence[Run], over: Sequence[Run]) -> float:
    """Return the median over the repeats of a ratio of two contestants.

    A machine may be faster in one repeat than in another, for a quarter of an hour: within a repeat both feel it.
    """
    return median(ratio(one, other) for one, other in zip(of, over, strict=False))


def time_ratio(numerator: Run, denominator: Run) -> float:
    """Return how many times as long the one took."""
    return numerator["wall_s"] / denominator["wall_s"]


def _errors(numerator: Run, denominator: Run) -> float:
    wrong = 1 - denominator["test_accuracy"]
    return (1 - numerator["test_accuracy"]) / wrong if wrong else float("inf")


def _gained(numerator: Run, denominator: Run) -> float:
    return numerator["test_accuracy"] - denominator["test_accuracy"]


def _faster(what: str, bound: float, of: str, over: str) -> Target:
    return Target(f"{what}: time ratio", bound, True, of, over, time_ratio)


def _near(what: str, bound: float, of: str, over: str) -> Target:
    return Target(f"{what}: time ratio", bound, False, of, over, time_ratio)


TARGETS = (
    _faster("feature extraction, 10 epochs, recipe / graftwork", 9, "extraction/recipe", "extraction/graftwork"),
    _faster("the same as two processes", 9, "extraction/recipe", "extraction/graftwork-two-processes"),
    Target(
        "the same, test accuracy of graftwork - recipe", 0, True, "extraction/graftwork", "extraction/recipe", _gained
    ),
    _faster("feature extraction, 50 epochs, recipe / graftwork", 30, "fifty/recipe", "fifty/graftwork"),
    _faster("the same as two processes", 30, "fifty/recipe", "fifty/graftwork-two-processes"),
    Target("the same, test accuracy of graftwork - recipe", 0, True, "fifty/graftwork", "fifty/recipe", _gained),
    _faster(
        "last 5 layers of VGG16, 96 px, 20 epochs, recipe as written / fine_tune",
        4.5,
        "vgg/recipe-as-written",
        "vgg/graftwork",
    ),
    _faster("the same, recipe with the others frozen / fine_tune", 1.7, "vgg/recipe-frozen", "vgg/graftwork"),
    _faster("the same at 224 px", 1.7, "vgg224/recipe-frozen", "vgg224/graftwork"),
    _faster(
        "last third of EfficientNet-Lite0, 5 epochs, not augmented, no cache / cache",
        2,
        "third/uncached-plain",
        "third/cached-plain",
    ),
    _faster("the same, augmented, no cache / cache with default views", 2, "third/uncached", "third/cached"),
    _faster("the same, augmented, no cache / cache with one view", 2, "third/uncached", "third/cached-one-view"),
    _near("fine_tune with a cache / its floor, VGG16, last 5 layers", 1.1, "vgg/graftwork", "vgg/floor"),
    _near("the same at 224 px", 1.1, "vgg224/graftwork", "vgg224/floor"),
    _near("the same, EfficientNet-Lite0, last 5 layers", 1.1, "five/graftwork", "five/floor"),
    _near("the same, EfficientNet-Lite0, last third", 1.1, "third/cached-plain", "third/floor"),
    _near("head training, 10 epochs, whole / its floor", 1.15, "extraction/graftwork", "extraction/floor"),
    Target(
        "test errors, feature-extraction recipe / default run", 4, True, "extraction/recipe", "default/run", _errors
    ),
    _near("the same, time of the default run / recipe", 1.2, "default/run", "extraction/recipe"),
    _near("the same, in one process", 1.2, "default/one-process", "extraction/recipe"),
)
MEMORY_BOUND = 1.1


def reached(runs: Runs) -> list[tuple[Target, float]]:
    """Return every target whose two contestants both ran, with the ratio."""
    return [
        (target, paired(target.ratio, runs[target.of], runs[target.over]))
        for target in TARGETS
        if target.of in runs and target.over in runs
    ]


def memory_growth(measured: Mapping[str, Mapping[str, Any]]) -> tuple[str, float]:
    """Return the step whose peak grows most from few images to many, and the ratio; see benchmarks/memory.json."""
    few, many = sorted(measured, key=int)
    ratios = {
        step: found["peak_mib"] / measured[few][step]["peak_mib"]
        for step, found in measured[many].items()
        if step != "load_base_model"  # sees no images
    }
    step = max(ratios, key=lambda name: ratios[name])
    return step, ratios[step]
