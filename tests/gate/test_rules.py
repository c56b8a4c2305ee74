"""The gate: what it lets through, what it never lets through, and what it says."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from graftwork.config import GateConfig
from graftwork.gate.rules import Correctness, ExportCheck, PairedAnswers
from graftwork.gate.significance import gain_lower_bound, holm_adjusted, mcnemar_p
from graftwork.gate.verdict import Champion, GateInputs, Verdict, decide

CLASSES = [f"class {number}" for number in range(10)]
IMAGES = 1000
NIGHTS = 200
SOUND = ExportCheck(size=20_000_000, latency_ms=20.0)


LABELS = np.array([f"class {number % 10}" for number in range(IMAGES)])


def answers(right: np.ndarray, confidence: float = 0.9) -> Correctness:
    return Correctness(right, np.full(len(right), confidence))


def verdict(
    champion: Correctness | None,
    challenger: Correctness,
    policy: GateConfig | None = None,
    *,
    labels: np.ndarray = LABELS,
    export: ExportCheck = SOUND,
    champions_export: ExportCheck = SOUND,
    known: list[str] = CLASSES,
    seen: int = 0,
    seen_by_challenger: int = 0,
    drift: str = "",
    drift_may_pass: bool = False,
    slices: dict[str, np.ndarray] | None = None,
) -> Verdict:
    accuracy = float(challenger.right.mean())
    against = None
    if champion is not None:
        pair = PairedAnswers(labels, np.isin(labels, known), champion, challenger, slices or {})
        against = Champion(known, champions_export, pair, seen)
    challenge = GateInputs(CLASSES, accuracy, len(labels), seen_by_challenger, export, drift, drift_may_pass, against)
    return decide(challenge, policy or GateConfig())


def failed(verdict: Verdict) -> set[str]:
    return {rule.rule for rule in verdict.rules if not rule.passed}


class Nights:
    """Models retrained night after night, judged on the same 1,000 test images.

    Images differ in how hard they are. A training is an even draw: a model has an image right with the probability that
    its quality and the image's difficulty give, so two models of one quality differ on some images by chance alone. At
    an accuracy of 0.95 one is right and the other wrong on about 47 of 1,000; on 95, if they erred independently.
    """

    def __init__(self, seed: int, accuracy: float) -> None:
        self.random = np.random.default_rng(seed)
        self.difficulty = self.random.normal(0, 4, IMAGES)
        self.accuracy = accuracy

    def trained(self, gain: float = 0.0) -> Correctness:
        """Return the answers of a model whose true accuracy, on all images there could be, is that much higher."""
        quality = _quality(self.accuracy + gain)
        return answers(self.random.random(IMAGES) < _logistic(quality - self.difficulty))


@functools.cache
def _quality(accuracy: float) -> float:
    everywhere, low, high = np.random.default_rng(0).normal(0, 4, 100_000), -20.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _logistic(middle - everywhere).mean() < accuracy else (low, middle)
    return low


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("accuracy", [0.8, 0.95])
def test_equal_models_are_promoted_in_five_of_a_hundred_nights_at_most(accuracy: float) -> None:
    promoted = 0
    for seed in range(5):  # five times 200 nights: one run of luck says little
        nights = Nights(seed, accuracy)
        champion = nights.trained()
        for _ in range(NIGHTS):
            challenger = nights.trained()
            if verdict(champion, challenger).promote:
                champion, promoted = challenger, promoted + 1
        assert promoted <= 0.05 * NIGHTS * (seed + 1)


@pytest.mark.parametrize("accuracy", [0.8, 0.95])
def test_equal_models_are_promoted_as_rarely_against_a_champion_of_average_luck(accuracy: float) -> None:
    promoted = 0
    for seed in range(NIGHTS * 5):
        nights = Nights(seed, accuracy)
        promoted += verdict(nights.trained(), nights.trained()).promote
    assert promoted <= 0.05 * NIGHTS * 5


def test_a_worse_model_is_never_promoted() -> None:
    for seed in range(NIGHTS * 5):
        nights = Nights(seed, 0.95)
        assert not verdict(nights.trained(), nights.trained(-0.02)).promote


def test_a_better_model_is_promoted_in_eighty_of_a_hundred_nights_at_least() -> None:
    promoted = 0
    for seed in range(NIGHTS * 5):
        nights = Nights(seed, 0.95)
        promoted += verdict(nights.trained(), nights.trained(+0.02)).promote
    assert promoted >= 0.8 * NIGHTS * 5


WORSE, BETTER = answers(np.arange(IMAGES) >= 80), answers(np.arange(IMAGES) >= 40)


def test_a_better_model_takes_the_place() -> None:
    said = verdict(WORSE, BETTER)
    assert said.promote
    assert said.reason.startswith("of 1,000 images the challenger alone gets 40 right, the champion alone 0: p")
    assert not failed(said)


def test_the_same_model_does_not_take_its_own_place() -> None:
    said = verdict(BETTER, BETTER)
    assert not said.promote
    assert "not better by more than chance" in said.reason


def test_the_first_version_needs_no_champion_to_beat() -> None:
    said = verdict(None, WORSE)
    assert said.promote
    assert said.reason == "the first version of this model"


def test_the_first_version_has_not_seen_the_test_images_either() -> None:
    assert failed(verdict(None, WORSE, seen_by_challenger=7)) == {"unseen test images"}


def test_the_first_version_is_held_against_the_thresholds() -> None:
    said = verdict(None, WORSE, GateConfig(min_accuracy=0.95))
    assert failed(said) == {"accuracy"}
    assert said.reason == "accuracy: 0.9200, at least 0.95 expected"


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"drift": "drift in brightness"}, "data"),
        ({"export": ExportCheck(20_000_000, problem="it does not load: no file")}, "export"),
        ({"export": ExportCheck(20_000_000, 20.0, difference=0.01)}, "export"),
        ({"known": CLASSES[1:]}, "classes"),
        ({"known": [*CLASSES, "another"]}, "classes"),
        ({"known": [*CLASSES, "another"], "policy": GateConfig(allow_new_classes=True)}, "classes"),
        ({"known": CLASSES[1:], "policy": GateConfig(allow_gone_classes=True)}, "classes"),
        ({"seen": 1}, "unseen test images"),
        ({"seen_by_challenger": 1}, "unseen test images"),
        ({"policy": GateConfig(max_latency_ms=10)}, "latency"),
        ({"policy": GateConfig(max_size="10M")}, "size"),
        ({"policy": GateConfig(min_accuracy=0.99)}, "accuracy"),
    ],
)
def test_whatever_must_hold_stops_a_better_model(changes: dict, rule: str) -> None:
    said = verdict(WORSE, BETTER, **changes)
    assert not said.promote
    assert failed(said) == {rule}
    assert said.reason.startswith(f"{rule}: ")


NEW_CLASS = GateConfig(allow_new_classes=True)
EVERY_CHANGE = GateConfig(allow_new_classes=True, allow_gone_classes=True)


def with_a_new_class(champion: Correctness, challenger: Correctness) -> Verdict:
    """Return the verdict where the champion has never heard of class 0, which are 100 of 1,000 images."""
    return verdict(answers(champion.right & (LABELS != "class 0")), challenger, NEW_CLASS, known=CLASSES[1:])


def test_new_classes_may_be_allowed() -> None:
    said = with_a_new_class(WORSE, BETTER)
    assert said.promote
    assert next(rule for rule in said.rules if rule.rule == "classes").says == "new: class 0"


def test_a_model_that_is_as_good_and_knows_a_new_class_is_better() -> None:
    assert with_a_new_class(BETTER, BETTER).promote
    assert not with_a_new_class(BETTER, answers(BETTER.right & (LABELS != "class 0"))).promote  # it has not learnt it


def test_the_classes_that_were_known_do_not_pay_for_a_new_one() -> None:
    said = with_a_new_class(answers(np.ones(IMAGES, bool)), answers(np.arange(IMAGES) >= 30))
    assert failed(said) == {"known classes"}
    assert "on 900 images of classes that the champion knows, the fall is 0.0300" in said.reason
    assert with_a_new_class(answers(np.ones(IMAGES, bool)), answers(np.arange(IMAGES) >= 5)).promote


def test_models_of_one_quality_in_nights_that_bring_a_new_class() -> None:
    promoted = {0.0: 0, -0.02: 0}
    for gain in promoted:
        for seed in range(NIGHTS * 5):
            nights = Nights(seed, 0.95)
            promoted[gain] += with_a_new_class(nights.trained(), nights.trained(gain)).promote
    assert promoted[0.0] >= 0.8 * NIGHTS * 5
    assert promoted[-0.02] <= 0.15 * NIGHTS * 5


def test_a_class_that_falls_stops_a_better_model() -> None:
    fallen = answers(~((LABELS == "class 3") & (np.arange(IMAGES) < 150)))  # 15 of 100 of one class, all else right
    said = verdict(WORSE, fallen)
    assert failed(said) == {"no class falls"}
    assert "class 3" in said.reason


@pytest.mark.parametrize(("classes", "images"), [(10, 5), (30, 8), (100, 9), (1000, 13)])
def test_a_class_that_is_lost_stops_a_better_model_however_many_classes_there_are(classes: int, images: int) -> None:
    labels = np.repeat([f"class {number}" for number in range(classes)], images)
    first = np.arange(len(labels)) < images
    champion = answers(first | (np.arange(len(labels)) % 3 > 0))
    said = verdict(champion, answers(~first), labels=labels)
    assert failed(said) == {"no class falls"}
    assert "class 0 by 1.0000" in said.reason
    if images >= 9:  # and one of which a tenth or two are left
        most = answers(~first | (np.arange(len(labels)) < 1))
        assert failed(verdict(champion, most, labels=labels)) == {"no class falls"}
    kept = verdict(champion, answers(~first | (np.arange(len(labels)) % 3 > 0)), labels=labels)  # a third
    assert kept.promote
    assert "may be chance" in next(rule for rule in kept.rules if rule.rule == "no class falls").says


def test_of_a_class_that_the_champion_half_knew_nothing_may_be_left_either() -> None:
    labels = np.repeat([f"class {number}" for number in range(21)], 10)
    first = np.arange(len(labels)) < 10
    champion = answers(np.where(first, np.arange(len(labels)) < 5, np.arange(len(labels)) % 3 > 0))
    assert failed(verdict(champion, answers(~first), labels=labels)) == {"no class falls"}
    assert verdict(
        champion, answers(~first | (np.arange(len(labels)) < 1)), labels=labels
    ).promote  # one of five is left


@pytest.mark.parametrize(("classes", "images"), [(30, 8), (100, 9), (500, 8)])
@pytest.mark.parametrize("accuracy", [0.6, 0.8, 0.95])
def test_models_seldom_lose_a_class_by_chance(classes: int, images: int, accuracy: float) -> None:
    random, stopped = np.random.default_rng(0), 0
    labels = np.repeat([f"class {number}" for number in range(classes)], images)
    for _ in range(60):
        champion = random.random(len(labels)) < accuracy
        flipped = random.random(len(labels)) < np.where(champion, 0.15 / accuracy, 0.15 / (1 - accuracy))
        stopped += "no class falls" in failed(verdict(answers(champion), answers(champion ^ flipped), labels=labels))
    assert stopped <= 0.06 * 60


def test_classes_and_slices_that_cannot_be_judged_are_named() -> None:
    labels = LABELS.copy()
    labels[:3] = "class new"
    said = verdict(WORSE, BETTER, labels=labels, slices={"night": np.zeros(IMAGES, bool)})
    rule = next(rule for rule in said.rules if rule.rule == "no class falls")
    assert "1 have fewer than 5 test images, too few to tell; no image is in slice night" in rule.says


def test_a_class_that_falls_by_chance_stops_nothing() -> None:
    few = LABELS.copy()
    few[LABELS == "class 3"] = "class 4"
    few[[503, 513, 523]] = "class 3"  # three images, of which one is wrong now
    said = verdict(WORSE, answers((np.arange(IMAGES) >= 40) & (np.arange(IMAGES) != 523)), labels=few)
    assert said.promote
    assert "may be chance" in next(rule for rule in said.rules if rule.rule == "no class falls").says


def test_a_slice_that_falls_stops_a_better_model() -> None:
    night = np.arange(IMAGES) >= 900
    challenger = answers((np.arange(IMAGES) < 900) | (np.arange(IMAGES) >= 920))
    assert verdict(WORSE, challenger).promote
    said = verdict(WORSE, challenger, slices={"night": night})
    assert failed(said) == {"no class falls"}
    assert "slice night" in said.reason


def test_a_model_that_is_as_good_and_smaller_is_promoted_where_the_policy_names_size() -> None:
    small = ExportCheck(size=5_000_000, latency_ms=20.0)
    assert not verdict(BETTER, BETTER, export=small).promote
    said = verdict(BETTER, BETTER, GateConfig(better_on=("size",)), export=small)
    assert said.promote
    assert said.reason.startswith("not worse, and better size: 0.25 times")
    assert not verdict(WORSE, WORSE, GateConfig(better_on=("size",)), export=SOUND).promote
    assert not verdict(BETTER, WORSE, GateConfig(better_on=("size",)), export=small).promote


def test_a_model_that_is_as_good_and_knows_its_limits_better() -> None:
    modest = answers(np.arange(IMAGES) >= 80, confidence=0.92)
    boastful = answers(np.arange(IMAGES) >= 80, confidence=1.0)
    policy = GateConfig(better_on=("calibration",))
    assert verdict(boastful, modest, policy).promote
    assert not verdict(modest, boastful, policy).promote
    assert not verdict(modest, modest, policy).promote


def test_models_without_a_common_image_are_not_compared() -> None:
    against = Champion(["other"], SOUND, None, 0)
    said = decide(GateInputs(CLASSES, 0.9, 100, 0, SOUND, champion=against), EVERY_CHANGE)
    assert not said.promote
    assert failed(said) == {"unseen test images"}


@given(st.integers(0, 300), st.integers(0, 300))
def test_the_p_value_lies_between_those_of_two_exact_tests(wins: int, losses: int) -> None:
    p = mcnemar_p(wins, losses)
    if wins + losses:
        assert p <= binomtest(wins, wins + losses, alternative="greater").pvalue
    assert p + mcnemar_p(losses, wins) == pytest.approx(1.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusted_p_values_keep_their_order_and_are_no_smaller(p_values: list[float]) -> None:
    before = np.array(p_values)
    after = holm_adjusted(before)
    assert (after >= before).all()
    assert (after <= 1).all()
    assert (np.diff(after[np.argsort(before, kind="stable")]) >= 0).all()


@settings(deadline=None)
@given(st.integers(0, 100), st.integers(0, 100), st.integers(1, 1000))
def test_the_lower_bound_of_the_gain_is_below_the_observed_one(wins: int, losses: int, others: int) -> None:
    count = wins + losses + others
    assert gain_lower_bound(wins + 1, losses, count + 1, 0.025) >= gain_lower_bound(wins, losses + 1, count + 1, 0.025)
    assert gain_lower_bound(wins, losses, count, 0.025) <= (wins - losses) / count + 1e-12


def bounded(gain: float, share: float, count: int, margin: float, level: float = 0.03) -> float:
    """Return how often the smallest gain is above minus the margin: the exact sum over what n images may show.

    Args:
        gain: The true one.
        share: Of images that the worse of the two has right, and the other wrong.
        count: Images, n.
        margin: As in the policy.
        level: Of the bound.
    """
    wins, losses = share + max(0.0, gain), share + max(0.0, -gain)
    often = 0.0
    for different in range(int(binom.isf(1e-9, count, wins + losses)) + 1):
        won = np.arange(different + 1)
        holds = [gain_lower_bound(int(n), int(different - n), count, level) >= -margin for n in won]
        often += binom.pmf(different, count, wins + losses) * binom.pmf(won, different, wins / (wins + losses)) @ holds
    return float(often)


@pytest.mark.parametrize("count", [50, 200, 1000])
@pytest.mark.parametrize("share", [0.0001, 0.002, 0.01, 0.03])
def test_the_lower_bound_of_the_gain_keeps_its_level_on_any_number_of_images(count: int, share: float) -> None:
    assert bounded(-0.01, share, count, margin=0.01) <= 0.033
    assert bounded(-0.03, share, count, margin=0.01) <= 0.02


def test_as_good_a_model_holds_the_margin_where_there_are_images_enough() -> None:
    assert bounded(0, 0.047, 1000, margin=0.01) == pytest.approx(0.19, abs=0.01)
    assert bounded(0, 0.01, 1000, margin=0.01) == pytest.approx(0.59, abs=0.01)


def test_no_images_that_differ_are_no_proof() -> None:
    assert gain_lower_bound(0, 0, 50, 0.03) == pytest.approx(-0.066, abs=0.001)
    assert gain_lower_bound(0, 0, 1_000_000, 0.03) == pytest.approx(0, abs=1e-5)
    assert gain_lower_bound(0, 10, 10, 0.03) == -1
    assert gain_lower_bound(10, 0, 10, 0.03) == pytest.approx(0.48, abs=0.01)


@pytest.mark.parametrize("count", [50, 200, IMAGES])
def test_a_worse_model_is_hardly_ever_promoted_for_something_else(count: int) -> None:
    policy, small, promoted = GateConfig(better_on=("size",)), ExportCheck(size=5_000_000), 0
    for seed in range(NIGHTS * 5):
        nights = Nights(seed, 0.95)
        champion, challenger = (answers(given.right[:count]) for given in (nights.trained(), nights.trained(-0.02)))
        promoted += verdict(champion, challenger, policy, labels=LABELS[:count], export=small).promote
    assert promoted <= 0.03 * NIGHTS * 5


def test_the_same_measurements_give_the_same_verdict() -> None:
    policy = GateConfig(better_on=("calibration", "size", "latency"))
    assert verdict(WORSE, BETTER, policy) == verdict(WORSE, BETTER, policy)
