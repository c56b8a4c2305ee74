"""Run a pipeline on this machine: every step in a process or container of its own, results cached, progress shown."""

import contextlib
import fcntl
import io
import logging
import os
import shutil
import sys
import tempfile
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graftwork.errors import UserError, in_one_line
from graftwork.reporting import levels, progress
from graftwork.running import containers, housekeeping, kfp_internals, processes
from graftwork.storage import whole

LOG = "run.log"
_STEPS = ".pipeline"
_NATIVE_LOG = "TF_CPP_MIN_LOG_LEVEL"
_ENVIRONMENT = {
    progress.EVENTS_VARIABLE: "1",
    # Steps are started as modules, which would put the current folder first on their path: in a clone of this
    # project that is a `graftwork` without its steps.
    "PYTHONSAFEPATH": "1",
    _NATIVE_LOG: "2",
    "PYTHONUNBUFFERED": "1",
}

Listener = Callable[[dict[str, Any]], None]
"""Is called with every event of every step, see `progress`; at the level debug also with every line of its output."""


class StepError(Exception):
    """A step ended in a way that is not the user's doing; its message says where the log is.

    Example:
        >>> try:
        ...     run = graftwork.run(config="config.yaml", quiet=True)
        ... except graftwork.StepError as error:
        ...     print(error)
    """


@dataclass(frozen=True)
class Results:
    """Where a run's results lie."""

    model: Path
    report: Path
    metrics: Path


@dataclass(frozen=True)
class Done:
    """A run that has come to its end.

    Attributes:
        outputs: Of the pipeline.
        steps: The folder with what its steps have put out, but for those whose outputs were there already; see
            `kfp_internals.output_of`.
    """

    outputs: dict[str, Any]
    steps: Path


def run(
    pipeline: Callable[..., Any],
    parameters: Mapping[str, Any],
    output: Path,
    listener: Listener,
    image: str | None = None,
    mounts: containers.Mounts = (),
) -> Results:
    """Run a pipeline whose outputs are model, metrics and report.

    A step whose inputs have not changed since one of the last runs into the same folder is not run again; what those
    have not used is removed.

    Args:
        pipeline: A KFP pipeline.
        parameters: Its parameters.
        output: Folder for the results and for the steps' own outputs.
        listener: Told what happens.
        image: In containers of which every step runs, None for processes of this Python.
        mounts: With an image: files and folders that the steps may read, besides the data and the base model.

    Returns:
        Where the results are; they appear only when they are whole.

    Raises:
        UserError: A step says that something the user gave is wrong, the folder cannot be used, or no container runs.
        StepError: A step crashed or was killed.
    """
    published = results(output)
    _require_room_for(published)
    with executed(pipeline, parameters, output, listener, image, mounts) as done:
        _publish(Path(done.outputs["model"].path), published.model)
        _publish(Path(done.outputs["report"].path), published.report)
        _publish(Path(done.outputs["metrics"].path), published.metrics)
    return published


def results(output: Path) -> Results:
    """Return where the results of a run into a folder lie."""
    return Results(output / "model", output / "report.html", output / "metrics.json")


@contextlib.contextmanager
def executed(
    pipeline: Callable[..., Any],
    parameters: Mapping[str, Any],
    output: Path,
    listener: Listener,
    image: str | None = None,
    mounts: containers.Mounts = (),
) -> Iterator[Done]:
    """Run any pipeline, see `run`; yield what is there then while nobody else may write into the folder."""
    with _locked(output), (output / LOG).open("w", encoding="utf-8") as log:
        if image is not None:
            parameters = containers.seen_from_containers(parameters)
        lines = _Lines(log, listener)
        try:
            before = kfp_internals.runs(output / _STEPS)
            with _runner(image, output / _STEPS, parameters, mounts) as runner:
                outputs = _run(kfp_internals.fitted(pipeline, image), parameters, output, runner, lines)
            (_, steps), *_ = set(kfp_internals.runs(output / _STEPS)) - set(before)  # not by time: clocks go backwards
            yield Done(outputs, steps)
        finally:
            if (output / _STEPS).is_dir():
                housekeeping.clear(output / _STEPS, lines.from_cache)


@contextlib.contextmanager
def _runner(image: str | None, root: Path, parameters: Mapping[str, Any], mounts: containers.Mounts) -> Iterator[Any]:
    # What the user has set for TensorFlow's log stays.
    native_log = {_NATIVE_LOG: "0"} if levels.says(logging.DEBUG) else {}
    environment = {name: os.environ.get(name, value) for name, value in {**_ENVIRONMENT, **native_log}.items()}
    if image is None:
        # KFP's commands leave a folder behind for every step.
        with (
            tempfile.TemporaryDirectory(prefix="graftwork-", ignore_cleanup_errors=True) as scratch,
            _environment({**environment, "TMPDIR": scratch, progress.FOLDER_VARIABLE: scratch}),
            processes.runner() as runner,
        ):
            yield runner
    else:
        with containers.runner(image, root, parameters, environment, mounts) as runner:
            yield runner


def _run(
    pipeline: Callable[..., Any], parameters: Mapping[str, Any], output: Path, runner: Any, lines: "_Lines"
) -> dict[str, Any]:
    from kfp import local

    with warnings.catch_warnings(action="ignore"), _root_logger(lines), contextlib.redirect_stdout(lines):
        local.init(runner=runner, pipeline_root=str(output / _STEPS), enable_caching=True)
        try:
            task = pipeline(**parameters)
        except Exception as error:
            if lines.error is not None:
                raise UserError(*lines.error) from None
            step = lines.failed or lines.step
            said = (
                "\n".join(lines.last) if step else ""
            )  # what KFP says before a step runs tells nobody why it does not
            reason = lines.crash or said or f"{type(error).__name__}: {in_one_line(error)}"
            raise StepError(f"{step or 'the pipeline'} failed: {reason}\n  log  {output / LOG}") from error
    return dict(task.outputs)


class _Lines(io.TextIOBase):
    """Takes everything a local run prints, line by line: to the log, and what is an event to the listener."""

    def __init__(self, log: Any, listener: Listener) -> None:
        super().__init__()
        self.step: str | None = None
        self.failed: str | None = None
        self.error: tuple[str] | None = None
        self.crash: str | None = None
        self.last: deque[str] = deque(maxlen=5)
        self.from_cache: set[str] = set()
        self._log, self._listener, self._pending = log, listener, ""
        self._lock = threading.RLock()  # steps of one loop write at the same time, each from a thread of its own

    def write(self, text: str) -> int:
        with self._lock:
            self._pending += text
            while "\n" in self._pending:
                line, _, self._pending = self._pending.partition("\n")
                self._take(line)
        return len(text)

    def _take(self, line: str) -> None:
        self._log.write(line + "\n")
        self._log.flush()
        event = progress.parse(line)
        if event is None:
            if key := kfp_internals.key_from_cache(line):
                self.from_cache.add(key)
            failed = kfp_internals.failed_step(line)
            if failed and self.failed is None:  # what follows is about the steps that cannot run now
                self.failed = failed
                self.crash = self.crash or "\n".join(self.last)
            elif line.strip():
                self.last.append(line.strip())
            if levels.says(logging.DEBUG):
                self._listener({"event": "output", "text": line})
            return
        if event["event"] == "start":
            self.step = event["step"]
        elif event["event"] == "error":
            self.error = (event["message"],)
        elif event["event"] == "crash":
            self.crash = event["message"]
        self._listener(event)


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{before.get('PATH', '')}"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _root_logger(lines: _Lines) -> Iterator[None]:
    """KFP reports cached steps through the root logger; they belong into the log."""
    root = logging.getLogger()
    level, handler = root.level, logging.StreamHandler(lines)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


@contextlib.contextmanager
def _locked(output: Path) -> Iterator[None]:
    """Make the folder, and keep others from running into it at the same time."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock = (output / ".lock").open("w")
    except OSError as error:
        facts = {"output": output, "reason": error.strerror or error}
        raise UserError("the output folder cannot be written", facts, next="pass another one: --output DIR") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            next = "wait for it, or pass another folder: --output DIR"
            raise UserError("another run is writing to the output folder", {"output": output}, next) from None
        yield


def _require_room_for(published: Results) -> None:
    """Make sure, before the work, that nothing of another kind is where the results go: that is the user's."""
    folders = {published.model: True, published.report: False, published.metrics: False}
    with contextlib.suppress(OSError):  # a folder that cannot be looked into is refused as one that cannot be written
        for place, is_folder in folders.items():
            if place.exists() and place.is_dir() != is_folder:
                facts = {"there": place, "expected": "a folder" if is_folder else "a file"}
                next = "move it, or pass another --output DIR"
                raise UserError("something else is where a result goes", facts, next)


def _publish(source: Path, target: Path) -> None:
    """Copy a step's output to where the user looks for it; it changes from the old to the new in one go."""
    if source.is_dir():
        with whole.folder(target) as folder:
            shutil.copytree(source, folder, dirs_exist_ok=True)
    else:
        with whole.file(target) as file:
            shutil.copyfile(source, file)
