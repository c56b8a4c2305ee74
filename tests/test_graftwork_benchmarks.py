"""The benchmarks run seldom, and import what a step needs only when it is its turn: what they name has to be there."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def is_there(module: str, name: str) -> bool:
    try:
        return hasattr(import_module(module), name) or bool(import_module(f"{module}.{name}"))
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("file", sorted(str(path.relative_to(BENCHMARKS)) for path in BENCHMARKS.rglob("*.py")))
def test_what_a_benchmark_takes_from_graftwork_is_there(file: str) -> None:
    nodes = [node for node in ast.walk(ast.parse((BENCHMARKS / file).read_text())) if isinstance(node, ast.ImportFrom)]
    named = [(str(node.module), alias.name) for node in nodes for alias in node.names]
    lacking = [place for place in named if place[0].startswith("graftwork") and not is_there(*place)]
    assert lacking == []
