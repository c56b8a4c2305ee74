"""Each step's README says what its component takes and gives, which contracts hold, and how it is used."""

import re
import runpy
from pathlib import Path

import pytest
from kfp import compiler
from kfp.dsl.graph_component import GraphComponent

from graftwork import steps
from graftwork.kubeflow import compiling

ROOT = Path(__file__).parents[2]
TABLES = runpy.run_path(str(ROOT / "docs" / "component_tables.py"))


def readme(name: str) -> str:
    return (ROOT / "components" / name / "README.md").read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    return text.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def examples(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def compiled(code: str, folder: Path) -> set[str]:
    """Run an example, compile the pipeline it makes as a user would; return the components in it."""
    (folder / "example.py").write_text(code)  # KFP reads components' source
    made = runpy.run_path(str(folder / "example.py"))
    (pipeline,) = (value for value in made.values() if isinstance(value, GraphComponent))
    compiler.Compiler().compile(pipeline, str(folder / "example.yaml"))
    return set(pipeline.pipeline_spec.components)


@pytest.mark.parametrize("name", steps.__all__)
def test_the_tables_are_those_of_the_component(name: str) -> None:
    assert readme(name) == TABLES["with_tables"](readme(name), getattr(steps, name)), "write them anew: make docs"


def test_the_tables_hold_names_types_defaults_and_descriptions() -> None:
    text = readme("prepare_data")
    rows = {
        "Inputs": [
            "| `ingested` | list of Dataset | none | Every shard of the source, from ingest_images, in any order. |",
            "| `extract_shards` | int | `1` | Over how many machines the extraction of features fans out; at most 128, "
            "as many as KFP can list in one argument of a command. |",
        ],
        "Outputs": [
            "| `images` | Dataset | Labelled images in three splits. |",
            "| `Output` | list | The shares, as in 1/4, for extract_features; no more than there is work for. |",
        ],
    }
    for heading, expected in rows.items():
        assert set(expected) <= set(section(text, heading).splitlines())
    with pytest.raises(ValueError, match="by make docs"):
        TABLES["with_tables"]("no marks", steps.prepare_data)


@pytest.mark.parametrize("name", steps.__all__)
def test_each_artifact_says_what_it_holds(name: str) -> None:
    spec = getattr(steps, name).component_spec
    artifacts = {
        key for key, entry in {**spec.inputs, **(spec.outputs or {})}.items() if entry.type.startswith("system.")
    }
    said = re.findall(r"^- (`.*?`): ", section(readme(name), "Artifacts"), re.MULTILINE)
    assert {key for line in said for key in re.findall(r"`(\w+)`", line)} == artifacts


@pytest.mark.parametrize("name", steps.__all__)
def test_what_it_links_to_is_there(name: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", readme(name)):
        assert (ROOT / "components" / name / target).is_file()


@pytest.mark.parametrize("name", steps.__all__)
def test_its_example_is_a_pipeline_with_the_step_in_it(name: str, tmp_path: Path) -> None:
    (code,) = examples(section(readme(name), "Example"))
    assert f"comp-{name.replace('_', '-')}" in compiled(code, tmp_path)


def test_the_guides_examples_are_pipelines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    compiling.write_components(tmp_path / "components")
    imported, from_file = examples((ROOT / "docs" / "kubeflow.md").read_text(encoding="utf-8"))
    assert {"comp-refuse-small-data", "comp-train-head"} <= compiled(imported, tmp_path)
    assert compiled(from_file, tmp_path) == {"comp-batch-predict"}


@pytest.mark.parametrize("name", steps.__all__)
def test_what_kfp_shows_is_written_through_the_one_door_that_leaves_out_what_is_not_finite(name: str) -> None:
    for file in (ROOT / "components" / name).glob("*.py"):
        assert not re.search(r"\.log_metric\(|\.metadata(\[| *=|\.update)", file.read_text(encoding="utf-8")), file
