"""Files and folders that appear whole or not at all."""

import os
import shutil
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from errno import EISDIR
from pathlib import Path
from typing import Any

import pytest

from graftwork import storage
from graftwork.errors import UserError
from graftwork.storage import whole


def fill(place: Path, content: str) -> None:
    (place / "content" if place.is_dir() else place).write_text(content)


def content(place: Path) -> str:
    return (place / "content" if place.is_dir() else place).read_text()


either = pytest.mark.parametrize("write", [whole.file, whole.folder])
Write = Callable[[Path], AbstractContextManager[Path]]


@either
def test_it_appears_when_the_block_ends(write: Write, tmp_path: Path) -> None:
    target = tmp_path / "below" / "target.keras"
    with write(target) as place:
        fill(place, "new")
        assert not target.exists()
    assert content(target) == "new"
    assert list(target.parent.iterdir()) == [target]


@either
def test_it_takes_the_place_of_an_older_one_with_all_that_was_in_it(write: Write, tmp_path: Path) -> None:
    for text in ("old", "new"):
        with write(tmp_path / "target") as place:
            fill(place, text)
            if text == "old" and place.is_dir():
                (place / "more").touch()
    assert content(tmp_path / "target") == "new"
    assert [path.name for path in tmp_path.rglob("*")] in (["target"], ["target", "content"])


@either
@pytest.mark.parametrize("older", [True, False])
def test_an_error_in_the_block_leaves_everything_as_it_was(write: Write, older: bool, tmp_path: Path) -> None:
    if older:
        with write(tmp_path / "target") as place:
            fill(place, "old")
    with pytest.raises(UnicodeEncodeError), write(tmp_path / "target") as place:
        fill(place, "new" + "\ud800")
    assert [path.name for path in tmp_path.iterdir()] == ["target"] * older
    assert not older or content(tmp_path / "target") == "old"


def test_a_folder_that_cannot_take_its_place_leaves_the_older_one_there(tmp_path: Path) -> None:
    with whole.folder(tmp_path / "target") as place:
        fill(place, "old")
    with pytest.raises(FileNotFoundError), whole.folder(tmp_path / "target") as place:
        shutil.rmtree(place)
    assert content(tmp_path / "target") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_folder_does_not_take_the_place_of_a_file(tmp_path: Path) -> None:
    fill(tmp_path / "target", "mine")
    with pytest.raises(NotADirectoryError, match="target"), whole.folder(tmp_path / "target"):
        pass
    assert content(tmp_path / "target") == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_link_to_a_folder_is_replaced_and_what_it_points_to_stays(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    fill(tmp_path / "elsewhere", "old")
    (tmp_path / "target").symlink_to("elsewhere")
    with whole.folder(tmp_path / "target") as place:
        fill(place, "new")
    assert not (tmp_path / "target").is_symlink()
    assert [content(tmp_path / name) for name in ("target", "elsewhere")] == ["new", "old"]


def test_a_file_that_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for target, error in ((tmp_path, IsADirectoryError), (tmp_path / "file/below", FileExistsError)):
        with pytest.raises(error), whole.file(target):
            pytest.fail("the work has begun")


def test_a_file_being_written_has_the_suffix_it_will_have_and_no_listing_shows_it(tmp_path: Path) -> None:
    with whole.file(tmp_path / "model.keras") as place:
        fill(place, "new")
        assert place.suffix == ".keras"
        assert list(storage.walk(str(tmp_path))) == []


@either
def test_what_is_written_has_the_usual_permissions(write: Write, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with write(tmp_path / "target") as place:
        fill(place, "new")
    usual = tmp_path / ("folder" if (tmp_path / "target").is_dir() else "file")
    assert (tmp_path / "target").stat().st_mode == usual.stat().st_mode


def test_threads_that_write_the_same_file_do_not_meet(tmp_path: Path) -> None:
    meeting = threading.Barrier(8)

    def write(number: int) -> None:
        with whole.file(tmp_path / "target") as place:
            fill(place, str(number) * 100)
            meeting.wait()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(content(tmp_path / "target"))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


@pytest.mark.parametrize("do", [lambda uri: storage.write(uri, b""), lambda uri: storage.upload(Path(__file__), uri)])
def test_what_cannot_be_written_is_an_error_in_plain_words(do: Callable[[str], Any], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for uri, reason in (
        (str(tmp_path), os.strerror(EISDIR)),
        (f"{tmp_path}/file/below", "File exists"),
        ("a/", "a folder"),
    ):
        with pytest.raises(UserError, match=rf"the file cannot be written[\s\S]*{reason}"):
            do(uri)
