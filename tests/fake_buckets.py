"""Google Cloud Storage in this process: its JSON protocol over HTTP, with generations and their preconditions.

What the emulator from PyPI leaves out and a registry needs: ifGenerationMatch is enforced, on uploads and on deletes,
atomically; a download may name a generation. `on_write` is told of every write, before it is done and after it.
`faults` are what the next requests get for an answer: a status, "dropped" for a connection that is closed, "cut" for a
download of which half arrives.
"""

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from graftwork.storage import buckets

PAGE = 50


class FakeBuckets:
    """Every bucket exists; they are empty at first."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], tuple[int, bytes]] = {}
        self.on_write: Callable[[str], None] = lambda moment: None
        self.faults: list[int | str] = []
        self.lock = threading.Lock()
        self.uploads: dict[str, tuple[str, dict[str, str], bytearray]] = {}
        self.numbers = itertools.count(1_700_000_000_000_001)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.buckets = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def names(self, prefix: str = "") -> list[str]:
        return sorted(name for _, name in self.objects if name.startswith(prefix))

    def put(self, bucket: str, name: str, parameters: dict[str, str], content: bytes) -> dict[str, Any] | None:
        """Write an object and return its metadata, or None if the precondition does not hold."""
        self.on_write("before")
        with self.lock:
            if not self._as_expected(bucket, name, parameters):
                return None
            self.objects[bucket, name] = (next(self.numbers), content)
            written = self.metadata(bucket, name)
        self.on_write("after")
        return written

    def delete(self, bucket: str, name: str, parameters: dict[str, str]) -> int:
        self.on_write("before")
        with self.lock:
            if (bucket, name) not in self.objects:
                return 404
            if not self._as_expected(bucket, name, parameters):
                return 412
            del self.objects[bucket, name]
        self.on_write("after")
        return 204

    def metadata(self, bucket: str, name: str) -> dict[str, Any]:
        generation, content = self.objects[bucket, name]
        return {
            "kind": "storage#object",
            "bucket": bucket,
            "name": name,
            "generation": str(generation),
            "metageneration": "1",
            "size": str(len(content)),
        }

    def _as_expected(self, bucket: str, name: str, parameters: dict[str, str]) -> bool:
        expected = parameters.get("ifGenerationMatch")
        return expected is None or int(expected) == self.objects.get((bucket, name), (0, b""))[0]


@contextmanager
def fake_buckets() -> Iterator[FakeBuckets]:
    """Run the server, and let Google's client in this process and its children talk to it."""
    server, patch = FakeBuckets(), pytest.MonkeyPatch()
    patch.setenv("STORAGE_EMULATOR_HOST", server.url)
    buckets.client.cache_clear()
    try:
        yield server
    finally:
        patch.undo()
        buckets.client.cache_clear()
        server.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    buckets: FakeBuckets

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are written apart
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        faults = self.server.buckets.faults
        if not faults or (faults[0] == "cut" and "alt=media" not in self.path):
            return True
        self.close_connection = True
        fault = faults.pop(0)
        self._body()
        if isinstance(fault, int):
            self._answer(fault)
        elif fault == "cut":
            content = self.server.buckets.objects[self._asked()[0], str(self._asked()[1])][1]
            self._send(200, content[: len(content) // 2], {"Content-Length": str(len(content))})
        return False

    def do_GET(self) -> None:
        bucket, name, parameters, there = self._asked()
        if name is None:
            self._list(bucket, parameters)
            return
        with there.lock:
            found = there.objects.get((bucket, name))
            metadata = there.metadata(bucket, name) if found else None
        if found is None or ("generation" in parameters and int(parameters["generation"]) != found[0]):
            self._answer(404)
        elif parameters.get("alt") == "media":
            self._send_content(found[1])
        else:
            self._answer(200, metadata)

    def _send_content(self, content: bytes) -> None:
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        kind = {"Content-Type": "application/octet-stream"}
        if start:  # a client goes on where a connection was lost
            there = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._send(206, content[start:], {**kind, "Content-Range": there})
        else:
            self._send(200, content, kind)

    def do_POST(self) -> None:
        bucket, name, parameters, there = self._asked()
        body = self._body()
        if parameters["uploadType"] == "resumable":
            upload = str(next(there.numbers))
            name = name or parameters.get("name") or json.loads(body)["name"]
            there.uploads[upload] = (name, parameters, bytearray())
            self._send(200, b"", {"Location": f"{there.url}/upload/storage/v1/b/{bucket}/o?upload_id={upload}"})
            return
        boundary = self.headers["Content-Type"].partition("boundary=")[2].strip("\"'").encode()
        _, described, content = body.split(b"--" + boundary, 2)
        metadata = json.loads(described.partition(b"\r\n\r\n")[2])
        content = content.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--" + boundary)[0]
        self._written(there.put(bucket, metadata["name"], parameters, content))

    def do_PUT(self) -> None:
        bucket, _, parameters, there = self._asked()
        name, given, content = there.uploads[parameters["upload_id"]]
        content += self._body()
        total = self.headers["Content-Range"].rpartition("/")[2]
        if total == "*" or len(content) < int(total):
            self._send(308, b"", {"Range": f"bytes=0-{len(content) - 1}"})
            return
        self._written(there.put(bucket, name, given, bytes(content)))

    def do_DELETE(self) -> None:
        bucket, name, parameters, there = self._asked()
        self._answer(there.delete(bucket, str(name), parameters))

    def _list(self, bucket: str, parameters: dict[str, str]) -> None:
        there, start = self.server.buckets, int(parameters.get("pageToken", 0))
        with there.lock:
            inside = sorted(name for in_, name in there.objects if in_ == bucket)
            names = [name for name in inside if name.startswith(parameters.get("prefix", ""))]
            items = [there.metadata(bucket, name) for name in names[start : start + PAGE]]
        more = {"nextPageToken": str(start + PAGE)} if start + PAGE < len(names) else {}
        self._answer(200, {"kind": "storage#objects", "items": items, **more})

    def _written(self, metadata: dict[str, Any] | None) -> None:
        self._answer(412 if metadata is None else 200, metadata)

    def _asked(self) -> tuple[str, str | None, dict[str, str], FakeBuckets]:
        address = urlsplit(self.path)
        _, _, rest = address.path.partition("/b/")
        bucket, _, rest = rest.partition("/o")
        return bucket, unquote(rest[1:]) or None, dict(parse_qsl(address.query)), self.server.buckets

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return content
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, content: dict[str, Any] | None = None) -> None:
        if status >= 400:
            said = {404: "not there", 412: "conditionNotMet"}.get(status, "out of order")
            content = {"error": {"code": status, "message": said}}
        body = json.dumps(content).encode() if content else b""
        self._send(status, body, {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)
