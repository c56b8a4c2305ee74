"""What steps ask for on a cluster: a default for each, any of it changed alone."""

from typing import Any

import pytest

from graftwork import config, pipelines
from graftwork.config import AcceleratedStep, StepsConfig, quantity
from graftwork.errors import UserError


def steps(**overrides: Any) -> StepsConfig:
    given = {f"cluster.steps.{key.replace('__', '.')}": value for key, value in overrides.items()}
    return config.load(None, {"data": "photos", "base_model": "VGG16", **given}).cluster.steps


def test_there_is_an_entry_for_each_step_of_a_pipeline_and_no_other() -> None:
    assert set(StepsConfig.model_fields) == {step for name in pipelines.NAMES for step in pipelines.steps(name)}


@pytest.mark.parametrize("step", StepsConfig.model_fields)
def test_a_step_without_an_accelerator_asks_for_cpus_and_memory_and_is_killed_by_no_limit(step: str) -> None:
    asked = getattr(StepsConfig(), step)
    if isinstance(asked, AcceleratedStep):
        assert step in ("extract_features", "fine_tune")
        assert asked == AcceleratedStep()
    else:
        assert quantity(asked.cpu) > 0
        assert quantity(asked.memory) >= quantity("512Mi")
        assert asked.cpu_limit is asked.memory_limit is None


def test_what_is_not_given_stays_as_it_is() -> None:
    changed, before = steps(evaluate__memory="8Gi"), StepsConfig()
    assert changed.evaluate.memory == "8Gi"
    assert changed.evaluate.cpu == before.evaluate.cpu
    assert changed.model_copy(update={"evaluate": before.evaluate}) == before


def test_an_amount_that_yaml_reads_as_a_number_is_one() -> None:
    assert steps(evaluate__cpu=2).evaluate.cpu == "2"
    assert steps(evaluate__cpu=0.5).evaluate.cpu == "0.5"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"evalute__memory": "8Gi"}, "did you mean cluster.steps.evaluate instead of cluster.steps.evalute"),
        ({"evaluate__memroy": "8Gi"}, "did you mean cluster.steps.evaluate.memory"),
        ({"evaluate__memory": "8GB"}, "such as 20Gi"),
        ({"evaluate__memory": True}, "cluster.steps.evaluate.memory"),
        ({"evaluate__memory_limit": "1Gi"}, "memory is 4Gi, which is more than memory_limit, 1Gi"),
        ({"evaluate__accelerators": 1}, "evaluate uses no accelerator"),
        ({"fine_tune__accelerators": -1}, "cluster.steps.fine_tune.accelerators"),
        ({"evaluate": "8Gi"}, "cluster.steps.evaluate"),
    ],
)
def test_what_a_cluster_could_not_use_is_refused_in_words(overrides: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError) as refused:
        steps(**overrides)
    assert expected in str(refused.value)
