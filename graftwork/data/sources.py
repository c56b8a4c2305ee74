"""Labelled images as users have them: a folder with one sub-folder per class, or a table; read row by row."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from graftwork import storage
from graftwork.errors import UserError, in_one_line

if TYPE_CHECKING:
    import pandas as pd

TABLES = (".csv", ".jsonl", ".parquet")
_ROWS = 4096
_SPLITS = {"train": "train", "training": "train", "test": "test"} | dict.fromkeys(
    ("validation", "valid", "val", "dev"), "validation"
)


@dataclass(frozen=True)
class Row:
    """One labelled image.

    Attributes:
        source: Its URI, or the table and row number of bytes inside a table.
        label: Its class, None if the table has none.
        split: "train", "validation" or "test" if the table says so.
        group: Images of one group must stay in one split.
        content: The bytes, None if they are to be read from the source.
    """

    source: str
    label: str | None
    split: str | None = None
    group: str | None = None
    content: bytes | None = None

    def read(self) -> bytes:
        """Return the bytes of the image, wherever they are.

        Raises:
            OSError: They cannot be read.
        """
        return storage.read(self.source) if self.content is None else self.content


def is_table(uri: str) -> bool:
    """Return whether a URI names a table, by its suffix."""
    return PurePosixPath(uri).suffix.lower() in TABLES


def rows(uri: str, labelled: bool = True) -> Iterator[Row]:
    """Yield every image of a source, a bounded number at a time.

    Args:
        uri: A folder with one sub-folder per class (images may lie deeper), or a table with columns image (a path or
            URI, relative to the table; in parquet also bytes), label, and optionally split and group.
        labelled: Whether the images must have labels; if not, a folder is taken as it is, with all its sub-folders.

    Raises:
        UserError: There is no such source, a column is missing, no row has a label, a split is unknown.
    """
    if is_table(uri):
        yield from _table_rows(uri, labelled)
    else:
        yield from _folder_rows(uri, labelled)


def _folder_rows(uri: str, labelled: bool) -> Iterator[Row]:
    prefix = len(uri.rstrip("/")) + 1
    found = False
    for file in storage.walk(uri):
        label, separator, _ = file.uri[prefix:].partition("/")
        if separator or not labelled:  # a file beside the class folders has no class
            found = True
            yield Row(file.uri, label if labelled else None)
    if not found:
        missing = not storage.is_remote(uri) and not Path(uri).exists()
        raise UserError(
            "the data does not exist" if missing else "the data has no images",
            {
                "data": uri,
                "expected": f"a folder {'with one sub-folder of images per class' if labelled else 'of images'}"
                ", or a .csv, .jsonl or .parquet table",
            },
        )


def _table_rows(uri: str, needs_labels: bool) -> Iterator[Row]:
    if storage.stat(uri) is None:
        raise UserError("the data does not exist", {"data": uri, "expected": "a folder, or a table"})
    folder, labelled, number = storage.parent(uri), False, 0
    for chunk in _chunks(uri):
        needed = ("image", "label") if needs_labels else ("image",)
        missing = [column for column in needed if column not in chunk.columns]
        if missing:
            raise UserError(
                f"the table has no column {' and no column '.join(missing)}",
                {
                    "data": uri,
                    "columns": ", ".join(map(str, chunk.columns)),
                    "expected": "image, label[, split][, group]",
                },
            )
        for record in chunk.to_dict("records"):
            number += 1
            row = _row(uri, folder, number, {str(column): value for column, value in record.items()})
            labelled = labelled or row.label is not None
            yield row
    if not number or (needs_labels and not labelled):
        problem = "the table's column label is empty" if number else "the table has no rows"
        raise UserError(problem, {"data": uri, "rows": number})


def _chunks(uri: str) -> Iterator["pd.DataFrame"]:
    import pandas as pd

    with storage.fetched(uri) as path:
        try:
            if path.suffix.lower() == ".csv":
                # Only an empty cell is no label: a class may be called NA.
                yield from pd.read_csv(path, dtype=str, chunksize=_ROWS, keep_default_na=False, na_values=[""])
            elif path.suffix.lower() == ".jsonl":
                yield from pd.read_json(path, lines=True, chunksize=_ROWS, dtype=False, convert_dates=False)
            else:
                import pyarrow.parquet as pq

                for batch in pq.ParquetFile(path).iter_batches(batch_size=256):
                    yield batch.to_pandas()
        except (ValueError, OSError) as error:
            reason = in_one_line(error)
            raise UserError("the table cannot be read", {"data": uri, "reason": reason}) from None


def _row(uri: str, folder: str, number: int, record: dict[str, Any]) -> Row:
    where = f"{uri}, row {number}"
    split = _text(record.get("split"))
    if split is not None and split.lower() not in _SPLITS:
        raise UserError(f"unknown split {split!r}", {"where": where, "expected": "train, validation or test"})
    image = record["image"]
    if isinstance(image, dict):  # bytes and path, as image data sets are often stored
        image = image.get("bytes") or image.get("path")
    content = bytes(image) if isinstance(image, (bytes, bytearray)) else None
    name = None if content is not None else _text(image)
    return Row(
        source=storage.join(folder, name) if name else where,
        label=_text(record.get("label")),
        split=_SPLITS[split.lower()] if split else None,
        group=_text(record.get("group")),
        content=content,
    )


def _text(value: Any) -> str | None:
    """Return a cell as text, None if it is empty; 3.0 is the class 3."""
    import pandas as pd

    if value is None or (isinstance(value, float) and math.isnan(value)) or value is pd.NA:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None
