"""The log of a step's pod: read through the API, and graftwork's own lines taken out of it.

Around them stand those of KFP's launcher and executor, and of TensorFlow. What graftwork prints is in
`reporting.progress`.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

import kfp_server_api
import urllib3

from graftwork.kubeflow.connection import Kubeflow

_TIMEOUT = (10.0, 60.0)  # seconds to connect, and to wait for the next bytes: a step reports its progress oftener
_LAUNCHER = re.compile(r"([IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w.]+:\d+\] (.*)")
_OTHERS = re.compile(
    r"\[KFP Executor |WARNING: All log messages before absl|[IWEF]0000 00:00:|\d{4}-\d\d-\d\d .*tensorflow|"
    r"Error: exit status \d+$|Killed$"  # what the launcher's shell adds
)
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_INPUT = "Got executor_input:"
_RESULT = "graftwork result: "
_STARTED = re.compile(r"(\w+): started$")
_ENDED = re.compile(r"(\w+): ([\d.]+) s, (\d+) MiB at most$")
_PROGRESS = re.compile(r"([a-z][\w ]*): ([\d,]+)(?: of ([\d,]+))?(?:  (.*))?$")
_EXIT = re.compile(r"exit status (\d+)$")
_SIGTERM = 143
_STOPPED = "stopped from outside: the pod was deleted or evicted, or the run terminated"
_KEPT = 8
"""So many of the last lines are kept of a step that says nothing about why it failed."""


class NoLogError(Exception):
    """A log that cannot be had: the pod is not there yet or no more, or a proxy does not let the request through."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def read(kubeflow: Kubeflow, run_id: str, node_id: str, follow: bool = False) -> Iterator[str]:
    """Yield the lines of a pod's log.

    Args:
        kubeflow: The server.
        run_id: Of the run.
        node_id: Of the pod's node, see `nodes.Attempt`.
        follow: Whether to wait for more lines until the pod ends.

    Raises:
        NoLogError: The server has none, or does not let it be read.
        urllib3.exceptions.HTTPError: The connection was lost on the way.
    """
    path = f"/apis/v1alpha1/runs/{run_id}/nodes/{node_id}/log"
    try:
        answer = kubeflow.get(path, {"follow": "true"} if follow else {}, timeout=_TIMEOUT)
    except kfp_server_api.ApiException as error:
        raise NoLogError(int(error.status or 0), str(error.reason)) from None
    if "html" in answer.headers.get("Content-Type", ""):  # a proxy's page, or that of Kubeflow's interface
        answer.release_conn()
        raise NoLogError(404, "a page for people was answered")
    rest = b""
    try:
        for chunk in answer.stream(1024, decode_content=True):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from map(_text, lines)
    except urllib3.exceptions.ReadTimeoutError:
        return  # nothing was said for a minute; the rest is asked for again
    finally:
        answer.close()
    if rest and not follow:  # a pod that goes on has not finished the line
        yield _text(rest)


def _text(line: bytes) -> str:
    """Return a line without what would move a terminal's cursor or colour it: names in it may come from anywhere."""
    return _CONTROL.sub("", line.decode("utf-8", "replace"))


def clean(value: Any) -> Any:
    """Return what JSON can hold without what a terminal would obey, in every text in it; line ends stay."""
    if isinstance(value, str):
        return _CONTROL.sub("", value)
    if isinstance(value, list):
        return [clean(item) for item in value]
    return {clean(key): clean(item) for key, item in value.items()} if isinstance(value, dict) else value


class Reader:
    """Takes the lines of one pod's log, and makes of them the events that `reporting.display` shows.

    Attributes:
        inputs: The executor's input, as KFP hands it to the step: parameters, and where artifacts lie; {} before.
        ended: Its "seconds" and its "peak_mib" (largest memory, MiB), as it says itself at its end; {} before.
        results: What the step has found out, see `progress.result`; {} if it has said nothing of the kind.
        reason: Why it failed, as graftwork says it; "" if it has not.
        exit_status: Of the step's process, None if it has succeeded or goes on.
        fatal: What KFP's launcher gave up with before or after the step's process, "" if it did not.
    """

    def __init__(self) -> None:
        self.inputs: dict[str, Any] = {}
        self.results: dict[str, Any] = {}
        self.reason = ""
        self.exit_status: int | None = None
        self.fatal = ""
        self.ended: dict[str, float] = {}
        self._json: list[str] | None = None
        self._keep_json = False
        self._running = self._in_error = self._in_traceback = False
        self._last: list[str] = []

    def take(self, line: str) -> Iterator[dict[str, Any]]:
        """Take a line; yield the event in it, if there is one.

        Yields:
            {"event": "note", "text"} and {"event": "progress", "done", "total", "what", "detail"}.
        """
        if self._json is not None and not (_LAUNCHER.match(line) or _OTHERS.match(line)):
            self._take_json(line)
            return
        self._json = None  # it is whole, or was cut off
        if launcher := _LAUNCHER.match(line):
            self._take_launcher(*launcher.groups())
        elif line.endswith(_INPUT):
            self._json, self._keep_json = [], True
        elif line.startswith(_RESULT):
            self._take_result(line.removeprefix(_RESULT))
        elif line.strip() and not _OTHERS.match(line):
            yield from self._take_own(line)

    def artifacts(self) -> dict[str, str]:
        """Return where the step puts what it makes: URIs, by the names of its outputs."""
        made = self.inputs.get("outputs", {}).get("artifacts", {})
        return {name: entry["artifacts"][0]["uri"] for name, entry in made.items() if entry.get("artifacts")}

    def why(self) -> str:
        """Return why the step failed, as well as the log tells; "" if it does not."""
        if self.reason:
            return self.reason
        if self.exit_status == _SIGTERM:
            return _STOPPED
        said = "\n".join(self._last)
        if self.exit_status == 137:
            limit = "killed (exit status 137): most often it needed more memory than its limit"
            return "\n".join(filter(None, [said, limit]))
        if self.exit_status is not None:
            return "\n".join(filter(None, [said, f"exit status {self.exit_status}"]))
        return self.fatal

    def _take_json(self, line: str) -> None:
        assert self._json is not None
        self._json.append(line)
        if line.startswith("}"):
            if self._keep_json:
                try:
                    self.inputs = clean(json.loads("\n".join(self._json)))
                except ValueError:  # cut off, or other lines in between
                    self.inputs = {}
            self._json = None

    def _take_launcher(self, level: str, text: str) -> None:
        self._in_error = self._in_traceback = False
        if text.endswith("{"):
            self._json, self._keep_json = ["{"], False
        if level in "EF" and (status := _EXIT.search(text)):
            self.exit_status = self.exit_status or int(status[1])
        elif level == "F":
            self.fatal = text

    def _take_result(self, text: str) -> None:
        with contextlib.suppress(ValueError, TypeError):  # cut off; what it says stands in the report too
            self.results |= clean(json.loads(text))

    def _take_own(self, line: str) -> Iterator[dict[str, Any]]:
        if _STARTED.match(line):
            self._running = True
            self._last = []
        elif ended := _ENDED.match(line):
            self._running = False
            self.ended = {"seconds": float(ended[2]), "peak_mib": float(ended[3])}
        elif line.startswith("error: "):
            self.reason, self._in_error = line, True
        elif self._in_error and line.startswith("  "):
            self.reason += f"\n{line}"
        elif line.startswith("Traceback (most recent call last)") or self._in_traceback:
            self._in_traceback = True
            self._keep(line)
        elif self._running and (progress := _PROGRESS.match(line)):
            what, done, total, detail = progress.groups()
            yield {
                "event": "progress",
                "what": what,
                "done": _count(done),
                "total": _count(total) if total else None,
                "detail": detail or "",
            }
        elif self._running:
            self._keep(line)
            yield {"event": "note", "text": line}
        else:
            self._keep(line)

    def _keep(self, line: str) -> None:
        self._last = [*self._last[1 - _KEPT :], line]


def _count(text: str) -> int:
    return int(text.replace(",", ""))
