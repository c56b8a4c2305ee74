"""Writes the tables of components/*/README.md anew, from the components themselves: make docs."""

import inspect
import json
from pathlib import Path
from typing import Any

import docstring_parser

from graftwork import steps

COMPONENTS = Path(__file__).parent.parent / "components"
BEGIN, END = "<!-- tables from component.py, by make docs -->\n", "<!-- end of the tables -->\n"
_TYPES = {"Integer": "int", "String": "str", "Boolean": "bool", "Dict": "dict", "List": "list"}


def with_tables(readme: str, component: Any) -> str:
    """Return a README whose part between the two marks says what a component takes and gives.

    Raises:
        ValueError: The marks are not there.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"expected {BEGIN.strip()} and {END.strip()}")
    return f"{before}{begin}\n{tables(component)}\n{end}{after}"


def tables(component: Any) -> str:
    """Return two tables in Markdown: inputs with their types and defaults, outputs with their types."""
    docstring = docstring_parser.parse(inspect.getdoc(component.python_func) or "")
    described = {parameter.arg_name: parameter.description for parameter in docstring.params}
    if docstring.returns:
        described.setdefault("Output", docstring.returns.description)
    spec = component.component_spec
    inputs = [(name, _type(entry), _default(entry), described[name]) for name, entry in (spec.inputs or {}).items()]
    outputs = [
        (name, _type(entry), entry.description or described[name]) for name, entry in (spec.outputs or {}).items()
    ]
    return "\n".join(
        [
            *("## Inputs", "", *_table(("name", "type", "default", "what it is"), inputs)),
            *("## Outputs", "", *_table(("name", "type", "what it is"), outputs)),
        ]
    )


def _type(entry: Any) -> str:
    name = entry.type.removeprefix("system.").partition("@")[0]
    return f"list of {name}" if entry.is_artifact_list else _TYPES.get(name, name)


def _default(entry: Any) -> str:
    if not entry.optional:
        return "required"
    if entry.type == "PipelineTaskFinalStatus":
        return "from KFP"
    return "none" if entry.default is None else f"`{json.dumps(entry.default)}`"


def _table(heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[str]:
    cells = [heads, ("---",) * len(heads), *((f"`{name}`", *others) for name, *others in rows)]
    return [*(f"| {' | '.join(map(_cell, row))} |" for row in cells), ""]


def _cell(text: str) -> str:
    return " ".join(text.replace("|", r"\|").split())


if __name__ == "__main__":
    for name in steps.__all__:
        path = COMPONENTS / name / "README.md"
        path.write_text(with_tables(path.read_text(encoding="utf-8"), getattr(steps, name)), encoding="utf-8")
