"""How fast a step goes, and what is said about it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftwork.artifacts import model
from graftwork.artifacts.folder import write_json
from graftwork.components.load_base_model.load import load_base_model
from graftwork.reporting.metering import Meter, Profile, in_words, merged


def profile(images: int, seconds: float, waiting: float, peak: float, floor: float | None = None) -> Profile:
    measured = {
        "images": images,
        "seconds": seconds,
        "images_per_second": round(images / seconds, 1),
        "waiting_for_input": waiting,
        "peak_memory_mib": peak,
    }
    return measured if floor is None else {**measured, "floor_ratio": round(seconds / floor, 3)}


PROFILES = st.builds(
    profile,
    st.integers(0, 10**6),
    st.floats(0.01, 10**5).map(lambda seconds: round(seconds, 3)),
    st.floats(0, 1).map(lambda share: round(share, 4)),
    st.floats(1, 10**6).map(lambda peak: round(peak, 1)),
)


def test_the_time_between_batches_is_not_the_time_with_them() -> None:
    def slow() -> Iterator[int]:
        for number in range(3):
            time.sleep(0.05)
            yield number

    meter = Meter()
    for number in meter.fed(slow()):
        assert number == meter.images
        meter.images += 1
        time.sleep(0.05)
    measured = meter.profile()
    assert measured["images"] == 3
    assert measured["seconds"] >= 0.3
    assert 0.4 < measured["waiting_for_input"] < 0.6
    assert measured["images_per_second"] == pytest.approx(3 / measured["seconds"], rel=0.02)
    assert measured["peak_memory_mib"] > 5
    assert "floor_ratio" not in measured


def test_an_error_while_waiting_is_passed_on() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(Meter().fed(broken()))


def test_a_floor_gives_a_ratio() -> None:
    meter = Meter()
    time.sleep(0.05)
    measured = meter.profile(floor=0.025)
    assert measured["floor_ratio"] == pytest.approx(measured["seconds"] / 0.025, rel=0.02)


def test_only_steps_through_which_images_go_tell_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    meter = Meter()
    meter.profile()
    assert capsys.readouterr().out == ""
    meter.images = 5
    measured = meter.profile()
    assert capsys.readouterr().out.strip() == in_words(measured)


def test_a_profile_is_one_line_for_people() -> None:
    measured = {**profile(4501, 7.1, 0.03, 900.0), "floor_ratio": 1.08}
    assert in_words(measured) == "634 images a second, 3 % of the time waiting for input, 1.08 times the floor"


def test_of_shards_the_work_is_added_up_and_the_largest_peak_counts() -> None:
    first, second = profile(100, 10.0, 0.5, 700.0, floor=8.0), profile(300, 30.0, 0.1, 900.0, floor=24.0)
    assert merged([first, second]) == profile(400, 40.0, 0.2, 900.0, floor=32.0)


def test_a_shard_without_a_floor_leaves_all_without() -> None:
    assert "floor_ratio" not in merged([profile(1, 1.0, 0.0, 5.0, floor=1.0), profile(1, 1.0, 0.0, 5.0)])


@given(PROFILES)
def test_of_one_shard_nothing_changes(one: Profile) -> None:
    assert merged([one]) == one


@given(st.lists(PROFILES, min_size=1, max_size=5))
def test_the_order_of_shards_makes_no_difference(shards: list[Profile]) -> None:
    together = merged(shards)
    assert together["images"] == sum(shard["images"] for shard in shards)
    assert together["seconds"] == pytest.approx(sum(shard["seconds"] for shard in shards), abs=1e-3)
    waits = [shard["waiting_for_input"] for shard in shards]
    assert min(waits) - 1e-3 <= together["waiting_for_input"] <= max(waits) + 1e-3
    assert merged(shards[::-1]) == pytest.approx(together, rel=1e-3, abs=1e-3)


def test_a_base_carries_its_profile_and_is_the_same_base_however_long_it_took(base_file: Path, tmp_path: Path) -> None:
    made = load_base_model(str(base_file), tmp_path / "base")
    (measured,) = made.description["profile"].values()
    assert list(made.description["profile"]) == ["load_base_model"]
    assert measured["seconds"] > 0
    assert measured["images"] == 0
    slower = {**made.description, "profile": {"load_base_model": {**measured, "seconds": 99.0}}}
    write_json(made.path / model.DESCRIPTION, slower)
    assert model.read(made.path).fingerprint == made.fingerprint
    older = {entry: value for entry, value in slower.items() if entry != "profile"}
    write_json(made.path / model.DESCRIPTION, older)
    assert model.read(made.path).fingerprint == made.fingerprint
