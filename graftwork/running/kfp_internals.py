"""What a local run relies on inside KFP and KFP does not promise: nothing else in this room knows of it.

Its minor version is therefore pinned; `tests/running/test_kfp_internals.py` says what a later one does otherwise.
"""

import copy
import importlib
import os
import re
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

PROCESS = "kfp.local.subprocess_task_handler", "run_local_subprocess"
CONTAINER = "kfp.local.docker_task_handler", "run_docker_container"
"""Modules and functions in them that start a step and return its exit code."""
EXECUTOR = "kfp.dsl.executor_main"
CACHE = ".kfp_cache"
"""Where KFP remembers in a local run which outputs a step had: a JSON file for each call, named by its key."""

_RUN = re.compile(r".+-(?P<began>\d{4}(-\d\d){5}-\d{6})")
_BEGAN = "%Y-%m-%d-%H-%M-%S-%f"
_FROM_CACHE = re.compile(r"cache hit \(key=(?P<key>[0-9a-f]+)\)")
_FAILURE = re.compile(r"Task .*'(?P<step>[^']+)'.* finished with status .*FAILURE")


def current(function: tuple[str, str]) -> Callable[..., int]:
    """Return the function through which KFP starts steps now: PROCESS or CONTAINER."""
    return getattr(importlib.import_module(function[0]), function[1])


@contextmanager
def replaced(function: tuple[str, str], ours: Callable[..., int]) -> Iterator[None]:
    """Have KFP start steps through a function of ours as long as the block lasts; it takes what KFP's own takes."""
    before, (module, name) = current(function), function
    setattr(sys.modules[module], name, ours)
    try:
        yield
    finally:
        setattr(sys.modules[module], name, before)


def order(command: list[str]) -> dict[str, Any] | None:
    """Return what KFP's command of a Python component says, None for another command.

    Returns:
        "source" of the component's module, and "arguments" of KFP's executor.
    """
    match command:
        case ["sh", _, script, source, *arguments] if f"-m {EXECUTOR}" in script and "pip install" not in script:
            return {"source": source, "arguments": arguments}
    return None


def prepare_to_execute() -> None:
    """Set what the command of a component sets; read when kfp is imported."""
    os.environ["_KFP_RUNTIME"] = "true"


def execute(order: dict[str, Any]) -> None:
    """Do what the command of a component does: write its source to a file, and run KFP's executor on it."""
    executor = importlib.import_module(EXECUTOR)
    with tempfile.TemporaryDirectory() as folder:
        module = Path(folder) / "ephemeral_component.py"
        module.write_text(order["source"], encoding="utf-8")
        sys.argv = ["executor_main", "--component_module_path", str(module), *order["arguments"]]
        executor.executor_main()


def fitted(pipeline: Any, image: str | None) -> Any:
    """Return a pipeline in the image and without its retries: no node is taken away here, a mistake stays one.

    Where it says which run this is, no other run ever says the same; KFP would draw one of 10^8 numbers.
    """
    from kfp import dsl

    fitted = copy.deepcopy(pipeline)
    spec, run = fitted.pipeline_spec, f"{datetime.now():%Y-%m-%d-%H-%M-%S}-{uuid.uuid4().hex[:8]}"
    for graph in (spec.root.dag, *(component.dag for component in spec.components.values())):
        for task in graph.tasks.values():
            task.ClearField("retry_policy")
            for given in task.inputs.parameters.values():
                if given.runtime_value.constant.string_value == dsl.PIPELINE_JOB_ID_PLACEHOLDER:
                    given.runtime_value.constant.string_value = run
    if image is not None:
        executors = spec.deployment_spec["executors"]
        for label in executors:
            executors[label]["container"]["image"] = image
    return fitted


def key_from_cache(line: str) -> str | None:
    """Return the beginning of the key under which KFP says that it has found a step's outputs in its cache."""
    hit = _FROM_CACHE.search(line)
    return hit["key"] if hit else None


def failed_step(line: str) -> str | None:
    """Return the step of which KFP says that it has failed."""
    failure = _FAILURE.search(line)
    return failure["step"].replace("-", "_") if failure else None


def runs(root: Path) -> list[tuple[str, Path]]:
    """Return when each run began, as it sorts, and the folder with the outputs of its steps; the latest last."""
    found = ((_RUN.fullmatch(path.name), path) for path in (root.iterdir() if root.is_dir() else ()))
    return sorted((match["began"], path) for match, path in found if match)


def timestamp(began: str) -> float:
    """Return when a run began, as `runs` says it, in seconds since 1970."""
    return datetime.strptime(began, _BEGAN).timestamp()


def output_of(run: Path, step: str, name: str) -> Path:
    """Return where an output of a step is that has run."""
    return run / step.replace("_", "-") / name
