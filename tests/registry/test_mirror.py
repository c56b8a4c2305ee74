"""Kubeflow Model Registry follows: through its own client, against a server that speaks its protocol."""

import itertools
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from graftwork.components.report_outcome.step import run as report_outcome
from graftwork.errors import UserError
from graftwork.registry.mirror import follow
from graftwork.registry.registry import Author, Registry

from exported_models import ANN, register

PREFIX = "/api/model_registry/"


class Service:
    """Holds registered models, versions and artifacts, as many of its API's verbs as a client of models needs."""

    def __init__(self) -> None:
        self.models: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, dict[str, Any]] = {}
        self.artifacts: dict[str, list[dict[str, Any]]] = {}
        self.writes = 0
        self.ids = itertools.count(1)

    def answer(self, verb: str, parts: list[str], query: dict[str, str], body: Any) -> Any:
        if verb != "GET":
            self.writes += 1
        match verb, parts:
            case "GET", ["registered_models"]:
                return self._list(self.models.values())
            case "GET", ["registered_model"]:
                return next((model for model in self.models.values() if model["name"] == query["name"]), None)
            case "POST", ["registered_models"]:
                return self._new(self.models, body)
            case "GET", ["registered_models", model, "versions"]:
                return self._list(v for v in self.versions.values() if v["registeredModelId"] == model)
            case "GET", ["model_version"]:
                named = (v for v in self.versions.values() if v["name"] == query["name"])
                return next((v for v in named if v["registeredModelId"] == query["parentResourceId"]), None)
            case "POST", ["registered_models", model, "versions"]:
                return self._new(self.versions, {**body, "registeredModelId": model})
            case "POST", ["model_versions"]:
                return self._new(self.versions, body)
            case "PATCH", ["model_versions", version]:
                self.versions[version].update(body)
                return self.versions[version]
            case "POST", ["model_versions", version, "artifacts"]:
                self.artifacts.setdefault(version, []).append(body)
                return {**body, "id": str(next(self.ids))}
        raise AssertionError(f"{verb} {parts}")

    def _new(self, into: dict[str, dict[str, Any]], body: dict[str, Any]) -> dict[str, Any]:
        number = str(next(self.ids))
        into[number] = {"state": "LIVE", **body, "id": number}
        return into[number]

    @staticmethod
    def _list(items: Any) -> dict[str, Any]:
        found = list(items)
        return {"items": found, "nextPageToken": "", "pageSize": 100, "size": len(found)}


@pytest.fixture
def service() -> Iterator[tuple[str, Service]]:
    held = Service()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            address = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            _, *parts = address.path.removeprefix(PREFIX).split("/")
            found = held.answer(self.command, parts, dict(parse_qsl(address.query)), body)
            content = json.dumps(found if found is not None else {"code": "404", "message": "not found"}).encode()
            self.send_response(404 if found is None else 201 if self.command == "POST" else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = _do  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", held
    server.shutdown()
    server.server_close()


@pytest.mark.filterwarnings("ignore:User access token is missing")
def test_it_says_what_the_registry_says(service: tuple[str, Service], tmp_path: Path) -> None:
    url, held = service
    registry = Registry(str(tmp_path / "models"), "shelf")
    for number, content in enumerate("abc", start=1):
        registry.promote(register(registry, tmp_path, content), number - 1 or None, ANN)
        follow(url, registry, "ann")
    aliases = {v["name"]: v["customProperties"]["alias"]["string_value"] for v in held.versions.values()}
    assert aliases == {"1": "", "2": "previous", "3": "champion"}
    assert [artifact["uri"] for (artifact,) in held.artifacts.values()] == [
        f"{registry.address}/{n}" for n in (1, 2, 3)
    ]
    assert [v["author"] for v in held.versions.values()] == ["ann"] * 3
    registry.rollback(Author("bob"))
    registry.prune(1, ANN)
    follow(url, registry, "ann")
    states = {v["name"]: v["state"] for v in held.versions.values()}
    assert states == {"1": "LIVE", "2": "LIVE", "3": "LIVE"}
    registry.promote(3, 2, ANN)
    registry.prune(1, ANN)
    follow(url, registry, "ann")
    assert {v["name"]: v["state"] for v in held.versions.values()} == {"1": "ARCHIVED", "2": "LIVE", "3": "LIVE"}
    before = held.writes
    follow(url, registry, "ann")
    assert held.writes == before


@pytest.mark.filterwarnings("ignore:User access token is missing")
def test_the_last_step_of_a_retraining_tells_it(service: tuple[str, Service], tmp_path: Path) -> None:
    url, held = service
    registry = Registry(str(tmp_path / "models"), "shelf")
    ended = SimpleNamespace(state="SUCCEEDED", error_message="")
    outcome = SimpleNamespace(path=str(tmp_path / "outcome.json"))
    for told in (0, 1):  # a model that has no version yet, and one that has
        report_outcome(ended, str(tmp_path / "models"), "shelf", "r1", outcome, "", url)
        assert len(held.versions) == told
        registry.promote(register(registry, tmp_path, f"model {told}"), told or None, ANN)


def test_a_service_that_does_not_answer(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "models"), "shelf")
    register(registry, tmp_path, "a")
    with pytest.raises(UserError, match=r"could not be told[\s\S]*the registry itself is right"):
        follow("http://127.0.0.1:9", registry, "ann")
