"""What a model says about many images, row by row, in a parquet file; a bounded number of them in memory."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from graftwork.data.streams import batched
from graftwork.prediction.predict import Answer
from graftwork.reporting import progress

_ROW_GROUP = 8192
COLUMNS = pa.schema(
    [
        ("image", pa.string()),
        ("label", pa.string()),
        ("score", pa.float32()),
        ("probabilities", pa.list_(pa.float32())),
        ("error", pa.string()),
    ]
)
"""label, score and probabilities (in the order of the file's metadata entry "classes") are null where error is not; the
entry "model" says which one it was."""


@dataclass(frozen=True)
class Labelled:
    """How many images were labelled, and how many could not be read."""

    images: int
    unreadable: int


def write(path: Path, answers: Iterable[Answer], classes: Sequence[str], model: str, quiet: bool = False) -> Labelled:
    """Write what a model says to a parquet file, see COLUMNS.

    Args:
        path: The file; what is there before all is written is no whole one.
        answers: About each image, in the order of the rows.
        classes: What the probabilities are of.
        model: What the file says of where the model comes from.
        quiet: Whether to say nothing of how far it is.

    Returns:
        How many images there are.
    """
    counted = {"images": 0, "unreadable": 0}
    schema = COLUMNS.with_metadata({"classes": "\n".join(classes), "model": model})
    with pq.ParquetWriter(path, schema) as writer:
        for group in batched(_rows(answers, classes, counted, quiet), _ROW_GROUP):
            writer.write_table(pa.Table.from_pylist(list(group), schema))
    return Labelled(**counted)


def _rows(
    answers: Iterable[Answer], classes: Sequence[str], counted: dict[str, int], quiet: bool
) -> Iterator[dict[str, Any]]:
    for image, said, error in answers:
        counted["images" if said is not None else "unreadable"] += 1
        if said is None:
            yield {"image": image, "error": error}
            continue
        best = int(said.argmax())
        yield {"image": image, "label": classes[best], "score": float(said[best]), "probabilities": said}
        if not quiet:
            progress.report(counted["images"], None, "images")
