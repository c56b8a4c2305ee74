"""Settings: every one says what it means, and the documentation repeats that."""

import runpy
from pathlib import Path

import pytest

from graftwork import config
from graftwork.config import Config

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("key", config.keys())
def test_every_setting_says_what_it_means_in_sentences(key: str) -> None:
    assert config.meaning(key).endswith((".", "..."))
    assert "\n" not in config.meaning(key)


@pytest.mark.parametrize("key", config.keys())
def test_what_may_be_left_out_says_what_happens_then(key: str) -> None:
    kind: type = Config
    for name in key.split("."):
        field = kind.model_fields[name]
        kind = field.annotation if isinstance(field.annotation, type) else kind
    may_be_none = not field.is_required() and field.get_default(call_default_factory=True) is None
    assert ("not given: " in config.meaning(key)) == may_be_none


@pytest.mark.parametrize("name", ["README.md", "docs/settings.md"])
def test_the_documentation_says_what_the_settings_say(name: str) -> None:
    written = runpy.run_path(str(ROOT / "docs" / "write_settings.py"))["written"]()
    assert (ROOT / name).read_text(encoding="utf-8") == written[ROOT / name], "run  make docs"


def test_the_readme_shows_settings_that_there_are_and_fits_a_screen() -> None:
    shown = runpy.run_path(str(ROOT / "docs" / "write_settings.py"))["MOST_USED"]
    assert set(shown) <= set(config.keys())
    assert len(shown) <= 25
