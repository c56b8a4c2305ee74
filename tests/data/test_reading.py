"""One reader of a row's image, wherever its bytes are."""

from pathlib import Path

from graftwork.data.reading import readable
from graftwork.data.sources import Row

from images_on_disk import write_photos


def test_the_bytes_are_those_of_the_table_or_the_file(tmp_path: Path) -> None:
    file = sorted(write_photos(tmp_path / "photos").rglob("*.png"))[0]
    content = file.read_bytes()
    assert readable(Row(str(file), None)) == readable(Row("table, row 1", None, content=content)) == (content, "")


def test_what_cannot_be_used_comes_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    assert readable(Row(str(tmp_path / "none.png"), None)) == (b"", "No such file or directory")
    assert readable(Row(str(tmp_path), None)) == (b"", "Is a directory")
    assert readable(Row(str(tmp_path / "text.png"), None))[1].startswith("not an image; expected ")
    assert readable(Row("table, row 1", None, content=b""))[1].startswith("not an image; expected ")
