"""The steps of a local run in containers, by any engine that speaks Docker's API.

KFP's DockerRunner starts them; how a container runs and ends is ours. KFP's own way removes a container when it ends,
and takes one that ended too soon to be asked for its exit code for a success.
"""

import codecs
import os
import secrets
import signal
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from graftwork import storage
from graftwork._version import __version__
from graftwork.data import sources
from graftwork.errors import UserError
from graftwork.reporting import progress
from graftwork.running import kfp_internals

Mounts = Iterable[str | os.PathLike[str]]
"""Files and folders that containers may read, besides the data and the base model."""

_LABEL = "graftwork.run"
_VERSION_LABEL = "org.opencontainers.image.version"
_KILLED = 137
_PASSED_ON = ("GOOGLE_CLOUD_PROJECT", "STORAGE_EMULATOR_HOST", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"
_SIGNED_IN = ".config/gcloud/application_default_credentials.json"


@contextmanager
def runner(
    image: str, root: Path, parameters: Mapping[str, Any], environment: Mapping[str, str], mounts: Mounts
) -> Iterator[Any]:
    """Yield a KFP runner whose containers see the data, the base model and the steps' outputs where they lie here.

    Steps run as the user who runs this, on a root file system that is read-only, with all GPUs the engine offers. No
    container is left behind, not by Ctrl-C either.

    Args:
        image: In which every step runs.
        root: Where the steps' outputs go; made if it is not there.
        parameters: Of the pipeline, as `seen_from_containers` gives them.
        environment: Variables that every step gets.
        mounts: More files and folders that the steps may read, such as images to which a table points.

    Raises:
        UserError: No engine answers, it has no such image, the image holds another version of graftwork, or there is
            nothing to mount.
    """
    engine, root = _engine(), root.absolute()
    try:
        _check(engine, image)
        from kfp import local

        binds, found = _binds(parameters, mounts)
        root.mkdir(parents=True, exist_ok=True)  # else the engine makes it, as its own user
        running = _Containers(engine)
        # Temporary files go to the disk: a table or a base model that is fetched first may be large.
        with (
            kfp_internals.replaced(kfp_internals.CONTAINER, running.run),
            tempfile.TemporaryDirectory(prefix=".scratch-", dir=root, ignore_cleanup_errors=True) as scratch,
            running.none_left_behind(),
        ):
            own = {"TMPDIR": scratch, "HOME": scratch, progress.FOLDER_VARIABLE: scratch}
            yield local.DockerRunner(
                environment={**environment, **found, **own},
                mounts=binds,
                labels={_LABEL: running.label},
                read_only=True,
                tmpfs={"/tmp": ""},
                **_fitting(engine.info()),
            )
    finally:
        engine.close()


def seen_from_containers(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with the paths of what is there made absolute: a container's folder is another one."""
    here = {name: uri for name, uri in _sources(parameters).items() if _is_here(uri)} | _targets(parameters)
    return {**parameters, **{name: str(Path(uri).absolute()) for name, uri in here.items()}}


class _Containers:
    """The containers of one run."""

    def __init__(self, engine: Any) -> None:
        self.label = secrets.token_hex(8)
        self._engine = engine
        self._stopped = False

    def run(self, client: Any, image: str, command: list[str], volumes: dict[str, Any], **options: Any) -> int:
        """Run a command to its end, print what it says line by line, and return its exit code."""
        if self._stopped:
            raise RuntimeError("the run was stopped")
        # As the entry point, which is what a command is in Kubernetes.
        container = client.containers.create(image, entrypoint=command, volumes=volumes, **options)
        try:
            # Before it starts: to follow the log of a container that ends at once can wait for an end that is past.
            output = container.attach(stdout=True, stderr=True, stream=True)
            container.start()
            for line in _lines(output):
                print(line, end="")
            code = int(container.wait()["StatusCode"])
            if code == _KILLED:
                container.reload()
                out_of_memory = container.attrs["State"].get("OOMKilled")
                print("the container was killed" + (": it needs more memory" if out_of_memory else "") + "\n", end="")
            return code
        finally:
            _remove(container)

    @contextmanager
    def none_left_behind(self) -> Iterator[None]:
        """End every container when the block ends, and on SIGINT and SIGTERM, which reach only this process."""

        def stop(number: int, _: FrameType | None) -> None:
            self._stopped = True
            self._remove_all()  # threads that wait for a container go on
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            raise SystemExit(128 + number)

        before = {}
        if threading.current_thread() is threading.main_thread():
            before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._remove_all()

    def _remove_all(self) -> None:
        label = {"label": f"{_LABEL}={self.label}"}
        for container in self._engine.containers.list(all=True, filters=label, ignore_removed=True):
            _remove(container)


def _remove(container: Any) -> None:
    from docker.errors import APIError

    with suppress(APIError):  # it is gone, or about to be: whoever waits for it removes it, and so does Ctrl-C
        container.remove(force=True)


def _engine() -> Any:
    try:
        import docker
    except ImportError:
        next = 'pip install "graftwork[docker]"'
        raise UserError("running in containers needs the package docker", next=next) from None
    address = {"DOCKER_HOST": os.environ.get("DOCKER_HOST") or "not set: the default socket"}
    try:
        engine = docker.from_env()
        engine.ping()
    except docker.errors.DockerException as error:
        next = "start Docker or Podman's service, or point DOCKER_HOST to one that runs"
        raise UserError("no container engine answers", {**address, "reason": _short(error)}, next) from None
    return engine


def _check(engine: Any, image: str) -> None:
    """Fetch the image if it is to be had, and make sure that it is of this version."""
    from docker.errors import DockerException, ImageNotFound

    try:
        try:
            found = engine.images.get(image)
        except ImageNotFound:
            if "/" not in image:  # a name without a registry is that of an image built here
                raise
            print(f"pulling {image}", file=sys.stderr)
            found = engine.images.pull(image, tag=None if ":" in image.rpartition("/")[2] else "latest")
    except DockerException as error:
        next = ["build it, in a clone of graftwork:  make image", "or name one:  --image REGISTRY/IMAGE:TAG"]
        raise UserError("the container image is not there", {"image": image, "reason": _short(error)}, next) from None
    version = (found.labels or {}).get(_VERSION_LABEL)
    if version and version != __version__:
        facts = {"image": image, "holds": f"graftwork {version}", "expected": f"graftwork {__version__}"}
        raise UserError("the container image holds another version", facts, "make image")


def _binds(parameters: Mapping[str, Any], mounts: Mounts) -> tuple[list[Any], dict[str, str]]:
    """Return what the steps may see of this machine, and the environment variables that go with it."""
    readable, written = set(), set()
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    for mount in mounts:
        if not Path(mount).exists():
            raise UserError("what should be mounted does not exist", {"--mount": mount})
        readable.add(Path(mount).absolute())
    given, targets = _sources(parameters), _targets(parameters)
    for name, uri in targets.items():
        folder = Path(uri) if name == "registry" else Path(uri).parent
        folder.mkdir(parents=True, exist_ok=True)  # else the engine makes it, as its own user
        written.add(folder)
    # A table's images lie around it.
    around = {uri: storage.parent(uri) if sources.is_table(uri) else uri for uri in given.values()}
    readable |= {Path(folder) for uri, folder in around.items() if _is_here(uri)}
    if any(map(storage.is_remote, [*given.values(), parameters.get("registry", "")])):
        credentials = Path(os.environ.get(_CREDENTIALS) or Path.home() / _SIGNED_IN).absolute()
        if credentials.exists():
            readable.add(credentials)
            environment[_CREDENTIALS] = str(credentials)
    base_model = given.get("base_model", "")
    if base_model and not storage.is_remote(base_model) and not _is_here(base_model):  # a keras.applications name
        cache = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras").absolute()
        cache.mkdir(parents=True, exist_ok=True)
        written.add(cache)
        environment["KERAS_HOME"] = str(cache)
    return [_bind(path) for path in sorted(readable)] + [_bind(path, read_only=False) for path in written], environment


def _sources(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return those parameters that say where something to read is."""
    return {name: parameters[name] for name in ("data", "base_model", "custom_objects") if parameters.get(name)}


def _targets(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return those parameters that say where on this machine something is to be written."""
    given = {name: str(parameters.get(name) or "") for name in ("registry", "notify")}
    return {name: uri for name, uri in given.items() if uri and "://" not in uri}


def _is_here(uri: str) -> bool:
    return not storage.is_remote(uri) and Path(uri).exists()


def _fitting(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that depend on the engine, from what it says of itself."""
    from docker.types import DeviceRequest

    security = {entry.partition(",")[0] for entry in info.get("SecurityOptions") or []}
    # Without root, the engine's root is the user. Else files must not end up with the engine's root.
    options: dict[str, Any] = {"user": "0:0" if "name=rootless" in security else f"{os.getuid()}:{os.getgid()}"}
    if "name=userns" in security:
        options["userns_mode"] = "host"
    if "name=selinux" in security:
        options["security_opt"] = ["label=disable"]  # labels would be written onto the user's own files
    if "nvidia" in (info.get("Runtimes") or {}):
        options["device_requests"] = [DeviceRequest(count=-1, capabilities=[["gpu"]])]
    return options


def _bind(path: Path, read_only: bool = True) -> Any:
    from docker.types import Mount

    return Mount(target=str(path), source=str(path), type="bind", read_only=read_only)


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield whole lines of text; chunks end anywhere, within a character too."""
    pending = ""
    for text in codecs.iterdecode(chunks, "utf-8", "replace"):
        *whole, pending = (pending + text).split("\n")
        yield from (line + "\n" for line in whole)
    if pending:
        yield pending + "\n"


def _short(error: Exception) -> str:
    return " ".join(str(getattr(error, "explanation", None) or error).split())[:200]
