"""What of the data has changed since the champion was trained, and whether it matters."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy.stats import fisher_exact

from graftwork.artifacts.trained_on import STATISTICS, TrainedOn
from graftwork.config import DriftConfig
from graftwork.drift.two_samples import compare_counts, compare_features, compare_values

FEWEST = 30
"""New images below which their distributions are not compared: next to nothing would be noticed."""
_LARGE_SHIFT = {"class balance": 0.1, "statistics": 0.2}
"""Distances below which a difference is small, however sure it is: large samples make sure of every trifle."""


@dataclass(frozen=True)
class Finding:
    """One thing that was compared.

    Attributes:
        what: As in "brightness".
        drifted: Whether it has changed by more than chance and by more than a trifle.
        distance: How far old and new are apart, on the scale of its test; None where there is no such test.
        p: How often chance alone brings them so far apart; None where chance has no part in it.
        says: The same in words.
    """

    what: str
    drifted: bool
    distance: float | None
    p: float | None
    says: str


@dataclass(frozen=True)
class Drift:
    """Everything that was compared.

    Attributes:
        findings: One for each thing.
        new_images: How many images the champion has not seen.
        oddest: Keys of the new images that are least like the old ones, the oddest first.
    """

    findings: tuple[Finding, ...]
    new_images: int
    oddest: tuple[str, ...] = field(default=())

    @property
    def drifted(self) -> list[Finding]:
        """What has changed by more than chance and by more than a trifle."""
        return [finding for finding in self.findings if finding.drifted]

    @property
    def problem(self) -> str:
        """What has drifted, in one line; "" if nothing has. What no test has found is said in full."""
        names = (f.what if f.p is not None else f"{f.what} ({f.says})" for f in self.drifted)
        found = ", ".join(names)
        return f"drift in {found}" if found else ""

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {**asdict(self), "problem": self.problem}


@dataclass(frozen=True)
class CurrentImages:
    """The training images of now.

    Attributes:
        counts: How many there are of each class, new and old.
        new_images: How many of them the champion has not seen.
        keys: Of some of those, strings (m,).
        labels: Their classes, strings (m,).
        features: What the champion's network says about them, float32 (m, d).
        statistics: Theirs, float32 (m, len(STATISTICS)).
    """

    counts: Mapping[str, int]
    new_images: int
    keys: np.ndarray
    labels: np.ndarray
    features: np.ndarray
    statistics: np.ndarray


def measure(before: TrainedOn, now: CurrentImages, config: DriftConfig, seed: int = 0, oddest: int = 12) -> Drift:
    """Compare the images of now with those that the champion was trained on.

    Args:
        before: What the champion was trained on.
        now: What would be trained on now.
        config: Levels and limits.
        seed: Of permutations.
        oddest: How many of the oddest images to name.
    """
    old_counts = dict(zip(map(str, before.classes), map(int, before.counts), strict=True))
    findings = [*_classes(old_counts, now.counts), _size(old_counts, now.counts, config)]
    findings.append(_balance(old_counts, now.counts, config))
    old_rows, new_rows = _of_the_same_classes(before.classes[before.labels], now.labels)
    if min(len(old_rows), len(new_rows)) < FEWEST:
        says = "not compared: the champion was promoted by hand, or by an earlier graftwork, and does not say what its"
        says += " images look like"
        if len(before.labels):
            says = f"{now.new_images:,} images are new; {len(new_rows):,} of them and {len(old_rows):,} old ones"
            says += " of the same classes are too few to compare"
        findings.append(Finding("images", False, None, None, says))
        return Drift(tuple(findings), now.new_images)
    level = config.level / len(STATISTICS)  # of each, so that all together keep the level (Bonferroni)
    for number, name in enumerate(STATISTICS):
        old, new = before.statistics[old_rows, number], now.statistics[new_rows, number]
        distance, p = compare_values(old, new)
        says = (
            f"median {np.median(new):.4g} against {np.median(old):.4g}, distributions {distance:.2f} apart, p = {p:.2g}"
        )
        drifted = p <= level and distance > _LARGE_SHIFT["statistics"]
        findings.append(Finding(name, drifted, distance, p, says))
    tested = compare_features(before.features[old_rows], now.features[new_rows], seed)
    says = f"{len(new_rows):,} new images against {len(old_rows):,} of the same classes: p = {tested.p:.2g}"
    findings.append(Finding("features", tested.p <= config.level, tested.distance, tested.p, says))
    order = np.argsort(-tested.oddness, kind="stable")[:oddest]
    return Drift(tuple(findings), now.new_images, tuple(str(now.keys[row]) for row in new_rows[order]))


def accuracy_drop(before: tuple[float, int], now: tuple[float, int], config: DriftConfig) -> str:
    """Say that the champion is right less often than when it was made; "" if it is not, or by chance.

    Args:
        before: Its accuracy on its own test images, and how many there were.
        now: The same on the test images of now.
        config: Level and limit.
    """
    counts = [(round(accuracy * n), n) for accuracy, n in (now, before)]
    p = float(fisher_exact([[right, n - right] for right, n in counts], alternative="less").pvalue)
    if before[0] - now[0] <= config.max_fall or p > config.level:
        return ""
    return f"the champion is right in {now[0]:.4f} of the test images, {before[0]:.4f} when it was made: p = {p:.2g}"


def _of_the_same_classes(old: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return places in two lists of labels, the first of each class, so that both have the classes in equal shares.

    An upload of one class is unlike all classes together, and no drift.
    """
    shared = np.intersect1d(old, new)
    rows = {name: [np.flatnonzero(labels == name) for labels in (old, new)] for name in shared}
    olds, news = (sum(len(found[side]) for found in rows.values()) for side in (0, 1))
    places = [[np.zeros(0, np.int64)], [np.zeros(0, np.int64)]]
    for of_old, of_new in rows.values():
        places[0].append(of_old[: len(of_new) * olds // news])
        places[1].append(of_new[: len(of_old) * news // olds])
    old_rows, new_rows = (np.sort(np.concatenate(chosen)) for chosen in places)
    return old_rows, new_rows


def _classes(old: Mapping[str, int], new: Mapping[str, int]) -> list[Finding]:
    added, gone = ([name for name in a if name not in b] for a, b in ((new, old), (old, new)))
    findings = []
    if added:
        findings.append(Finding("new classes", True, None, None, ", ".join(added)))
    if gone:
        findings.append(Finding("vanished classes", True, None, None, ", ".join(gone)))
    return findings


def _size(old: Mapping[str, int], new: Mapping[str, int], config: DriftConfig) -> Finding:
    before, now = sum(old.values()), sum(new.values())
    shrunk = 1 - now / before if before else 0.0
    says = f"{now:,} training images, {before:,} when the champion was trained"
    return Finding("number of images", shrunk > config.max_shrink, shrunk, None, says)


def _balance(old: Mapping[str, int], new: Mapping[str, int], config: DriftConfig) -> Finding:
    common = [name for name in old if name in new]
    counts = (np.array([classes[name] for name in common], np.int64) for classes in (old, new))
    distance, p = compare_counts(*counts)
    says = f"{distance:.1%} of the images would have to change class, p = {p:.2g}"
    drifted = p <= config.level and distance > _LARGE_SHIFT["class balance"]
    return Finding("class balance", drifted, distance, p, says)
