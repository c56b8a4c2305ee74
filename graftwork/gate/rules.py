"""The rules of the gate, one function each. A rule says what it measured, against which limit, and whether it holds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from graftwork.config import GateConfig, quantity
from graftwork.gate.significance import (
    better_calibrated_p,
    calibration_error,
    gain_lower_bound,
    holm_adjusted,
    mcnemar_p,
)

CLASS_LEVEL = 0.05
"""How often chance alone may stop a challenger for the sake of any class or slice."""
_GONE = ((0.1, 0.02), (0.5, 0.002))
"""The same of one class or slice, where at most this share is left of what the champion gets right."""
FEWEST = 5
"""Images of a class: all of fewer may be lost, and it would not be known from chance."""
TOLERANCE = 1e-4
"""By how much a probability may differ there from what the evaluation saw."""
_NOTICEABLE = 0.9
"""A model is smaller or faster than another if it is below this share of it."""


@dataclass(frozen=True)
class Rule:
    """One rule and what came of it.

    Attributes:
        rule: Its name.
        passed: Whether it holds.
        number: What was measured; None where nothing could be.
        limit: What it was held against; None where there is none.
        says: The same in words.
    """

    rule: str
    passed: bool
    number: float | None
    limit: float | None
    says: str


@dataclass(frozen=True)
class Correctness:
    """What a model says about n images.

    Attributes:
        right: Whether the most probable class is the true one, bool (n,).
        confidence: The probability of the most probable class, float (n,).
    """

    right: np.ndarray
    confidence: np.ndarray


@dataclass(frozen=True)
class PairedAnswers:
    """What champion and challenger say about the same n test images, all of classes that the challenger knows.

    Attributes:
        labels: The true classes, as names, strings (n,).
        known: Whether the champion knows that class, bool (n,); about other images it is wrong.
        champion: Its answers.
        challenger: Its answers.
        slices: Which images belong to a slice, bool (n,), by its name.
    """

    labels: np.ndarray
    known: np.ndarray
    champion: Correctness
    challenger: Correctness
    slices: Mapping[str, np.ndarray]

    @property
    def wins(self) -> np.ndarray:
        """Which images only the challenger has right, bool (n,)."""
        return self.challenger.right & ~self.champion.right

    @property
    def losses(self) -> np.ndarray:
        """Which images only the champion has right, bool (n,)."""
        return self.champion.right & ~self.challenger.right


@dataclass(frozen=True)
class ExportCheck:
    """What a clean process found out about an exported model.

    Attributes:
        size: Of its files, in bytes.
        latency_ms: Median time of an answer about one image.
        difference: The largest difference of a probability from what the evaluation saw.
        problem: Why it could not be asked; "" if it could.
        answers: How many images it was asked about.
    """

    size: int
    latency_ms: float = 0.0
    difference: float = 0.0
    problem: str = ""
    answers: int = 0


def data(drift: str, may_pass: bool) -> Rule:
    """The data is what it was before, or the policy lets it pass."""
    says = f"{drift}, which drift.action lets pass" if drift and may_pass else drift or "nothing stands against it"
    return Rule("data", not drift or may_pass, None, None, says)


def classes(champion: Sequence[str], challenger: Sequence[str], policy: GateConfig) -> Rule:
    """No class is new and none is gone, or that may be."""
    new, gone = ([name for name in a if name not in b] for a, b in ((challenger, champion), (champion, challenger)))
    changes = {"new": (new, policy.allow_new_classes), "gone": (gone, policy.allow_gone_classes)}
    says = "; ".join(f"{what}: {', '.join(names)}" for what, (names, _) in changes.items() if names) or "the same"
    forbidden = [what for what, (names, allowed) in changes.items() if names and not allowed]
    if forbidden:
        says += f"; if that is meant: {', '.join(f'gate.allow_{what}_classes' for what in forbidden)}"
    return Rule("classes", not forbidden, float(len(new) + len(gone)), 0.0, says)


def unseen(count: int, **seen_by: int) -> Rule:
    """No test image was used to train a model, nor any model that it was made from.

    Args:
        count: Test images that the models are asked about.
        seen_by: How many test images each of them has been trained on.
    """
    seen = max(seen_by.values())
    says = f"none of {count:,} images were trained on"
    if seen:
        says = ", ".join(f"the {who} has been trained on {number:,} test images" for who, number in seen_by.items())
        says += "; were the shares of the splits, or the split column, others then?"
    if not count:
        says = "there are no test images of classes that are known"
    return Rule("unseen test images", count > 0 and not seen, float(seen), 0.0, says)


def export(found: ExportCheck) -> Rule:
    """The exported model loads in a clean process and answers as it did in the evaluation."""
    says = found.problem or f"{found.answers} answers differ by {found.difference:.1e} at most"
    return Rule("export", not found.problem and found.difference <= TOLERANCE, found.difference, TOLERANCE, says)


def latency(found: ExportCheck, policy: GateConfig) -> Iterator[Rule]:
    """It answers fast enough."""
    if policy.max_latency_ms is not None:
        fast = not found.problem and found.latency_ms <= policy.max_latency_ms
        says = f"{found.latency_ms:.1f} ms an image, at most {policy.max_latency_ms:g} allowed"
        yield Rule("latency", fast, found.latency_ms, policy.max_latency_ms, says)


def size(found: ExportCheck, policy: GateConfig) -> Iterator[Rule]:
    """It is small enough."""
    if policy.max_size is not None:
        limit = quantity(policy.max_size)
        says = f"{found.size / 2**20:.1f} MiB, at most {policy.max_size} allowed"
        yield Rule("size", found.size <= limit, float(found.size), limit, says)


def accuracy(challenger: float, policy: GateConfig) -> Rule:
    """It is right often enough, whatever the champion does."""
    says = f"{challenger:.4f}, at least {policy.min_accuracy:g} expected"
    return Rule("accuracy", challenger >= policy.min_accuracy, challenger, policy.min_accuracy, says)


@dataclass(frozen=True)
class _Group:
    """How a class or slice fares.

    Attributes:
        count: Its images.
        before: Those that the champion has right.
        won: Those that only the challenger has right.
        lost: Those that only the champion has right.
    """

    count: int
    before: int
    won: int
    lost: int

    @property
    def fall(self) -> float:
        """By how much its accuracy falls."""
        return (self.lost - self.won) / self.count

    @property
    def p(self) -> float:
        """How often chance alone would make it fall as much."""
        return mcnemar_p(self.lost, self.won)

    @property
    def is_gone(self) -> bool:
        """Whether little is left of it, and that is no chance, were it the only one."""
        left = self.before - self.lost + self.won
        return any(left <= share * self.before and self.p <= level for share, level in _GONE)


def no_class_falls(pair: PairedAnswers, policy: GateConfig) -> Rule:
    """No class and no slice falls by more than the policy allows, with evidence.

    The evidence is that of all of them together. One of which little is left is judged alone: among many, the few
    images of one could otherwise not say anything.
    """
    parts = {f"class {name}": pair.labels == name for name in np.unique(pair.labels)}
    parts |= {f"slice {name}": members for name, members in pair.slices.items()}
    told = (np.ones(len(pair.labels), bool), pair.champion.right, pair.wins, pair.losses)
    groups = {name: _Group(*(int(what[rows].sum()) for what in told)) for name, rows in parts.items() if rows.any()}
    together = dict(zip(groups, holm_adjusted(np.array([group.p for group in groups.values()])), strict=True))
    fallen = {
        name: group
        for name, group in groups.items()
        if group.fall > policy.max_class_drop and (together[name] <= CLASS_LEVEL or group.is_gone)
    }
    worst = max(groups, key=lambda name: groups[name].fall)
    fall = groups[worst].fall
    says = f"the largest fall is {fall:.4f}, of {worst}; at most {policy.max_class_drop:g} allowed"
    if fall <= 0:
        says = "none does"
    elif fallen:
        listed = ", ".join(f"{name} by {group.fall:.4f} (p = {group.p:.2g})" for name, group in fallen.items())
        says = f"fallen by more than {policy.max_class_drop:g}: {listed}"
    elif fall > policy.max_class_drop:
        says += ", but that may be chance"
    if few := sum(group.count < FEWEST for group in groups.values()):
        says += f"; {few} have fewer than {FEWEST} test images, too few to tell"
    if without := ", ".join(name for name in parts if name not in groups):
        says += f"; no image is in {without}"
    return Rule("no class falls", not fallen, fall, policy.max_class_drop, says)


def known_classes(pair: PairedAnswers, policy: GateConfig) -> Iterator[Rule]:
    """Where new classes count, those that the champion knows do not pay for them by more than the margin.

    A fall that may be chance counts too: with new classes alone a challenger is better by more than chance.
    """
    if not pair.known.all():
        wins, losses, count = (int(group[pair.known].sum()) for group in (pair.wins, pair.losses, pair.known))
        fall = (losses - wins) / count
        says = (
            f"on {count:,} images of classes that the champion knows, the fall is {fall:.4f}, at most {policy.margin:g}"
        )
        yield Rule("known classes", fall <= policy.margin, fall, policy.margin, f"{says} allowed")


def better(pair: PairedAnswers, policy: GateConfig) -> Rule:
    """The challenger is right more often, by more than chance."""
    wins, losses, count = int(pair.wins.sum()), int(pair.losses.sum()), len(pair.labels)
    p = mcnemar_p(wins, losses)
    says = f"of {count:,} images the challenger alone gets {wins:,} right, the champion alone {losses:,}: p = {p:.2g}"
    return Rule("better", p <= policy.level, p, policy.level, says)


def not_worse(pair: PairedAnswers, policy: GateConfig) -> Rule:
    """The challenger is right as often, within a margin."""
    gain = gain_lower_bound(int(pair.wins.sum()), int(pair.losses.sum()), len(pair.labels), policy.level)
    says = f"the gain in accuracy is above {gain:+.4f}, at least {-policy.margin:+.4f} expected"
    return Rule("not worse", gain >= -policy.margin, gain, -policy.margin, says)


def better_on(
    pair: PairedAnswers, champion: ExportCheck, challenger: ExportCheck, policy: GateConfig, seed: int
) -> Iterator[Rule]:
    """The challenger is better on what the policy names besides accuracy."""
    if "calibration" in policy.better_on:
        mine, other = ((given.confidence, given.right) for given in (pair.challenger, pair.champion))
        p = better_calibrated_p(mine, other, seed)
        says = f"calibration error {calibration_error(*mine):.4f} against {calibration_error(*other):.4f}: p = {p:.2g}"
        yield Rule("better calibration", p <= policy.level, p, policy.level, says)
    measured = {"latency": (challenger.latency_ms, champion.latency_ms), "size": (challenger.size, champion.size)}
    for name, (own, theirs) in measured.items():
        if name in policy.better_on:
            share = own / theirs if theirs else 1.0
            known = not challenger.problem and not champion.problem
            says = f"{share:.2f} times the champion's, below {_NOTICEABLE} counts"
            yield Rule(f"better {name}", known and share < _NOTICEABLE, share, _NOTICEABLE, says)
