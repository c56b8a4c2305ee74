"""What the installed KFP does inside, as far as local runs rely on it: where this fails, KFP has changed."""

import inspect
import json
import logging
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl, local
from packaging.requirements import Requirement

import graftwork
from graftwork.running import kfp_internals
from graftwork.running.kfp_internals import CACHE, CONTAINER, PROCESS

Command = list[str]
Said = Callable[[], list[str]]


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def first_part(text: str) -> str:
    return text * 2


@dsl.pipeline(name="two-parts")
def two_parts(text: str, run: str = "") -> str:
    doubled = first_part(text=text).set_retry(3)
    return first_part(text=doubled.output).output


@dsl.pipeline(name="named")
def named() -> str:
    return two_parts(text=dsl.PIPELINE_JOB_ID_PLACEHOLDER).output


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Said:
    """What returns every line that KFP has said since it was last asked, printed and logged."""
    caplog.set_level(logging.INFO)

    def lines() -> list[str]:
        logged = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return [*capsys.readouterr().out.splitlines(), *logged]

    return lines


def run(root: Path, pipeline: Any = two_parts) -> Any:
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(root), enable_caching=True)
    return pipeline(text="ab")


def parameters(function: tuple[str, str]) -> list[str]:
    taken = inspect.signature(kfp_internals.current(function)).parameters.values()
    return [str(parameter).partition(":")[0] for parameter in taken]


def test_the_installed_version_is_one_that_was_looked_into() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    for requirement in map(Requirement, project["dependencies"]):
        if requirement.name in ("kfp", "kfp-kubernetes"):
            installed = version(requirement.name)
            assert [part in requirement.specifier for part in (installed, "2.18", "3.0")] == [True, False, False]


def test_what_starts_a_step_takes_what_ours_takes() -> None:
    assert parameters(PROCESS) == ["full_command", "env_vars"]
    assert parameters(CONTAINER) == ["client", "image", "command", "volumes", "**container_run_args"]


def test_no_other_module_looks_inside() -> None:
    for path in Path(graftwork.__file__).parent.rglob("*.py"):
        inside = [word for word in ("kfp.local.", "executor_main", "_KFP_") if word in path.read_text()]
        allowed = path.stem == "kfp_internals" or (path.stem == "faults" and inside == ["_KFP_"])  # is this a step?
        assert allowed or not inside, path


def test_steps_are_started_through_our_function_with_a_command_that_it_understands(tmp_path: Path) -> None:
    seen: list[Command] = []
    before = kfp_internals.current(PROCESS)

    def start(full_command: Command, env_vars: dict[str, str] | None = None) -> int:
        seen.append(full_command)
        assert not env_vars
        return before(full_command=full_command, env_vars=env_vars)

    with kfp_internals.replaced(PROCESS, start):
        assert run(tmp_path).output == "abababab"
    assert kfp_internals.current(PROCESS) is before
    orders = [kfp_internals.order(command) for command in seen]
    assert [bool(order) for order in orders] == [True, True]
    assert all(order and "def first_part" in order["source"] for order in orders)
    assert all(order and "--executor_input" in order["arguments"] for order in orders)


def test_an_order_is_executed_as_the_command_would_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "inputs": {"parameterValues": {"text": "ab"}},
        "outputs": {
            "parameters": {"Output": {"outputFile": str(tmp_path / "Output")}},
            "outputFile": str(tmp_path / "executor_output.json"),
        },
    }
    command = list(next(iter(first_part.pipeline_spec.deployment_spec["executors"].values()))["container"]["command"])
    monkeypatch.setattr(sys, "argv", [])
    arguments = ["--executor_input", json.dumps(given), "--function_to_execute", "first_part"]
    order = kfp_internals.order([*command, *arguments])
    assert order is not None
    kfp_internals.execute(order)
    assert json.loads((tmp_path / "executor_output.json").read_text())["parameterValues"] == {"Output": "abab"}
    assert kfp_internals.order(["sh", "-c", "echo of another kind"]) is None


def test_what_kfp_says_and_leaves_behind_is_understood(tmp_path: Path, said: Said) -> None:
    assert run(tmp_path).output == "abababab"
    ((began, folder),) = kfp_internals.runs(tmp_path)
    assert kfp_internals.timestamp(began) <= (folder / "first-part").stat().st_mtime
    assert not any(map(kfp_internals.key_from_cache, said()))
    run(tmp_path)
    keys = {key for line in said() if (key := kfp_internals.key_from_cache(line))}
    assert len(keys) == 2
    assert all(list((tmp_path / CACHE).glob(f"{key}*.json")) for key in keys)


def test_a_step_that_fails_is_named(tmp_path: Path, said: Said) -> None:
    with kfp_internals.replaced(PROCESS, lambda full_command, env_vars: 1), pytest.raises(RuntimeError):
        run(tmp_path)
    failed = [step for line in said() if (step := kfp_internals.failed_step(line))]
    assert failed[0] == "first_part"


def test_a_pipeline_is_fitted_to_this_machine() -> None:
    spec = kfp_internals.fitted(named, "an-image:1").pipeline_spec
    graphs = [spec.root.dag, *(component.dag for component in spec.components.values())]
    tasks = [task for graph in graphs for task in graph.tasks.values()]
    assert len(tasks) == 3
    assert not any(task.HasField("retry_policy") for task in tasks)
    assert {entry["container"]["image"] for entry in spec.deployment_spec["executors"].values()} == {"an-image:1"}
    assert dsl.PIPELINE_JOB_ID_PLACEHOLDER in str(named.pipeline_spec)
    assert dsl.PIPELINE_JOB_ID_PLACEHOLDER not in str(spec)
    again = kfp_internals.fitted(named, None).pipeline_spec
    assert str(again.root) != str(spec.root)
    assert any("retry_policy" in str(component) for component in named.pipeline_spec.components.values())
