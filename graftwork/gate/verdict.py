"""The verdict: promote or keep, with every rule that was applied.

A challenger is promoted if no rule that must hold fails, and it is better than the champion: right more often by more
than chance; or, where the policy's better_on names something, not worse within a margin and better on that. The first
version of a model has no champion to beat.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graftwork.config import GateConfig
from graftwork.gate import rules
from graftwork.gate.rules import ExportCheck, PairedAnswers, Rule


@dataclass(frozen=True)
class GateInputs:
    """Everything that the gate looks at.

    Attributes:
        classes: What the challenger tells apart.
        accuracy: Its accuracy on all test images.
        images: How many there are.
        seen: How many of them it has been trained on, or a model it was made from.
        export: Its files, in a clean process.
        drift: What of the data has drifted; "" if nothing has.
        drift_may_pass: Whether that stands against a promotion.
        champion: What it is compared with; None for the first version of a model.
    """

    classes: Sequence[str]
    accuracy: float
    images: int
    seen: int
    export: ExportCheck
    drift: str = ""
    drift_may_pass: bool = False
    champion: "Champion | None" = None


@dataclass(frozen=True)
class Champion:
    """The champion, asked about the same images.

    Attributes:
        classes: What it tells apart.
        export: Its files, in a clean process.
        pair: What both say about the same test images; None if there are none of classes that both know.
        seen: How many of these images it has been trained on, or a model it was made from.
    """

    classes: Sequence[str]
    export: ExportCheck
    pair: PairedAnswers | None
    seen: int


@dataclass(frozen=True)
class Verdict:
    """What the gate says.

    Attributes:
        promote: Whether the challenger takes the champion's place.
        reason: Why, in one line.
        rules: Every rule that was applied: first those that must hold, then those of which some make it better.
    """

    promote: bool
    reason: str
    rules: tuple[Rule, ...]


def decide(challenge: GateInputs, policy: GateConfig, seed: int = 0) -> Verdict:
    """Decide about a challenger. The same arguments give the same verdict.

    Args:
        challenge: What was measured.
        policy: The limits.
        seed: Of what is drawn.
    """
    required = list(_required(challenge, policy))
    merits, better, why = _merits(challenge, policy, seed)
    failed = [rule for rule in required if not rule.passed]
    if failed:
        why = "; ".join(f"{rule.rule}: {rule.says}" for rule in failed)
    elif not better:
        why = f"not better by more than chance: {why}"
    if challenge.drift and challenge.drift_may_pass:
        why = f"{why}; {challenge.drift}"  # a warning that only the pages showed would be read by nobody
    return Verdict(not failed and better, why, (*required, *merits))


def _required(challenge: GateInputs, policy: GateConfig) -> Iterator[Rule]:
    """Yield the rules that must hold."""
    yield rules.data(challenge.drift, challenge.drift_may_pass)
    yield rules.export(challenge.export)
    yield from rules.latency(challenge.export, policy)
    yield from rules.size(challenge.export, policy)
    yield rules.accuracy(challenge.accuracy, policy)
    champion = challenge.champion
    if champion is None:
        yield rules.unseen(challenge.images, challenger=challenge.seen)
    else:
        yield rules.classes(champion.classes, challenge.classes, policy)
        count = len(champion.pair.labels) if champion.pair else 0
        yield rules.unseen(count, champion=champion.seen, challenger=challenge.seen)
        if champion.pair is not None:
            yield rules.no_class_falls(champion.pair, policy)
            yield from rules.known_classes(champion.pair, policy)


def _merits(challenge: GateInputs, policy: GateConfig, seed: int) -> tuple[list[Rule], bool, str]:
    """Return the rules of which some make a challenger better, whether it is, and why."""
    champion = challenge.champion
    if champion is None:
        return [], True, "the first version of this model"
    if champion.pair is None:
        return [], False, ""
    better = rules.better(champion.pair, policy)
    if not policy.better_on:
        return [better], better.passed, better.says
    not_worse = rules.not_worse(champion.pair, policy)
    others = list(rules.better_on(champion.pair, champion.export, challenge.export, policy, seed))
    other = next((rule for rule in others if rule.passed), None)
    merits = [better, not_worse, *others]
    if not better.passed and not_worse.passed and other:
        return merits, True, f"not worse, and {other.rule}: {other.says}"
    return merits, better.passed, better.says
