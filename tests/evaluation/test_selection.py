"""Which candidate is kept."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from graftwork.evaluation.selection import rank, select

SCORES = st.dictionaries(
    st.sampled_from("abcdef"),
    st.fixed_dictionaries({"accuracy": st.integers(0, 10).map(lambda n: n / 10), "loss": st.floats(0, 5)}),
    min_size=1,
)


@given(SCORES)
def test_nothing_is_better_than_what_is_selected(candidates: dict[str, dict[str, float]]) -> None:
    chosen = candidates[select(candidates)[0]]
    for other in candidates.values():
        assert (chosen["accuracy"], -chosen["loss"]) >= (other["accuracy"], -other["loss"])


def test_of_equals_the_first_which_is_the_simpler() -> None:
    equal = {"accuracy": 0.5, "loss": 1.0}
    assert select({"head": equal, "fine-tuned": dict(equal)}) == ("head", "fine-tuned is no better on validation")


def test_equal_accuracy_is_decided_by_loss() -> None:
    name, reason = select({"head": {"accuracy": 0.5, "loss": 1.0}, "fine-tuned": {"accuracy": 0.5, "loss": 0.9}})
    assert name == "fine-tuned"
    assert "lower loss" in reason


@given(SCORES, st.randoms())
def test_the_order_decides_only_between_equals(candidates: dict[str, dict[str, float]], random: Random) -> None:
    names = list(candidates)
    random.shuffle(names)
    chosen, again = select(candidates)[0], select({name: candidates[name] for name in names})[0]
    assert candidates[chosen] == candidates[again]


def test_one_candidate_is_selected() -> None:
    assert select({"head": {"accuracy": 0.1, "loss": 3.0}}) == ("head", "the only candidate")


def test_what_diverged_ranks_last_whatever_its_accuracy() -> None:
    assert rank(0.9, float("nan")) < rank(0.1, 5.0)
    assert rank(0.9, float("inf")) < rank(0.0, 5.0)
