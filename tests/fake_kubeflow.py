"""A Kubeflow Pipelines server in memory, for tests: the REST API v2beta1 over real HTTP, spoken to by the real client.

Every request and every answer is checked against the server's own OpenAPI document (kubeflow_api/contract.json); what
does not conform is listed in `FakeKubeflow.violations`. Answers look like the server's: empty fields are left out,
64-bit numbers are strings, and a run that has not finished yet "finished" in 1970.
"""

import base64
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import yaml
from jsonschema import Draft4Validator, FormatChecker

from fake_workflow import Workflow

Json = dict[str, Any]

CONTRACT = Path(__file__).parent / "kubeflow_api" / "contract.json"
ANSWERS = Path(__file__).parent / "kubeflow_api" / "answers"
"""What a real server, of version 2.17, has answered: runs, and logs of pods; their long lines are cut."""
ROOT = "/apis/v2beta1"
_LOG_PATH = re.compile(r"/apis/v1alpha1/runs/([^/]+)/nodes/([^/]+)/log")
NEVER = "1970-01-01T00:00:00Z"
FINISHED = {"SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"}
LISTED_FIELDS = {"name", "display_name", "description", "created_at", "namespace", "state", "status"}
GRPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 429: 8, 500: 13, 501: 12, 503: 14, 504: 4}
FORMATS: dict[str, Callable[[Any], bool]] = {
    "int64": lambda value: -(2**63) <= int(value) < 2**63,
    "byte": lambda value: base64.b64decode(value, validate=True) is not None,
    "date-time": lambda value: datetime.fromisoformat(value).tzinfo is not None,
}
PARAMETER_TYPES: dict[str, type | tuple[type, ...]] = {
    "STRING": str,
    "NUMBER_INTEGER": (int, float),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": bool,
    "LIST": list,
    "STRUCT": dict,
}


@dataclass(frozen=True)
class Request:
    """What a client sent; the body is parsed JSON, or {"uploadfile": text, "filename": name} of an upload."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


class ApiError(Exception):
    """Becomes the answer that the server gives instead of a result."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        code = GRPC_CODES.get(status, 2)
        detail = {"@type": "type.googleapis.com/google.rpc.Status", "code": code, "message": message}
        self.status = status
        self.body = {"code": code, "message": message, "details": [detail]}


@dataclass
class Log:
    """What a pod has said so far."""

    text: str = ""
    ended: bool = False


@dataclass
class _Failure:
    status: int | None
    message: str
    times: int
    drop: bool
    delay: float
    path: str | None


_Handler = Callable[..., Json]
_ROUTES: list[tuple[str, re.Pattern[str], _Handler]] = []


def _path_pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"{([^}]+)}", lambda name: f"(?P<{name[1].replace('.', '_')}>[^/:]+)", template))


def _answers(method: str, template: str) -> Callable[[_Handler], _Handler]:
    def register(handler: _Handler) -> _Handler:
        _ROUTES.append((method, _path_pattern(ROOT + template), handler))
        return handler

    return register


class FakeKubeflow:
    """A server on a free port of this machine, from `with` to the end of the block.

    Args:
        token: The bearer token every request must carry; None for a server without authentication.
        multi_user: Whether everything lives in a namespace.
        namespaces: Those the user may use in multi-user mode.
        tag: What the server calls its version; None for one that does not tell.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        multi_user: bool = False,
        namespaces: Sequence[str] = (),
        tag: str | None = "unknown",
    ) -> None:
        self.token = token
        self.tag = tag
        self.multi_user = multi_user
        self.namespaces = namespaces
        self.url = ""
        self.experiments: dict[str, Json] = {}
        self.pipelines: dict[str, Json] = {}
        self.versions: dict[str, Json] = {}
        self.runs: dict[str, Json] = {}
        self.recurring_runs: dict[str, Json] = {}
        self.logs: dict[tuple[str, str], Log] = {}
        self.streams = True  # whether an answer with a log is kept open until the pod ends
        self.log_status = 0  # of the answer of a proxy that does not let requests for logs through
        self.artifacts: dict[tuple[str, str], bytes] = {}
        self.requests: list[Request] = []
        self.violations: list[str] = []
        document = json.loads(CONTRACT.read_text())
        # The server's answer has two entries that its document does not have.
        version = {"tag_name": {"type": "string"}, "commit_sha": {"type": "string"}}
        document["definitions"]["v2beta1GetHealthzResponse"]["properties"] |= version
        self._contract = Contract(document)
        self._failures: list[_Failure] = []
        self._latest = datetime.now(UTC)
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _http_handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()

    def fail_next(
        self,
        status: int | None = None,
        message: str = "",
        *,
        times: int = 1,
        drop: bool = False,
        delay: float = 0.0,
        path: str | None = None,
    ) -> None:
        """Let the next requests fail, before they change anything, or be answered late.

        Args:
            status: Of the answer; None to answer as ever.
            message: Of the answer.
            times: For how many requests.
            drop: Close the connection without an answer.
            delay: Seconds before the answer, or before the connection is closed.
            path: Only requests whose path contains this; None for any.
        """
        with self._lock:
            self._failures.append(_Failure(status, message, times, drop, delay, path))

    def show(self, run_id: str, state: str, workflow: Workflow, *history: str) -> None:
        """Let a run be as a workflow is; `history` are states that it passed on the way to this one."""
        with self._lock:
            self._move_run(run_id, *history, state)
            self.runs[run_id]["run_details"] = json.loads(json.dumps(workflow.details()))

    def replay(self, run_id: str, recorded: str) -> Json:
        """Let a run be as a real server has shown one; returns what was recorded."""
        answer: Json = json.loads((ANSWERS / f"{recorded}.json").read_text())
        with self._lock:
            kept = {name: answer.get(name) for name in ("state", "state_history", "finished_at", "run_details")}
            self.runs[run_id] |= {name: value for name, value in kept.items() if value}
        return answer

    def log(self, run_id: str, node_id: str, text: str | None = None, *, ended: bool = True) -> "Log":
        """Give a pod a log, or more of it; `text` may be the name of a recorded one, as in "log-fine-tune"."""
        with self._lock:
            log = self.logs.setdefault((run_id, node_id), Log())
            recorded = ANSWERS / f"{text}.txt"
            log.text += (recorded.read_text() if "\n" not in (text or "") and recorded.is_file() else text) or ""
            log.ended = ended
            return log

    def _move_run(self, run_id: str, *states: str) -> None:
        run = self.runs[run_id]
        for state in states:
            run["state"] = state
            run["state_history"].append({"update_time": self._now(), "state": state})
        if run["state"] in FINISHED:
            run["finished_at"] = self._now()

    def set_state(self, run_id: str, state: str, error: str = "") -> None:
        """Move a run to a state such as RUNNING, SUCCEEDED or FAILED."""
        with self._lock:
            self._move_run(run_id, state)
            if error:
                failure = {"error": ApiError(500, error).body}
                self.runs[run_id] |= failure
                self.runs[run_id]["state_history"][-1] |= failure

    def may_come_from_the_cache(self, run_id: str) -> set[str]:
        """The tasks of a run, of all its DAGs, for which the server looks for earlier results.

        What the spec that the run uses says of each task decides; nothing that comes with the run does.
        """
        with self._lock:
            run = self.runs[run_id]
            reference = run.get("pipeline_version_reference")
            used = self.versions[reference["pipeline_version_id"]] if reference else run
        spec = used["pipeline_spec"].get("pipeline_spec", used["pipeline_spec"])
        dags = (each["dag"]["tasks"] for each in (spec["root"], *spec["components"].values()) if "dag" in each)
        tasks = (task for dag in dags for task in dag.items())
        return {name for name, task in tasks if task.get("cachingOptions", {}).get("enableCache")}

    def respond(self, request: Request) -> tuple[int, Json] | None:
        """The status and body of the answer, or None where the connection is to be dropped."""
        with self._lock:
            self.requests.append(request)
            failure = self._next_failure(request.path)
        self.violations += self._contract.check_request(request)
        if failure:
            time.sleep(failure.delay)
            if failure.drop:
                return None
        try:
            if failure and failure.status:
                raise ApiError(failure.status, failure.message)
            with self._lock:
                # A copy, as a test may move a run on while its answer is being written.
                status, answer = 200, json.loads(json.dumps(self._handle(request)))
        except ApiError as error:
            status, answer = error.status, error.body
        except Exception as error:
            self.violations.append(f"{request.method} {request.path}: the fake failed: {error!r}")
            status, answer = 500, ApiError(500, repr(error)).body
        self.violations += self._contract.check_answer(request, status, answer)
        return status, answer

    # Requests

    def _handle(self, request: Request) -> Json:
        if self.token is not None and request.headers.get("authorization") != f"Bearer {self.token}":
            raise ApiError(401, "Request is unauthenticated: the token is missing or not valid")
        for method, pattern, handler in _ROUTES:
            if method == request.method and (match := pattern.fullmatch(request.path)):
                return handler(self, request, **{name: unquote(value) for name, value in match.groupdict().items()})
        raise ApiError(404, f"Not Found: {request.method} {request.path}")

    @_answers("GET", "/healthz")
    def _healthz(self, request: Request) -> Json:
        # Of all answers the one in which false is not left out.
        version = {} if self.tag is None else {"commit_sha": "unknown", "tag_name": self.tag}
        return {**version, "multi_user": self.multi_user, "pipeline_store": "database"}

    @_answers("POST", "/experiments")
    def _create_experiment(self, request: Request) -> Json:
        name = request.body.get("display_name", "")
        namespace = self._authorized(request.body.get("namespace", ""))
        _require(name, "an experiment needs a display_name")
        self._refuse_existing("experiment", self.experiments, display_name=name, namespace=namespace)
        experiment = _message(
            experiment_id=_new_id(),
            display_name=name,
            description=request.body.get("description"),
            namespace=namespace,
            created_at=self._now(),
            storage_state="AVAILABLE",
            last_run_created_at=NEVER,
        )
        return self.experiments.setdefault(experiment["experiment_id"], experiment)

    @_answers("GET", "/experiments")
    def _list_experiments(self, request: Request) -> Json:
        namespace = self._authorized(request.query.get("namespace", ""))
        return _page(request.query, "experiments", _where(self.experiments, namespace=namespace))

    @_answers("GET", "/experiments/{experiment_id}")
    def _get_experiment(self, request: Request, experiment_id: str) -> Json:
        return self._find("experiment", self.experiments, experiment_id)

    @_answers("DELETE", "/experiments/{experiment_id}")
    def _delete_experiment(self, request: Request, experiment_id: str) -> Json:
        self._find("experiment", self.experiments, experiment_id)
        del self.experiments[experiment_id]
        return {}

    @_answers("POST", "/pipelines")
    def _create_pipeline(self, request: Request) -> Json:
        _require(request.body.get("name"), "a pipeline needs a name")
        return self._add_pipeline(request.body)

    @_answers("POST", "/pipelines/upload")
    def _upload_pipeline(self, request: Request) -> Json:
        name, display_name = _names(request)
        spec = _pipeline_spec(request.body["uploadfile"])
        described = {**request.query, "name": name, "display_name": display_name, "tags": _tags(request)}
        pipeline = self._add_pipeline(described)
        self._add_version(request, pipeline["pipeline_id"], spec)
        return pipeline

    def _add_pipeline(self, described: Json) -> Json:
        namespace = self._authorized(described.get("namespace", ""))
        self._refuse_existing("pipeline", self.pipelines, name=described["name"], namespace=namespace)
        pipeline = _message(
            pipeline_id=_new_id(),
            name=described["name"],
            display_name=described.get("display_name") or described["name"],
            description=described.get("description"),
            namespace=namespace,
            created_at=self._now(),
            tags=described.get("tags"),
        )
        return self.pipelines.setdefault(pipeline["pipeline_id"], pipeline)

    @_answers("POST", "/pipelines/upload_version")
    def _upload_version(self, request: Request) -> Json:
        pipeline_id = request.query.get("pipelineid", "")
        self._find("pipeline", self.pipelines, pipeline_id)
        return self._add_version(request, pipeline_id, _pipeline_spec(request.body["uploadfile"]))

    def _add_version(self, request: Request, pipeline_id: str, spec: Json) -> Json:
        name, display_name = _names(request)
        self._refuse_existing("pipeline version", self.versions, name=name, pipeline_id=pipeline_id)
        version = _message(
            pipeline_id=pipeline_id,
            pipeline_version_id=_new_id(),
            name=name,
            display_name=display_name,
            description=request.query.get("description"),
            created_at=self._now(),
            code_source_url=request.query.get("code_source_url"),
            pipeline_spec=spec,
            tags=_tags(request),
        )
        return self.versions.setdefault(version["pipeline_version_id"], version)

    @_answers("GET", "/pipelines")
    def _list_pipelines(self, request: Request) -> Json:
        namespace = self._authorized(request.query.get("namespace", ""), shared=True)
        return _page(request.query, "pipelines", _where(self.pipelines, namespace=namespace))

    @_answers("GET", "/pipelines/{pipeline_id}")
    def _get_pipeline(self, request: Request, pipeline_id: str) -> Json:
        return self._find("pipeline", self.pipelines, pipeline_id)

    @_answers("GET", "/pipelines/names/{name}")
    def _get_pipeline_by_name(self, request: Request, name: str) -> Json:
        namespace = self._authorized(request.query.get("namespace", ""), shared=True)
        for pipeline in _where(self.pipelines, name=name, namespace=namespace):
            return pipeline
        raise ApiError(404, f"pipeline {name} not found")

    @_answers("DELETE", "/pipelines/{pipeline_id}")
    def _delete_pipeline(self, request: Request, pipeline_id: str) -> Json:
        self._find("pipeline", self.pipelines, pipeline_id)
        versions = _where(self.versions, pipeline_id=pipeline_id)
        _require(not versions or request.query.get("cascade") == "true", f"pipeline {pipeline_id} still has versions")
        for version in versions:
            del self.versions[version["pipeline_version_id"]]
        del self.pipelines[pipeline_id]
        return {}

    @_answers("GET", "/pipelines/{pipeline_id}/versions")
    def _list_versions(self, request: Request, pipeline_id: str) -> Json:
        self._find("pipeline", self.pipelines, pipeline_id)
        return _page(request.query, "pipeline_versions", _where(self.versions, pipeline_id=pipeline_id))

    @_answers("GET", "/pipelines/{pipeline_id}/versions/{version_id}")
    def _get_version(self, request: Request, pipeline_id: str, version_id: str) -> Json:
        return self._version(pipeline_id, version_id)

    @_answers("DELETE", "/pipelines/{pipeline_id}/versions/{version_id}")
    def _delete_version(self, request: Request, pipeline_id: str, version_id: str) -> Json:
        self._version(pipeline_id, version_id)
        del self.versions[version_id]
        return {}

    @_answers("POST", "/runs")
    def _create_run(self, request: Request) -> Json:
        run_id, now = _new_id(), self._now()
        run = _message(
            run_id=run_id,
            **self._job(request.body),
            storage_state="AVAILABLE",
            created_at=now,
            scheduled_at=now,
            finished_at=NEVER,
            state="PENDING",
            state_history=[{"update_time": now, "state": "PENDING"}],
        )
        self.experiments[run["experiment_id"]]["last_run_created_at"] = now
        return self.runs.setdefault(run_id, run)

    @_answers("GET", "/runs")
    def _list_runs(self, request: Request) -> Json:
        return _page(request.query, "runs", self._in_scope(request, self.runs))

    @_answers("GET", "/runs/{run_id}")
    def _get_run(self, request: Request, run_id: str) -> Json:
        return self._find("run", self.runs, run_id)

    @_answers("DELETE", "/runs/{run_id}")
    def _delete_run(self, request: Request, run_id: str) -> Json:
        self._find("run", self.runs, run_id)
        del self.runs[run_id]
        return {}

    @_answers("POST", "/runs/{run_id}:terminate")
    def _terminate_run(self, request: Request, run_id: str) -> Json:
        run = self._find("run", self.runs, run_id)
        _require(run["state"] not in FINISHED, f"run {run_id} has already finished: {run['state']}")
        self.set_state(run_id, "CANCELING")
        return {}

    @_answers("POST", "/recurringruns")
    def _create_recurring_run(self, request: Request) -> Json:
        body, now = request.body, self._now()
        concurrency = int(body.get("max_concurrency", 0))
        _require(1 <= concurrency <= 10, f"max concurrency must be at least 1 and at most 10, received {concurrency}")
        enabled = body.get("mode") == "ENABLE"
        recurring = _message(
            recurring_run_id=_new_id(),
            **self._job(body),
            trigger=_trigger(body.get("trigger", {})),
            max_concurrency=str(concurrency),
            no_catchup=body.get("no_catchup"),
            mode="ENABLE" if enabled else "DISABLE",
            status="ENABLED" if enabled else "DISABLED",
            namespace=self.experiments[body["experiment_id"]].get("namespace"),
            created_at=now,
            updated_at=now,
        )
        return self.recurring_runs.setdefault(recurring["recurring_run_id"], recurring)

    @_answers("GET", "/recurringruns")
    def _list_recurring_runs(self, request: Request) -> Json:
        # The one name that the API itself spells in camel case.
        return _page(request.query, "recurringRuns", self._in_scope(request, self.recurring_runs))

    @_answers("GET", "/recurringruns/{recurring_run_id}")
    def _get_recurring_run(self, request: Request, recurring_run_id: str) -> Json:
        return self._find("recurring run", self.recurring_runs, recurring_run_id)

    @_answers("DELETE", "/recurringruns/{recurring_run_id}")
    def _delete_recurring_run(self, request: Request, recurring_run_id: str) -> Json:
        self._find("recurring run", self.recurring_runs, recurring_run_id)
        del self.recurring_runs[recurring_run_id]
        return {}

    @_answers("POST", "/recurringruns/{recurring_run_id}:{switch}")
    def _switch_recurring_run(self, request: Request, recurring_run_id: str, switch: str) -> Json:
        recurring = self._find("recurring run", self.recurring_runs, recurring_run_id)
        recurring |= {"mode": switch.upper(), "status": f"{switch.upper()}D", "updated_at": self._now()}
        return {}

    # State

    def _now(self) -> str:
        """The time, later than any told before, so that sorting by it is sorting by age."""
        self._latest = max(datetime.now(UTC), self._latest + timedelta(microseconds=1))
        return self._latest.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _next_failure(self, path: str) -> _Failure | None:
        for failure in self._failures:
            if failure.times > 0 and (failure.path is None or failure.path in path):
                failure.times -= 1
                return failure
        return None

    def _authorized(self, namespace: str, *, shared: bool = False) -> str:
        """The namespace, if the user may use it; always the empty one where there is a single user."""
        if not self.multi_user or (shared and not namespace):
            return ""
        _require(namespace, "the namespace cannot be empty in multi-user mode")
        if namespace not in self.namespaces:
            raise ApiError(403, f"User is not authorized to use namespace {namespace}")
        return namespace

    def _find(self, kind: str, items: dict[str, Json], identifier: str) -> Json:
        if identifier not in items:
            raise ApiError(404, f"{kind} {identifier} not found")
        self._authorized(self._namespace_of(items[identifier]), shared=kind.startswith("pipeline"))
        return items[identifier]

    def _version(self, pipeline_id: str, version_id: str) -> Json:
        self._find("pipeline", self.pipelines, pipeline_id)
        versions = {
            version["pipeline_version_id"]: version for version in _where(self.versions, pipeline_id=pipeline_id)
        }
        return self._find("pipeline version", versions, version_id)

    def _namespace_of(self, item: Json) -> str:
        owner = self.experiments.get(item.get("experiment_id", "")) or self.pipelines.get(item.get("pipeline_id", ""))
        return str((owner or item).get("namespace", ""))

    def _refuse_existing(self, kind: str, items: dict[str, Json], **fields: str) -> None:
        if _where(items, **fields):
            name = fields.get("name") or fields["display_name"]
            raise ApiError(409, f"Already exist error: {kind} {name} already exists. Please specify a new name")

    def _in_scope(self, request: Request, items: dict[str, Json]) -> list[Json]:
        """Runs of the experiment asked for, or of the namespace."""
        if experiment_id := request.query.get("experiment_id"):
            self._find("experiment", self.experiments, experiment_id)
            return _where(items, experiment_id=experiment_id)
        namespace = self._authorized(request.query.get("namespace", ""))
        return [item for item in items.values() if self._namespace_of(item) == namespace]

    def _job(self, body: Json) -> Json:
        """What a run and a recurring run have in common, checked."""
        _require(body.get("display_name"), "a run needs a display_name")
        self._find("experiment", self.experiments, body.get("experiment_id", ""))
        config = body.get("runtime_config", {})
        spec, reference = body.get("pipeline_spec", {}), body.get("pipeline_version_reference", {})
        _require(bool(spec) != bool(reference), "give either a pipeline_spec or a pipeline_version_reference")
        if reference:
            version = self._version(reference.get("pipeline_id", ""), reference.get("pipeline_version_id", ""))
        _check_parameters(version["pipeline_spec"] if reference else spec, config.get("parameters", {}))
        return {
            "experiment_id": body["experiment_id"],
            "display_name": body["display_name"],
            "description": body.get("description"),
            "pipeline_spec": spec,
            "pipeline_version_reference": reference,
            "runtime_config": _message(**config) or None,
            "service_account": body.get("service_account") or "pipeline-runner",
        }


def _message(**fields: Any) -> Json:
    """A protocol buffer as JSON: a field with its default value is left out."""
    return {name: value for name, value in fields.items() if value not in (None, "", 0, False, [], {})}


def _new_id() -> str:
    return str(uuid.uuid4())


def _require(holds: object, message: str) -> None:
    if not holds:
        raise ApiError(400, f"Invalid input error: {message}")


def _where(items: dict[str, Json], **fields: str) -> list[Json]:
    return [item for item in items.values() if all(item.get(name, "") == value for name, value in fields.items())]


def _names(request: Request) -> tuple[str, str]:
    """The name and the display name of what is uploaded: each stands in for the other, the file's for both."""
    name, display_name = request.query.get("name"), request.query.get("display_name")
    name = name or display_name or request.body["filename"]
    return name, display_name or name


def _tags(request: Request) -> Json:
    return dict(json.loads(request.query.get("tags") or "{}"))


def _page(query: dict[str, str], key: str, items: list[Json]) -> Json:
    items = [item for item in items if _selected(item, query.get("filter", ""))]
    field, _, order = query.get("sort_by", "").partition(" ")
    if field:
        _require(order in ("", "asc", "desc"), f"unknown sort order {order!r}")
        items = sorted(items, key=lambda item: _field(item, field), reverse=order == "desc")
    size = int(query.get("page_size") or 0)
    _require(size >= 0, f"page_size {size} is negative")
    size = min(size or 20, 200)
    try:
        start = int(base64.b64decode(query.get("page_token", ""), validate=True) or 0)
    except ValueError as error:
        raise ApiError(400, f"Invalid input error: bad page_token {query['page_token']!r}") from error
    more = start + size < len(items)
    token = base64.b64encode(str(start + size).encode()).decode() if more else ""
    return _message(**{key: items[start : start + size]}, total_size=len(items), next_page_token=token)


def _selected(item: Json, filter_: str) -> bool:
    for predicate in json.loads(filter_ or "{}").get("predicates", []):
        value = predicate.get("string_value", predicate.get("stringValue", ""))
        match predicate.get("operation"):
            case "EQUALS" | 1:
                selected = _field(item, predicate["key"]) == value
            case "IS_SUBSTRING" | 9:
                selected = value in _field(item, predicate["key"])
            case operation:
                raise ApiError(501, f"the fake does not know the filter operation {operation!r}")
        if not selected:
            return False
    return True


def _field(item: Json, name: str) -> str:
    _require(name in LISTED_FIELDS, f"unknown field {name!r} in filter or sort_by")
    if name == "name":
        return str(item.get("name") or item["display_name"])
    return str(item.get(name, ""))


def _pipeline_spec(text: str) -> Json:
    """A version's pipeline_spec: the compiled pipeline, together with the platform's part where there is one."""
    try:
        documents = [document for document in yaml.safe_load_all(text) if document]
        spec = next(document for document in documents if {"pipelineInfo", "root"} <= document.keys())
    except (yaml.YAMLError, AttributeError, StopIteration) as error:
        raise ApiError(400, "Invalid input error: the file is not a compiled pipeline") from error
    platform = next((document for document in documents if "platforms" in document), None)
    return {"pipeline_spec": spec, "platform_spec": platform} if platform else spec


def _check_parameters(spec: Json, given: Json) -> None:
    declared = spec.get("pipeline_spec", spec)["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, value in given.items():
        _require(name in declared, f"parameter {name} is not an input of the pipeline")
        kind = declared[name]["parameterType"]
        # In Python, and only there, a truth value is a number too.
        fits = isinstance(value, PARAMETER_TYPES[kind]) and isinstance(value, bool) == (kind == "BOOLEAN")
        _require(fits, f"input parameter {name} requires type {kind}, received {value!r}")
    for name, parameter in declared.items():
        optional = parameter.get("isOptional") or "defaultValue" in parameter
        _require(name in given or optional, f"parameter {name} is not optional, yet has neither default nor value")


def _trigger(trigger: Json) -> Json:
    cron, periodic = trigger.get("cron_schedule"), trigger.get("periodic_schedule")
    if cron:
        _require(_is_cron(cron.get("cron", "")), f"Schedule cron is not a supported format: {cron.get('cron')!r}")
    if periodic:
        interval = int(periodic.get("interval_second", 0))
        _require(interval >= 1, f"period schedule interval {interval} is less than 1 second")
        periodic = periodic | {"interval_second": str(interval)}
    return _message(cron_schedule=cron, periodic_schedule=periodic)


def _is_cron(expression: str) -> bool:
    """Whether the server's scheduler reads it: seconds come first, only the day of the week may be left out."""
    if expression.startswith("@"):
        return bool(re.fullmatch(r"@(yearly|annually|monthly|weekly|daily|midnight|hourly|every \d+\S*)", expression))
    bounds = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]
    fields = expression.split()
    return len(fields) in (5, 6) and all(
        _is_cron_range(part, *bound) for field, bound in zip(fields, bounds, strict=False) for part in field.split(",")
    )


def _is_cron_range(part: str, low: int, high: int) -> bool:
    day_or_month = "(?i:sun|mon|tue|wed|thu|fri|sat|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
    if not (match := re.fullmatch(r"(?:[*?]|(\w+)(?:-(\w+))?)(?:/([1-9]\d*))?", part)):
        return False
    ends = [end for end in match.group(1, 2) if end]
    if high in (6, 12) and all(re.fullmatch(day_or_month, end) for end in ends):
        return True
    return all(end.isdecimal() and low <= int(end) <= high for end in ends) and ends == sorted(ends, key=int)


def _http_handler(fake: FakeKubeflow) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            url = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = dict(parse_qsl(url.query, keep_blank_values=True))
            body = _parse_body(headers.get("content-type", ""), raw)
            request = Request(self.command, url.path, query, body, headers)
            if match := _LOG_PATH.fullmatch(url.path):
                self._serve_log(request, match[1], match[2])
                return
            if url.path == "/artifacts/get":
                self._serve_artifact(request)
                return
            response = fake.respond(request)
            if response is None:
                return
            status, answer = response
            self._send(status, "application/json", json.dumps(answer).encode())

        def _serve_log(self, request: Request, run_id: str, node_id: str) -> None:
            """Stream a pod's log, to its end if it is to be followed; a server without it says so in its own words."""
            fake.requests.append(request)
            log = fake.logs.get((run_id, node_id))
            if fake.log_status:
                self._send(fake.log_status, "text/html", b"<html>no such page</html>")
                return
            if log is None:
                self._send(400, "application/json", b'{"error_message":"failed to get the log of the pod"}')
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            sent = 0
            while True:
                ended = log.ended or "follow" not in request.query or not fake.streams
                self.wfile.write(log.text[sent:].encode())
                self.wfile.flush()
                sent = len(log.text)
                if ended:
                    return
                time.sleep(0.02)

        def _serve_artifact(self, request: Request) -> None:
            """Serve a file of the artifact store, as Kubeflow's interface does; of a folder it knows nothing."""
            fake.requests.append(request)
            content = fake.artifacts.get((request.query.get("bucket", ""), request.query.get("key", "")))
            if content is None:
                self._send(500, "text/html", b"Failed to get object in bucket: The specified key does not exist.")
            else:
                self._send(200, "application/octet-stream", content)

        def _send(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = do_PATCH = do_PUT = _serve  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Tests have `requests` to look at."""

    return Handler


def _parse_body(content_type: str, raw: bytes) -> Any:
    if not raw:
        return None
    if not content_type.startswith("multipart/form-data"):
        return json.loads(raw)
    parts = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + raw).get_payload()
    body: Json = {}
    for part in parts:
        name = part.get_param("name", header="content-disposition")  # type: ignore[union-attr]
        body[str(name)] = part.get_payload(decode=True).decode()  # type: ignore[union-attr]
        body["filename"] = part.get_filename("")  # type: ignore[union-attr]
    return body


class Contract:
    """What an OpenAPI 2.0 document says about requests and answers; each check tells what does not conform."""

    def __init__(self, document: Json) -> None:
        self._definitions = _as_json_schema(document["definitions"])
        self._operations = [
            (method.upper(), _path_pattern(template), operation)
            # Fixed paths first: the "upload" of /pipelines/upload is no pipeline's id.
            for template, methods in sorted(document["paths"].items(), key=lambda path: path[0].count("{"))
            for method, operation in methods.items()
        ]
        self._formats = FormatChecker(formats=())
        for name, conforms in FORMATS.items():
            self._formats.checks(name, raises=(ValueError, TypeError))(conforms)

    def check_request(self, request: Request) -> Iterator[str]:
        """What is wrong with the path, the query and the body."""
        label = f"{request.method} {request.path}"
        operation = self._operation(request)
        if operation is None:
            yield f"{label}: no such operation"
            return
        declared = {(parameter["in"], parameter["name"]): parameter for parameter in operation.get("parameters", [])}
        for name, text in request.query.items():
            if ("query", name) not in declared:
                yield f"{label}: query parameter {name} is not declared"
            else:
                schema = {key: value for key, value in declared["query", name].items() if key in ("type", "enum")}
                yield from self._check(f"{label}?{name}", _from_query(text, schema["type"]), schema)
        files = {name for place, name in declared if place == "formData"}
        bodies = [parameter for (place, _), parameter in declared.items() if place == "body"]
        if files:
            missing = files - (request.body or {}).keys()
            yield from (f"{label}: form field {name} is missing" for name in missing)
        elif bodies:
            yield from self._check(f"{label} request", request.body, bodies[0]["schema"])
        elif request.body is not None:
            yield f"{label}: takes no body"

    def check_answer(self, request: Request, status: int, answer: Json) -> Iterator[str]:
        """What is wrong with the body of an answer."""
        if operation := self._operation(request):
            responses = operation["responses"]
            schema = responses.get(str(status), responses["default"])["schema"]
            yield from self._check(f"{request.method} {request.path} answer {status}", answer, schema)

    def _operation(self, request: Request) -> Json | None:
        for method, pattern, operation in self._operations:
            if method == request.method and pattern.fullmatch(request.path):
                return operation  # type: ignore[no-any-return]
        return None

    def _check(self, label: str, value: Any, schema: Json) -> Iterable[str]:
        # Draft 4 ignores what stands beside a $ref, so the definitions need a schema of their own around it.
        around = {"allOf": [_as_json_schema(schema)], "definitions": self._definitions}
        for error in Draft4Validator(around, format_checker=self._formats).iter_errors(value):
            yield f"{label}: {error.json_path}: {error.message}"


def _as_json_schema(schema: Any) -> Any:
    """OpenAPI 2.0 as JSON Schema, where an object has no keys but the declared ones and an int64 may be a string."""
    if isinstance(schema, list):
        return [_as_json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    converted = {key: _as_json_schema(value) for key, value in schema.items()}
    if isinstance(converted.get("properties"), dict):
        converted.setdefault("additionalProperties", False)
    if converted.get("format") == "int64":
        converted["type"] = ["string", "integer"]
    return converted


def _from_query(text: str, kind: str) -> Any:
    """The number or truth value that a query parameter spells, or its text."""
    spelled = {"integer": r"-?\d+", "boolean": "true|false"}.get(kind)
    return json.loads(text) if spelled and re.fullmatch(spelled, text) else text
