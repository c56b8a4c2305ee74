"""The part of Kubernetes' API that lists pods, over real HTTP, spoken to by the real client."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import yaml


class FakeCluster:
    """A Kubernetes with one namespace, from `with` to the end of the block."""

    def __init__(self, *, forbidden: bool = False) -> None:
        self._pods: dict[str, dict[str, Any]] = {}
        self._forbidden = forbidden
        self.asked: list[dict[str, list[str]]] = []

    def __enter__(self) -> Self:
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = parse_qs(url.query)
                cluster.asked.append(query)
                run = query.get("labelSelector", [""])[0].partition("=")[2]
                pods = [pod for pod in cluster._pods.values() if pod["metadata"]["labels"]["pipeline/runid"] == run]
                status, answer = 200, {"kind": "PodList", "apiVersion": "v1", "items": pods}
                if cluster._forbidden:
                    status, answer = 403, {"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403}
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Tests have `asked` to look at."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def configuration(self, folder: Path) -> Path:
        """Write the configuration that leads here."""
        file = folder / "kubeconfig"
        server = f"http://127.0.0.1:{self._server.server_port}"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": {"server": server}}],
            "users": [{"name": "somebody", "user": {"token": "secret"}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "somebody"}}],
            "current-context": "fake",
        }
        file.write_text(yaml.safe_dump(content))
        return file

    def pending(
        self, run_id: str, node_id: str, *, unschedulable: str = "", waiting: str = "", message: str = ""
    ) -> None:
        """Let a pod wait: for a node, in the scheduler's words, or for its container, in the kubelet's."""
        status: dict[str, Any] = {"phase": "Pending"}
        if unschedulable:
            scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": unschedulable}
            status["conditions"] = [scheduled]
        if waiting:
            state = {"waiting": {"reason": waiting, **({"message": message} if message else {})}}
            container = {"name": "main", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": state}
            status["containerStatuses"] = [container]
        labels, annotations = {"pipeline/runid": run_id}, {"workflows.argoproj.io/node-id": node_id}
        metadata = {"name": f"pod-{node_id}", "labels": labels, "annotations": annotations}
        spec = {"containers": [{"name": "main", "image": "i"}]}
        self._pods[node_id] = {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": status}
