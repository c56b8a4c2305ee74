"""A run on the fake Kubeflow, watched."""

import hashlib
import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from graftwork.kubeflow import watching
from graftwork.kubeflow.compiling import read_compiled
from graftwork.kubeflow.connection import Kubeflow
from graftwork.kubeflow.showing import shown
from graftwork.kubeflow.submitting import submit, upload
from graftwork.kubeflow.watching import Watched

from fake_kubeflow import FakeKubeflow
from fake_workflow import Workflow

COMPILED = Path(__file__).parent / "from_0_1" / "compiled"
PARAMETERS = {"data": "gs://photos", "base_model": "gs://shelf.keras"}
OF_A_REGISTRY = {"registry": "gs://models", "name": "shelf"}
SOON = 30.0  # seconds
FILES = {"saved_model.pb": b"graph", "variables/variables.index": b"index", "assets.extra/graftwork.json": b"{}"}
REPORT_PAGE, METRICS = b"<html>report</html>", b'{"selected": "head"}'


watching.SETTLE_SECONDS = 0.0  # most of these runs never show all of their steps


class Watching:
    """A run that somebody looks at in a log, without colours."""

    def __init__(self, fake: FakeKubeflow, pipeline: str = "transfer_learning", **parameters: object) -> None:
        self.fake, self.kubeflow, self.workflow = fake, Kubeflow(fake.url), Workflow()
        version = upload(self.kubeflow, read_compiled(COMPILED / f"{pipeline}.yaml"))
        given = {**PARAMETERS, **(OF_A_REGISTRY if pipeline == "retraining" else {}), **parameters}
        self.run_id = submit(self.kubeflow, version, given, run_name="tonight")
        self._file = io.StringIO()
        self._watched: list[Watched] = []

    def show(self, state: str, *history: str) -> None:
        """Let the server show the workflow as it is now."""
        self.fake.show(self.run_id, state, self.workflow, *history)

    def log(self, step: str, text: str, attempt: int = 0, *, ended: bool = True) -> None:
        self.fake.log(self.run_id, self.workflow.pod(step, attempt), text, ended=ended)

    def to_its_end(self) -> Watched:
        """Watch a run that has ended."""
        return shown(self.kubeflow, self.run_id, Console(file=self._file, width=200), 0.02)

    @contextmanager
    def meanwhile(self) -> Iterator[None]:
        """Watch while the block moves the run on, to an end."""
        thread = threading.Thread(target=lambda: self._watched.append(self.to_its_end()), daemon=True)
        thread.start()
        yield
        thread.join(SOON)
        assert not thread.is_alive(), self.said

    @property
    def watched(self) -> Watched:
        return self._watched[-1]

    @property
    def said(self) -> str:
        return re.sub(r"(?m)^\d\d:\d\d:\d\d ", "", self._file.getvalue())

    @property
    def lines(self) -> list[str]:
        """What was said, without the blanks between and around."""
        return [" ".join(line.split()) for line in self.said.splitlines() if line.strip()]

    def until(self, text: str) -> None:
        """Wait until something was said."""
        _until(lambda: text in self.said, lambda: f"{text!r} is not in:\n{self.said}")


def _until(condition: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    waiting = threading.Event()
    for _ in range(int(SOON / 0.02)):
        if condition():
            return
        waiting.wait(0.02)
    raise AssertionError(otherwise())


def described(content: bytes) -> dict[str, object]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def input_of(outputs: dict[str, str]) -> str:
    made = {name: {"artifacts": [{"name": name, "uri": uri}]} for name, uri in outputs.items()}
    document = json.dumps({"inputs": {}, "outputs": {"artifacts": made}}, indent=4)
    return f"[KFP Executor 2026-11-26 21:14:50,289 INFO]: Got executor_input:\n{document}\n"


def finished_in(fake: FakeKubeflow, root: str, files: dict[str, bytes] = FILES) -> Watching:
    run = Watching(fake)
    run.workflow.move("evaluate", "SUCCEEDED")
    run.workflow.move("select-model", "SUCCEEDED")
    bucket, _, key = root.partition("://")[2].partition("/")
    fake.artifacts |= {(bucket, f"{key}/model/{name}"): content for name, content in FILES.items()}
    fake.artifacts |= {(bucket, f"{key}/report"): REPORT_PAGE, (bucket, f"{key}/metrics"): METRICS}
    said = [{"path": name, **described(content)} for name, content in files.items()]
    result = {"step": "select_model", "files": {"model": said, "metrics": described(METRICS)}}
    outputs = {"model": f"{root}/model", "metrics": f"{root}/metrics"}
    run.log("select-model", f"{input_of(outputs)}select_model: started\ngraftwork result: {json.dumps(result)}\n")
    result = {"step": "evaluate", "files": {"report": described(REPORT_PAGE)}}
    outputs = {"report": f"{root}/report"}
    run.log("evaluate", f"{input_of(outputs)}evaluate: started\ngraftwork result: {json.dumps(result)}\n")
    run.show("SUCCEEDED", "RUNNING")
    return run
