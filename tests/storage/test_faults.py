"""What becomes of a file on a volume, and of an object in a bucket, when the network is away for a moment."""

import errno
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from graftwork import storage
from graftwork.errors import UserError
from graftwork.storage import faults

from fake_buckets import FakeBuckets, fake_buckets


class Volume:
    """Fails so many times with an error, then does what it should."""

    def __init__(self, *errors: int) -> None:
        self.errors, self.calls = list(errors), 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise OSError(self.errors.pop(0), "away", "/data/photos/1.png")
        return "content"


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let pauses pass at once; return them."""
    pauses: list[float] = []
    now = time.monotonic()
    monkeypatch.setattr(faults.time, "sleep", pauses.append)
    monkeypatch.setattr(faults.time, "monotonic", lambda: now + sum(pauses))
    return pauses


@pytest.fixture
def server() -> Iterator[FakeBuckets]:
    with fake_buckets() as running:
        yield running


@pytest.mark.parametrize("error", [errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EIO])
def test_a_volume_that_comes_back_is_waited_for(error: int, hurried: list[float]) -> None:
    volume = Volume(error, error, error)
    assert faults.retried(volume) == "content"
    assert len(hurried) == 3
    assert hurried[0] < hurried[2] < 2


@pytest.mark.parametrize(("in_a_step", "seconds"), [("true", 120), ("", 30)])
def test_one_that_stays_away_is_named(
    in_a_step: str, seconds: int, hurried: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_KFP_RUNTIME", in_a_step)
    with pytest.raises(UserError, match=r"the volume does not answer[\s\S]*photos/1.png[\s\S]*away"):
        faults.retried(Volume(*[errno.ESTALE] * 1000))
    assert seconds - 15 < sum(hurried) <= seconds


def test_a_disk_that_has_lost_something_is_not_waited_for_long(hurried: list[float]) -> None:
    with pytest.raises(OSError, match="away"):
        faults.retried(Volume(*[errno.EIO] * 1000))
    assert 1 < sum(hurried) <= 15


@pytest.mark.parametrize("error", [errno.ENOENT, errno.EACCES, errno.ENOSPC, errno.EISDIR])
def test_what_does_not_pass_is_not_waited_for(error: int, hurried: list[float]) -> None:
    volume = Volume(error, error)
    with pytest.raises(OSError, match="away"):
        faults.retried(volume)
    assert (volume.calls, hurried) == (1, [])


@pytest.mark.parametrize(
    ("where", "name", "use"),
    [
        (Path, "read_bytes", lambda file: storage.read(str(file))),
        (Path, "stat", lambda file: storage.stat(str(file))),
        (Path, "write_bytes", lambda file: storage.write(str(file), b"content")),
        ("graftwork.storage.local.os", "listdir", lambda file: list(storage.walk(str(file.parent)))),
        ("graftwork.storage.local.shutil", "copyfile", lambda file: storage.upload(file, f"{file}.copy")),
    ],
)
def test_every_use_of_a_file_survives_it(
    where: object,
    name: str,
    use: Callable[[Path], object],
    tmp_path: Path,
    hurried: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    expected = use(file)
    owner = __import__(where.rpartition(".")[2]) if isinstance(where, str) else where
    real, left = getattr(owner, name), [errno.ESTALE, errno.EIO]

    def flaky(*args: object, **kwargs: object) -> object:
        if left and any(str(argument).startswith(str(tmp_path)) for argument in args):
            raise OSError(left.pop(), "away")
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, flaky)
    assert use(file) == expected
    assert (left, len(hurried)) == ([], 2)


@pytest.mark.parametrize("fault", [503, 429, "dropped"])
def test_every_request_to_a_bucket_survives_a_fault(
    fault: int | str, server: FakeBuckets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("google.api_core.retry.retry_unary.time.sleep", lambda seconds: None)
    (tmp_path / "file").write_bytes(b"from a file")
    uses: list[tuple[Callable[[], object], object]] = [
        (lambda: storage.write("gs://b/f/1", b"content"), None),
        (lambda: storage.upload(tmp_path / "file", "gs://b/f/2"), None),
        (lambda: storage.read("gs://b/f/1"), b"content"),
        (lambda: [found.size for found in storage.walk("gs://b/f")], [7, 11]),
        (lambda: storage.stat("gs://b/f/2").size, 11),  # type: ignore[union-attr]
        (lambda: (storage.local_copy("gs://b/f", tmp_path) / "2").read_bytes(), b"from a file"),
    ]
    for use, expected in uses:
        server.faults = [fault, fault]
        assert use() == expected
        assert server.faults == []


def test_half_a_download_is_not_taken_for_the_whole(
    server: FakeBuckets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("google.api_core.retry.retry_unary.time.sleep", lambda seconds: None)
    content = bytes(range(256)) * 4096
    storage.write("gs://b/model", content)
    server.faults = ["cut"]
    assert storage.read("gs://b/model") == content
    server.faults = ["cut"]
    assert storage.local_copy("gs://b/model", tmp_path).read_bytes() == content
    assert server.faults == []
