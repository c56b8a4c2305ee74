"""Local files and Google Cloud Storage, the latter through an emulator that speaks its protocol."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from graftwork import storage
from graftwork.components.fingerprint_source.fingerprint import fingerprint_data, fingerprint_model
from graftwork.components.load_base_model.load import load_base_model
from graftwork.config import PrepareConfig
from graftwork.data import sources
from graftwork.data.threads import map_in_order
from graftwork.errors import UserError
from graftwork.storage import buckets

from images_on_disk import prepare_source, write_photos


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory, base_file: Path) -> Iterator[str]:
    """A bucket with photos/, photos.csv and base.keras."""
    from gcp_storage_emulator.server import create_server
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage as cloud

    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    server = create_server("localhost", port, in_memory=True, default_bucket="pictures")
    server.start()
    patch = pytest.MonkeyPatch()
    patch.setenv("STORAGE_EMULATOR_HOST", f"http://localhost:{port}")
    buckets.client.cache_clear()
    try:
        client = cloud.Client(project="emulator", credentials=AnonymousCredentials())
        photos = write_photos(tmp_path_factory.mktemp("cloud") / "photos")
        for file in photos.rglob("*.png"):
            client.bucket("pictures").blob(f"photos/{file.relative_to(photos)}").upload_from_filename(str(file))
        rows = [(f"photos/{file.relative_to(photos)}", file.parent.name) for file in sorted(photos.rglob("*.png"))]
        table = pd.DataFrame(rows, columns=["image", "label"]).to_csv(index=False)
        client.bucket("pictures").blob("photos.csv").upload_from_string(table)
        client.bucket("pictures").blob("base.keras").upload_from_filename(str(base_file))
        yield "gs://pictures"
    finally:
        server.stop()
        patch.undo()
        buckets.client.cache_clear()


def test_a_folder_in_a_bucket_is_prepared_like_one_on_disk(bucket: str, tmp_path: Path) -> None:
    remote = prepare_source(f"{bucket}/photos", tmp_path / "remote", PrepareConfig())
    local = prepare_source(str(write_photos(tmp_path / "photos")), tmp_path / "local", PrepareConfig())
    assert remote.fingerprint == local.fingerprint


def test_a_table_in_a_bucket_names_images_relative_to_itself(bucket: str, tmp_path: Path) -> None:
    folder = prepare_source(f"{bucket}/photos", tmp_path / "folder", PrepareConfig())
    table = prepare_source(f"{bucket}/photos.csv", tmp_path / "table", PrepareConfig())
    assert table.fingerprint == folder.fingerprint


def test_a_base_model_in_a_bucket(bucket: str, base_file: Path, tmp_path: Path) -> None:
    remote = load_base_model(f"{bucket}/base.keras", tmp_path / "remote")
    local = load_base_model(str(base_file), tmp_path / "local")
    assert remote.description["base"]["sha256"] == local.description["base"]["sha256"]
    assert remote.description["base"]["uri"] == f"{bucket}/base.keras"


def test_fingerprints_follow_the_bucket(bucket: str) -> None:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage as cloud

    before = fingerprint_data(f"{bucket}/photos"), fingerprint_data(f"{bucket}/photos.csv")
    assert before == (fingerprint_data(f"{bucket}/photos"), fingerprint_data(f"{bucket}/photos.csv"))
    blob = (
        cloud.Client(project="emulator", credentials=AnonymousCredentials()).bucket("pictures").blob("photos/new/1.png")
    )
    blob.upload_from_string(b"x")
    assert fingerprint_data(f"{bucket}/photos") != before[0]
    assert fingerprint_data(f"{bucket}/photos.csv") == before[1]  # the table does not name it
    blob.delete()
    assert len(fingerprint_model(f"{bucket}/base.keras")) == 64


def test_what_is_not_in_the_bucket_is_an_error(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no images"):
        list(sources.rows(f"{bucket}/nothing"))
    with pytest.raises(UserError, match="base model does not exist"):
        fingerprint_model(f"{bucket}/nothing.keras")
    with pytest.raises(UserError, match="nothing is there"):
        storage.local_copy(f"{bucket}/nothing.keras", tmp_path)


def test_other_schemes_are_refused() -> None:
    with pytest.raises(UserError, match=r"s3:// is not supported[\s\S]*gs://"):
        storage.is_remote("s3://bucket/name")


def test_results_come_in_order_and_a_bounded_number_is_begun_ahead() -> None:
    begun = []

    def numbers() -> Iterator[int]:
        for number in range(500):
            begun.append(number)
            yield number

    for number, result in enumerate(map_in_order(lambda item: 2 * item, numbers(), workers=3)):
        assert result == 2 * number
        assert len(begun) - number < 20


def test_an_error_in_one_item_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        list(map_in_order(lambda item: 1 / item, [2, 1, 0]))


def test_local_files_need_no_client_of_a_bucket(tmp_path: Path) -> None:
    """Its import takes longer than reading a file."""
    script = f"""
import sys
from graftwork import storage
storage.write({str(tmp_path / "file")!r}, b"content")
assert storage.read(next(storage.walk({str(tmp_path)!r})).uri) == b"content"
assert not [name for name in sys.modules if name.startswith(("google.cloud", "google.api_core", "requests"))]
"""
    subprocess.run([sys.executable, "-c", script], check=True)
