"""Drift: what is noticed, what is not, and how often chance alone raises an alarm."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graftwork.artifacts import trained_on
from graftwork.artifacts.trained_on import TrainedOn
from graftwork.config import DriftConfig
from graftwork.drift.drift import CurrentImages, accuracy_drop, measure
from graftwork.drift.two_samples import compare_counts, compare_features, compare_values

COUNTS = {"blue": 400, "red": 600}


def before(random: np.random.Generator, size: int = 300, width: int = 16) -> TrainedOn:
    return TrainedOn(
        seen=np.arange(1000, dtype=np.uint64),
        features=random.normal(size=(size, width)).astype(np.float32),
        statistics=looks(random, size),
        classes=np.array(list(COUNTS)),
        counts=np.array(list(COUNTS.values())),
        labels=np.arange(size, dtype=np.int32) % 2,
    )


def looks(random: np.random.Generator, size: int) -> np.ndarray:
    return random.normal(100, 20, (size, len(trained_on.STATISTICS))).astype(np.float32)


def tonight(random: np.random.Generator, size: int = 200, width: int = 16, **changes: object) -> CurrentImages:
    same = {
        "counts": COUNTS,
        "new_images": size,
        "keys": np.array([f"{number:064x}" for number in range(size)]),
        "labels": np.array(list(COUNTS))[np.arange(size) % 2],
        "features": random.normal(size=(size, width)).astype(np.float32),
        "statistics": looks(random, size),
    }
    return CurrentImages(**{**same, **changes})  # type: ignore[arg-type]


def drifted(now: CurrentImages, **config: object) -> set[str]:
    found = measure(before(np.random.default_rng(1)), now, DriftConfig(**config))  # type: ignore[arg-type]
    return {finding.what for finding in found.findings if finding.drifted}


def test_the_same_kind_of_images_raises_no_alarm() -> None:
    assert drifted(tonight(np.random.default_rng(2))) == set()


def test_alarms_by_chance_are_rare() -> None:
    alarms = sum(bool(drifted(tonight(np.random.default_rng(seed), size=60))) for seed in range(100, 160))
    assert alarms <= 4  # at a level of 0.01 for features, and for all statistics together


def test_an_upload_of_one_class_is_no_drift() -> None:
    random = np.random.default_rng(4)
    old, new = before(random), tonight(random, labels=np.array(["red"] * 200))
    red = old.labels == 1
    old.features[red] += 3
    old.statistics[red, 0] += 60
    new.features[:] += 3
    new.statistics[:, 0] += 60
    assert not [finding.what for finding in measure(old, new, DriftConfig()).findings if finding.drifted]
    new.features[:] -= 3
    assert measure(old, new, DriftConfig()).problem == "drift in features"


def test_another_mix_of_classes_is_no_drift_in_features() -> None:
    for seed in range(5):
        random = np.random.default_rng(seed)
        old = replace(before(random, size=1000), labels=(random.random(1000) < 0.5).astype(np.int32))
        red = random.random(500) < 0.8
        new = tonight(random, size=500, labels=np.where(red, "red", "blue"))
        old.features[old.labels == 1] += 3
        new.features[red] += 3
        assert "features" not in measure(old, new, DriftConfig()).problem


@pytest.mark.parametrize("classes", [2, 10, 25])
def test_an_upload_of_one_class_is_compared_with_what_there_is_of_it(classes: int) -> None:
    random = np.random.default_rng(6)
    names = np.array([f"class {number}" for number in range(classes)])
    old = replace(
        before(random, size=1000),
        classes=names,
        counts=np.full(classes, 1000 // classes),
        labels=np.arange(1000, dtype=np.int32) % classes,
    )
    new = tonight(random, size=500, labels=np.array(["class 1"] * 500))
    assert "features" not in measure(old, new, DriftConfig()).problem
    new.features[:] += 1
    assert "features" in measure(old, new, DriftConfig()).problem


def test_darker_images_are_noticed() -> None:
    random = np.random.default_rng(3)
    statistics = looks(random, 200)
    statistics[:, 0] -= 25
    assert drifted(tonight(random, statistics=statistics)) == {"brightness"}


def test_other_things_in_the_images_are_noticed_and_the_oddest_named() -> None:
    random = np.random.default_rng(4)
    features = random.normal(size=(200, 16)).astype(np.float32)
    features[150:] += 3
    found = measure(before(np.random.default_rng(1)), tonight(random, features=features), DriftConfig())
    assert {finding.what for finding in found.findings if finding.drifted} == {"features"}
    assert len(found.oddest) == 12
    assert all(int(key, 16) >= 150 for key in found.oddest)
    assert "features" in found.problem


def test_new_and_vanished_classes_are_named() -> None:
    found = measure(
        before(np.random.default_rng(1)),
        tonight(np.random.default_rng(2), counts={"blue": 400, "crimson": 600}),
        DriftConfig(),
    )
    assert "new classes (crimson)" in found.problem
    assert "vanished classes (red)" in found.problem


def test_another_balance_is_noticed_and_a_shrunken_source() -> None:
    assert drifted(tonight(np.random.default_rng(2), counts={"blue": 600, "red": 400})) == {"class balance"}
    assert drifted(tonight(np.random.default_rng(2), counts={"blue": 200, "red": 300})) == {"number of images"}
    assert drifted(tonight(np.random.default_rng(2), counts={"blue": 200, "red": 300}), max_shrink=0.6) == set()
    assert drifted(tonight(np.random.default_rng(2), counts={"blue": 405, "red": 595})) == set()


@pytest.mark.parametrize(
    ("before", "now", "noticed"),
    [
        ((0.99, 400), (0.90, 400), True),
        ((0.99, 400), (0.95, 400), False),  # less than max_fall
        ((0.99, 40), (0.92, 40), False),  # may be chance
        ((0.90, 400), (0.99, 400), False),
        ((0.0, 0), (0.5, 100), False),  # nobody looked when it was made
    ],
)
def test_a_champion_that_is_right_less_often(before: tuple[float, int], now: tuple[float, int], noticed: bool) -> None:
    assert bool(accuracy_drop(before, now, DriftConfig())) is noticed


@given(st.floats(0, 1), st.integers(0, 10_000), st.floats(0, 1), st.integers(1, 10_000))
def test_a_fall_is_only_noticed_if_it_is_one(before: float, n: int, now: float, m: int) -> None:
    if accuracy_drop((before, n), (now, m), DriftConfig()):
        assert before - now > DriftConfig().max_fall


def test_a_few_new_images_are_not_compared() -> None:
    random = np.random.default_rng(5)
    features = random.normal(9, 1, (20, 16)).astype(np.float32)
    found = measure(before(random), tonight(random, size=20, features=features), DriftConfig())
    assert not found.problem
    assert "are too few to compare" in found.findings[-1].says


def test_features_that_never_vary_do_not_disturb() -> None:
    features = np.ones((100, 4), np.float32)
    assert compare_features(features, features, seed=0).p == 1.0


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.integers(30, 80), st.integers(30, 80))
def test_p_values_are_shares(seed: int, first: int, second: int) -> None:
    random = np.random.default_rng(seed)
    found = compare_features(random.normal(size=(first, 3)), random.normal(size=(second, 3)), seed)
    assert 0 < found.p <= 1
    assert found.distance >= 0
    assert found.oddness.shape == (second,)
    assert 0 <= compare_values(random.normal(size=first), random.normal(size=second))[1] <= 1


def test_the_same_counts_are_no_distance_apart() -> None:
    assert compare_counts(np.array([3, 5]), np.array([30, 50]))[0] == pytest.approx(0)
    assert compare_counts(np.array([3]), np.array([9])) == (0.0, 1.0)


@given(st.lists(st.text("0123456789abcdef", min_size=64, max_size=64), unique_by=lambda key: key[:16]))
def test_what_was_seen_is_known(keys: list[str]) -> None:
    half = keys[: len(keys) // 2]
    record = TrainedOn(trained_on.union(trained_on.short(half)), np.array([]), np.array([]))
    assert list(record.knows(keys)) == [True] * len(half) + [False] * (len(keys) - len(half))
    assert list(record.knows([key.encode() for key in keys])) == list(record.knows(keys))


def test_statistics_are_what_they_say() -> None:
    image = np.zeros((10, 20, 3), np.uint8)
    image[:, 10:] = 200
    found = dict(zip(trained_on.STATISTICS, trained_on.statistics(image), strict=True))
    assert (found["height"], found["width"]) == (10, 20)
    assert found["brightness"] == pytest.approx(100)
    assert found["contrast"] == pytest.approx(100)
    assert found["colour"] == 0
    assert found["sharpness"] == pytest.approx(200 / 19 / 2)
