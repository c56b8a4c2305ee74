"""What ARCHITECTURE.md, CONTRIBUTING.md and the README say of the tree is so."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
ARCHITECTURE, CONTRIBUTING = ((ROOT / name).read_text() for name in ("ARCHITECTURE.md", "CONTRIBUTING.md"))
PACKAGES = sorted({file.parent for room in ("graftwork", "components") for file in (ROOT / room).rglob("__init__.py")})


def table(text: str, heading: str) -> list[str]:
    """Return the first cells of the table under a heading, without its own."""
    rows = re.findall(r"^\| (.+?) \|", text.partition(f"## {heading}\n")[2].partition("\n## ")[0], re.MULTILINE)
    return [row for row in rows[1:] if not row.startswith("---")]


def test_the_rooms_are_those_that_the_layer_check_knows_in_its_order() -> None:
    rows = [re.findall(r"`(\w+)`", row) for row in table(ARCHITECTURE, "The rooms")]
    assert rows == [layer.split(" | ") for layer in LAYERS]


def test_every_artifact_has_its_module() -> None:
    modules = re.findall(r"`(\w+/\w+\.py)`", ARCHITECTURE.partition("## The contracts")[2].partition("\n## ")[0])
    assert len(modules) == len(table(ARCHITECTURE, "The contracts between steps"))
    assert [module for module in modules if not (ROOT / "graftwork" / module).is_file()] == []


@pytest.mark.parametrize("document", ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"])
def test_every_file_that_is_named_is_there(document: str) -> None:
    text = (ROOT / document).read_text()
    named = re.findall(r"\]\(([^)#:]+)\)", text) + re.findall(
        r"`((?:graftwork|components|pipelines|tests)/[\w./]+)`", text
    )
    places = [name for name in named if not re.search(r"[A-Z]{4}/|NAME|STEP|graftwork-", name)]
    assert [name for name in places if not (ROOT / name).exists()] == []


def test_the_glossary_is_short() -> None:
    assert len(table(ARCHITECTURE, "Words")) <= 25


def test_no_usual_change_touches_more_than_three_files() -> None:
    recipes = re.split(r"^### ", CONTRIBUTING.partition("## The usual changes")[2].partition("\n## ")[0], flags=re.M)[
        1:
    ]
    assert len(recipes) >= 6
    assert {
        recipe.partition("\n")[0]: len(re.findall(r"^\d\. ", recipe, re.M)) for recipe in recipes if "4. " in recipe
    } == {}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_folder_says_what_lives_there(package: Path) -> None:
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    room = package.parent == ROOT / "graftwork"
    assert docstring
    assert not room or "\n\n" in docstring, "and what does not?"


def test_no_file_is_too_long_to_be_read() -> None:
    files = [file for top in ("graftwork", "components", "pipelines") for file in (ROOT / top).rglob("*.py")]
    assert {str(file): lines for file in files if (lines := len(file.read_text().splitlines())) > 400} == {}
