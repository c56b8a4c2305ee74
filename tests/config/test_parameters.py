"""Settings as parameters of pipelines and of steps: they mean and say the same everywhere."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graftwork import components, config, pipelines
from graftwork.config import (
    REQUIRED,
    ClusterConfig,
    Config,
    FineTuneConfig,
    HeadConfig,
    PrepareConfig,
    RetrainingConfig,
    ScaleOffset,
    SweepConfig,
)
from graftwork.pipelines.grafting import ingest

MINIMAL = Config(data="photos", base_model="VGG16")
SETTINGS = {*Config.model_fields, *ClusterConfig.model_fields, *RetrainingConfig.model_fields} - {
    *("output", "sweep", "cluster", "steps", "retraining"),
}
KFP_TYPES = {str: "String", int: "Integer", bool: "Boolean", dict: "Dict", list: "List"}

CALLED_OTHERWISE = {
    ("load_base_model", "uri"): "base_model",
    ("fine_tune", "settings"): "fine_tune",
    ("check_data", "policy"): "drift",
    ("judge", "policy"): "gate",
    ("judge", "drift_policy"): "drift",
}
"""Parameters of steps that are settings under another name."""
NO_SETTINGS = {
    ("judge", "drift"),  # what has drifted
    ("ingest", "input_size"),  # of the base as it was loaded
    ("ingest_images", "input_size"),
    ("batch_predict", "data"),  # images without labels
}
"""Parameters of steps that have a setting's name and mean something else."""


def as_kfp_passes_it_on(value: Any) -> Any:
    """Numbers in dictionaries become floats, tuples lists."""
    if isinstance(value, dict):
        return {key: as_kfp_passes_it_on(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_kfp_passes_it_on(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


PARAMETERS = pipelines.parameters(pipelines.load("sweep"))
LAYERS = st.one_of(st.sampled_from(["all", "half", "third"]), st.integers(0, 99))
CONFIGS = st.builds(
    Config,
    data=st.just("photos"),
    base_model=st.just("VGG16"),
    preprocessing=st.one_of(
        st.none(),
        st.sampled_from(config.PREPROCESSING_NAMES),
        st.builds(ScaleOffset, scale=st.floats(-9, 9), offset=st.tuples(*[st.floats(-9, 9)] * 3)),
    ),
    input_size=st.one_of(st.none(), st.integers(8, 999)),
    stored_size=st.one_of(st.none(), st.integers(8, 999)),
    prepare=st.builds(PrepareConfig, test_fraction=st.floats(0.01, 0.5)),
    head=st.builds(HeadConfig, kind=st.sampled_from(["auto", "linear", "mlp"]), epochs=st.integers(1, 99)),
    fine_tune=st.builds(FineTuneConfig, layers=LAYERS),
    sweep=st.builds(
        SweepConfig,
        layers=st.lists(LAYERS, min_size=1).map(tuple),
        learning_rate=st.lists(st.floats(1e-9, 1), min_size=1).map(tuple),
    ),
    seed=st.integers(0, 2**31),
)


@settings(deadline=None)  # the first one builds what checks the settings; how long that takes is the machine's matter
@given(CONFIGS)
def test_pipeline_parameters_mean_the_configuration(given: Config) -> None:
    parameters = config.as_parameters(given, PARAMETERS)
    assert config.parse_preprocessing(parameters["preprocessing"]) == given.preprocessing
    assert (parameters["input_size"] or None) == given.input_size
    assert (parameters["stored_size"] or None) == given.stored_size
    points = [config.validated(FineTuneConfig, config.parse_point(point), "a point") for point in parameters["grid"]]
    pairs = {(point.layers, point.learning_rate) for point in points}
    assert pairs == {(layers, rate) for layers in given.sweep.layers for rate in given.sweep.learning_rate}
    for name, kind in (("prepare", PrepareConfig), ("head", HeadConfig), ("fine_tune", FineTuneConfig)):
        passed = as_kfp_passes_it_on(parameters[name])
        assert config.validated(kind, passed, name) == getattr(given, name)


def test_what_is_no_parameter_is_not_given_to_a_pipeline_of_somebody_else() -> None:
    assert config.as_parameters(MINIMAL, ["data", "output", "sweep", "cluster", "steps", "retraining"]) == {
        "data": "photos"
    }


@pytest.mark.parametrize("name", pipelines.NAMES)
def test_every_parameter_of_a_pipeline_can_be_configured(name: str) -> None:
    names = pipelines.parameters(pipelines.load(name))
    assert set(config.as_parameters(MINIMAL, names)) == set(names)


def settings_of_steps() -> Iterator[tuple[str, str, str, Any]]:
    """Yield step, parameter, setting, and KFP's description of the input, for each that is a setting."""
    names = [each.name for each in pkgutil.iter_modules(components.__path__)]
    steps = {name: getattr(importlib.import_module(f"graftwork.components.{name}.component"), name) for name in names}
    for step, made in {**steps, "ingest": ingest}.items():
        for name, said in made.component_spec.inputs.items():
            setting = CALLED_OTHERWISE.get((step, name), name)
            if said.type in KFP_TYPES.values() and setting in SETTINGS and (step, name) not in NO_SETTINGS:
                yield step, name, setting, said


@pytest.mark.parametrize(
    ("setting", "said"), [pytest.param(*rest, id=f"{step}-{name}") for step, name, *rest in settings_of_steps()]
)
def test_a_steps_parameter_that_is_a_setting_says_and_does_what_the_setting_does(setting: str, said: Any) -> None:
    expected = config.parameter(setting)
    assert said.type == KFP_TYPES[expected.type]
    assert " ".join(said.description.split()) == expected.means, "say in component.py what config/settings.py says"
    if said.optional:
        assert said.default == expected.default


def test_the_exceptions_are_there() -> None:
    kept = {(step, name) for step, name, *_ in settings_of_steps()}
    assert set(CALLED_OTHERWISE) <= kept
    for step, name in NO_SETTINGS - {("ingest", "input_size")}:
        component = importlib.import_module(f"graftwork.components.{step}.component")
        assert name in getattr(component, step).component_spec.inputs


@pytest.mark.parametrize("name", pipelines.NAMES)
def test_a_pipelines_parameters_say_and_do_what_the_settings_do(name: str) -> None:
    inputs = pipelines.load(name).component_spec.inputs
    assert set(inputs) - SETTINGS == ({"grid"} if name == "sweep" else set())
    for key in set(inputs) & SETTINGS:
        expected = config.parameter(key)
        assert inputs[key].type == KFP_TYPES[expected.type], key
        assert inputs[key].description == expected.means
        assert inputs[key].optional == (expected.default is not REQUIRED)
        if inputs[key].optional:
            assert inputs[key].default == expected.default


@pytest.mark.parametrize("key", sorted(SETTINGS))
def test_what_a_parameter_says_fits_kfp_and_names_what_there_is(key: str) -> None:
    parameter = config.parameter(key)
    assert "not given" not in parameter.means
    assert "None" not in parameter.means
    if parameter.type is dict and key != "node_selector":
        _, _, kind = parameter.means.partition("; see graftwork.config.")
        assert inspect.getdoc(getattr(config, kind.rstrip(".")))


def test_a_parameter_without_a_default_is_one_that_a_run_needs() -> None:
    required = {key for key in SETTINGS if config.parameter(key).default is REQUIRED}
    assert required == {"data", "base_model", "registry", "name"}
