"""The results of a run on Kubeflow brought to this machine: the selected model, its metrics and the report.

Where a step has put them stands in its log. A bucket of Google's is read with the user's own credentials; of any other
store, Kubeflow's interface hands out files to whom it lets in, one by one. It does not hand out folders: which files
are in the model's, and what they hold, the step has said in its log.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import kfp_server_api
import urllib3

from graftwork import storage
from graftwork.artifacts import digests
from graftwork.errors import UserError, in_one_line
from graftwork.kubeflow.connection import Kubeflow
from graftwork.kubeflow.logs import NoLogError, Reader
from graftwork.kubeflow.step_logs import log_of, made_by, node_of
from graftwork.storage import whole

MODEL, REPORT, METRICS = "model", "report", "metrics"
EVERYTHING: Sequence[str] = (MODEL, REPORT, METRICS)
_MADE_BY = {MODEL: "select_model", REPORT: "evaluate", METRICS: "select_model"}
_NAMES = {MODEL: "model", REPORT: "report.html", METRICS: "metrics.json"}
"""As a run on this machine calls them in its output folder."""
_PIECE = 1 << 20
_SOURCES = {"gs": "gcs", "s3": "s3", "minio": "minio"}
"""What Kubeflow's interface calls the stores."""


def fetch(kubeflow: Kubeflow, run_id: str, folder: Path, what: Sequence[str] = EVERYTHING) -> list[Path]:
    """Fetch results of a run into a folder, in which they lie as after a run on this machine.

    Args:
        kubeflow: The server.
        run_id: Which run.
        folder: Where to; it is made if it is not there, and what it has of the same names is replaced.
        what: Any of MODEL, REPORT and METRICS.

    Returns:
        The files, and the model's folder, in the order asked for.

    Raises:
        UserError: The run has no such result, its step's log is gone, or the store cannot be reached.
    """
    run = kubeflow.run(run_id)
    said = {step: _log_of(kubeflow, run, step) for step in dict.fromkeys(_MADE_BY[name] for name in what)}
    fetched = []
    for name in what:
        reader = said[_MADE_BY[name]]
        uri = reader.artifacts().get(name, "")
        files = reader.results.get("files", {}).get(name)
        if not uri or files is None:
            problem = f"the log of {_MADE_BY[name]} does not say where the {name} is"
            raise UserError(problem, {"run": kubeflow.link_to_run(run_id)}, _at_hand(uri))
        target = folder / _NAMES[name]
        try:
            _fetch(kubeflow, uri, files, target)
        except (KeyError, TypeError):  # of another version, or cut off
            problem = f"the log of {_MADE_BY[name]} does not say what is in the {name}"
            raise UserError(problem, {"run": kubeflow.link_to_run(run_id)}, _at_hand(uri)) from None
        fetched.append(target)
    return fetched


def _fetch(kubeflow: Kubeflow, uri: str, files: Any, target: Path) -> None:
    """Fetch a file, or the files of a folder."""
    if isinstance(files, list):
        with whole.folder(target) as scratch:
            for file in files:
                _fetch_file(kubeflow, uri, file["path"], file, _below(scratch, file["path"]))
    else:
        with whole.file(target) as scratch:
            _fetch_file(kubeflow, uri, "", files, scratch)


def _log_of(kubeflow: Kubeflow, run: Any, step: str) -> Reader:
    """Return what is known from the log of a step that has succeeded, in this run or in the one that it repeats."""
    facts = {"run": kubeflow.link_to_run(run.run_id), "state": str(run.state).lower()}
    node = node_of(run, step)
    if node is None:
        raise UserError(f"the step {step} has not succeeded in this run, so there is nothing to fetch", facts)
    if node.cached:
        made = made_by(kubeflow, run, step)
        if made is None:
            problem = f"the results of {step} came from the cache: they lie with the run that made them"
            next = ["run it anew:  graftwork submit ... --no-cache", "or fetch that run"]
            raise UserError(problem, facts, next)
        return _log_of(kubeflow, made, step)
    try:
        return log_of(kubeflow, run, node)
    except NoLogError as error:
        problem = f"the log of {step}, which says where its results lie, cannot be read"
        next = ["the address of Kubeflow's interface:  --host"]
        raise UserError(problem, {**facts, "reason": error}, next) from None


def _at_hand(uri: str) -> list[str]:
    return [f"it is here:  {uri}"] if uri else ["open the run's page: its outputs are named there"]


def _below(folder: Path, path: str) -> Path:
    """Return a file's place in a folder; a log that names one outside is not believed."""
    target = (folder / path).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise UserError("the log names a file outside of the model's folder", {"file": path})
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _fetch_file(kubeflow: Kubeflow, uri: str, name: str, expected: Mapping[str, Any], target: Path) -> None:
    place, _, _ = uri.partition("?")  # of a store that needs some, as in s3://bucket/key?region=eu
    place = f"{place}/{name}" if name else place
    if place.startswith("gs://"):
        with storage.fetched(place) as copy:
            shutil.copyfile(copy, target)
    else:
        _through_interface(kubeflow, place, target)
    came = digests.of_file(target)
    if came["sha256"] != expected["sha256"]:
        sizes = {"bytes": came["bytes"], "expected": expected["bytes"]}
        next = ["try again", "if a page to log in has come instead, sign in anew:  --token-file, KF_PIPELINES_COOKIE"]
        raise UserError("what came is not what the step has written", {"file": place, **sizes}, next)


def _through_interface(kubeflow: Kubeflow, uri: str, target: Path) -> None:
    """Fetch a file from the artifact store through Kubeflow's interface, which has the credentials for it."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    source = _SOURCES.get(scheme)
    facts = {"file": uri, "host": kubeflow.where}
    if source is None:
        raise UserError(f"nothing is known about stores of the kind {scheme}://", facts, _at_hand(uri))
    query = {"source": source, "namespace": kubeflow.runs_in, "bucket": bucket, "key": key}
    try:
        answer = kubeflow.get("/artifacts/get", query)
        with target.open("wb") as file:
            for piece in answer.stream(_PIECE, decode_content=True):
                file.write(piece)
    except kfp_server_api.ApiException as error:
        raise UserError(
            "Kubeflow does not hand out the file",
            {**facts, "answer": f"{error.status} {in_one_line(error.body or error.reason)}"},
            next=[
                "the API alone has no files: give the address of the interface (service ml-pipeline-ui):  --host",
                f"or copy it with the store's own tools:  {uri}",
            ],
        ) from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise UserError("the file could not be fetched", {**facts, "reason": in_one_line(error)}, "try again") from None
