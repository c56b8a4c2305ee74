"""Loading a configuration: what is accepted, and how what is not is explained."""

from pathlib import Path
from typing import Any

import pytest

from graftwork import config
from graftwork.errors import UserError

GIVEN = {"data": "photos", "base_model": "VGG16"}


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


SOURCES = {"data": "photos", "base_model": "shelf.keras"}


class TestArguments:
    def test_a_group_leaves_the_rest_of_the_file_as_it_is(self, tmp_path: Path) -> None:
        (tmp_path / "c.yaml").write_text("seed: 3\nfine_tune: {layers: 2, epochs: 9}\ngate: {slices: {a: '*'}}\n")
        given = {"fine_tune": {"layers": 5}, "gate": {"slices": {"b.c": "*"}}}
        settings = config.settings_of(tmp_path / "c.yaml", SOURCES, given)
        assert (settings.seed, settings.fine_tune.layers, settings.fine_tune.epochs) == (3, 5, 9)
        assert settings.gate.slices == {"b.c": "*"}

    def test_a_config_goes_below_the_arguments(self) -> None:
        below = config.Config(**SOURCES, seed=3, fine_tune={"layers": 2, "epochs": 9})
        assert config.settings_of(below, {}, {}) is below
        settings = config.settings_of(below, {"data": Path("others")}, {"fine_tune": {"layers": 5}})
        assert (settings.data, settings.seed) == ("others", 3)
        assert settings.fine_tune == config.FineTuneConfig(layers=5, epochs=9)

    def test_parts_of_a_config_are_settings_too(self) -> None:
        settings = config.settings_of(
            None, SOURCES, {"gate": config.GateConfig(margin=0.2), "sweep": {"layers": [1, "all"]}}
        )
        assert settings.gate.margin == 0.2
        assert settings.sweep.layers == (1, "all")
