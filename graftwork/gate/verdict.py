"""The verdict: promote or keep, with every rule that was applied.

A challenger is promoted if no rule that must hold fails, and it is better than the champion: right more often by more
than chance; or, where the policy's better_on names something, not worse within a margin and better on that. The first
version of a model has no champion to beat.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graftwork.config import GateConfig
from graftwork.gate import rules
from graftwork.gate.rules import Export, Pair, Rule


@dataclass(frozen=True)
class Challenge:
    """Everything that the gate looks at.

    Attributes:
        classes: What the challenger tells apart.
        accuracy: Its accuracy on all test images.
        export: Its files, in a clean process.
        data_problem: Why the data is not to be trusted; "" if nothing stands against it.
        champion: What it is compared with; None for the first version of a model.
    """

    classes: Sequence[str]
    accuracy: float
    export: Export
    data_problem: str = ""
    champion: "Champion | None" = None


@dataclass(frozen=True)
class Champion:
    """The champion, asked about the same images.

    Attributes:
        classes: What it tells apart.
        export: Its files, in a clean process.
        pair: What both say about the test images of classes that both know; None if there are none.
        seen: How many of these images it has been trained on, or a model it was made from.
        seen_by_challenger: The same of the challenger.
    """

    classes: Sequence[str]
    export: Export
    pair: Pair | None
    seen: int
    seen_by_challenger: int


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

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {"promote": self.promote, "reason": self.reason, "rules": [rule.as_json() for rule in self.rules]}


def judge(challenge: Challenge, policy: GateConfig, seed: int = 0) -> Verdict:
    """Decide about a challenger. The same arguments give the same verdict.

    Args:
        challenge: What was measured.
        policy: The limits.
        seed: Of what is drawn.
    """
    champion = challenge.champion
    required = [
        rules.data(challenge.data_problem),
        rules.export(challenge.export),
        *rules.latency(challenge.export, policy),
        *rules.size(challenge.export, policy),
        rules.accuracy(challenge.accuracy, policy),
    ]
    if champion is None:
        return _verdict(required, [], better=True, why="the first version of this model")
    pair = champion.pair
    count = len(pair.labels) if pair else 0
    required.append(rules.classes(champion.classes, challenge.classes, policy))
    required.append(rules.unseen(count, champion.seen, champion.seen_by_challenger))
    if pair is None:
        return _verdict(required, [], better=False, why="")
    required.append(rules.no_class_falls(pair, policy))
    better = rules.better(pair, policy)
    merits = [better]
    if policy.better_on:
        not_worse = rules.not_worse(pair, policy, seed)
        others = list(rules.better_on(pair, champion.export, challenge.export, policy, seed))
        merits += [not_worse, *others]
        other = next((rule for rule in others if rule.passed), None)
        if not better.passed and not_worse.passed and other:
            return _verdict(required, merits, better=True, why=f"not worse, and {other.rule}: {other.says}")
    return _verdict(required, merits, better.passed, better.says)


def _verdict(required: list[Rule], merits: list[Rule], better: bool, why: str) -> Verdict:
    failed = [rule for rule in required if not rule.passed]
    if failed:
        why = "; ".join(f"{rule.rule}: {rule.says}" for rule in failed)
    elif not better:
        why = f"not better by more than chance: {why}"
    return Verdict(not failed and better, why, (*required, *merits))
