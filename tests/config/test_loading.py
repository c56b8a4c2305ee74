"""Configuration: what is accepted, and how what is not is explained."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftwork import config, pipelines
from graftwork.config import Config, FineTuneConfig, HeadConfig, PrepareConfig, ScaleOffset, SweepConfig
from graftwork.errors import UserError

GIVEN = {"data": "photos", "base_model": "VGG16"}


def load(**more: Any) -> Config:
    return config.load(None, {**GIVEN, **{key.replace("__", "."): value for key, value in more.items()}})


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


@pytest.mark.parametrize("name", pipelines.NAMES)
def test_every_parameter_of_a_pipeline_can_be_configured(name: str) -> None:
    names = pipelines.parameters(pipelines.load(name))
    assert set(config.as_parameters(load(), names)) == set(names)


def test_a_file_and_what_is_laid_over_it(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("data: a\nbase_model: b\nfine_tune:\n  layers: 5\n  epochs: 9\n")
    loaded = config.load(tmp_path / "c.yaml", {"fine_tune.layers": "all", "data": "z"})
    assert (loaded.data, loaded.fine_tune.layers, loaded.fine_tune.epochs) == ("z", "all", 9)


@pytest.mark.parametrize("example", sorted(Path(__file__).parents[2].glob("examples/*.yaml")), ids=lambda p: p.stem)
def test_the_examples_are_valid(example: Path) -> None:
    config.load(example, GIVEN)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fine_tune.layers=0", ("fine_tune.layers", 0)),
        ("head.l2=[0.1, 1.0e-2]", ("head.l2", [0.1, 0.01])),
        ("data=gs://a/b=c", ("data", "gs://a/b=c")),
        ("preprocessing={scale: 2}", ("preprocessing", {"scale": 2})),
        ("fine_tune.augment=false", ("fine_tune.augment", False)),
    ],
)
def test_assignments_are_read_as_yaml(text: str, expected: tuple[str, Any]) -> None:
    assert config.parse_override(text) == expected


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("fine_tune.layer", 3, r"fine_tune\.layer +unknown key[\s\S]*did you mean fine_tune\.layers"),
        ("layers", 3, r"did you mean fine_tune\.layers instead of layers"),
        ("hed.kind", "mlp", r"did you mean head"),
        ("fine_tune.layers", -1, r"fine_tune\.layers +-1: .*greater than or equal to 0, or .*'all'"),
        ("fine_tune.layers", "most", r"fine_tune\.layers +'most': .*integer.*, or .*'all'"),
        ("head.kind", "svm", r"head\.kind +'svm': .*'auto', 'linear', 'mlp' or 'kept'"),
        ("preprocessing", "caffe", r"preprocessing +'caffe': expected one of none, rescale-0-1"),
        ("seed", "abc", r"seed +'abc': .*integer"),
        ("input_size", [96, 96], r"input_size +\[96, 96\]: .*integer"),
        ("prepare.test_fraction", 0.95, r"leave nothing to train on"),
        ("prepare", 3, r"prepare +3"),
    ],
)
def test_what_is_wrong_is_explained(key: str, value: Any, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        config.load(None, {**GIVEN, key: value})


def test_everything_that_is_missing_is_named() -> None:
    with pytest.raises(UserError, match=r"2 settings are wrong[\s\S]*data +missing\n +base_model +missing"):
        config.load(None, {})


@pytest.mark.parametrize(
    ("content", "expected"), [("a: [", "not YAML"), ("- a", "not a mapping"), (None, "cannot be read")]
)
def test_a_file_that_is_no_configuration(tmp_path: Path, content: str | None, expected: str) -> None:
    file = tmp_path / "c.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=expected):
        config.load(file, {})


def test_no_assignment_at_all() -> None:
    with pytest.raises(UserError, match=r"'seed' is not an assignment[\s\S]*--set fine_tune\.layers=0"):
        config.parse_override("seed")
