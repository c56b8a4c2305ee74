"""What a model says about many images, row by row, in a parquet file; a bounded number of them in memory."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from graftwork import storage
from graftwork.artifacts import model as model_artifact
from graftwork.data import sources
from graftwork.data.reading import readable
from graftwork.data.shards import WHOLE, Shard
from graftwork.data.streams import batched, map_in_order
from graftwork.prediction.served import Served
from graftwork.registry.resolve import meant
from graftwork.reporting import progress
from graftwork.storage import whole

_BATCH = 32
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
class Done:
    """How many images were labelled, and how many could not be read."""

    images: int
    unreadable: int


@dataclass(frozen=True)
class Image:
    """An image of the source: its bytes, or why there are none."""

    source: str
    content: bytes = b""
    error: str = ""


def predict_with(model: str, data: str, path: Path, shard: Shard = WHOLE) -> Done:
    """Label the images of a source with whatever model is meant now, see `resolve.meant`; else as `predict`."""
    uri = meant(model)
    with storage.fetched(uri) as chosen:
        return predict(chosen, data, path, shard, storage.absolute(uri))


def predict(model: str | os.PathLike[str], data: str, path: Path, shard: Shard = WHOLE, named: str = "") -> Done:
    """Label the images of a source.

    Args:
        model: A model artifact.
        data: A folder of images, with sub-folders, or a table with a column image.
        path: The parquet file to write, see COLUMNS; it appears when it is whole.
        shard: Which share of the images.
        named: What the file says of where the model comes from.

    Returns:
        How many there are.

    Raises:
        UserError: The model is none, or a base without a head; the source does not exist or is empty.
    """
    opened = model_artifact.read_classifier(model)
    classes = opened.description["classes"]
    served, counted = Served(opened.path), {"images": 0, "unreadable": 0}
    rows = (row for number, row in enumerate(sources.rows(data, labelled=False)) if shard.deals(number))

    def batches() -> Iterator[dict[str, Any]]:
        for images in batched(map_in_order(read, rows), _BATCH):
            readable = [image.content for image in images if not image.error]
            yield {"images": images, "encoded": tf.constant(readable, tf.string)}

    schema = COLUMNS.with_metadata({"classes": "\n".join(classes), "model": named or str(opened.path)})
    with whole.file(path) as file, pq.ParquetWriter(file, schema) as writer:
        for group in batched(_said(served, batches(), np.array(classes), counted), _ROW_GROUP):
            writer.write_table(pa.Table.from_pylist(list(group), schema))
    return Done(**counted)


def read(row: sources.Row) -> Image:
    """Read one image, and see whether it can be decoded."""
    content, error = readable(row)
    return Image(row.source, content, error)


def _said(
    served: Served, batches: Iterator[dict[str, Any]], classes: np.ndarray, counted: dict[str, int]
) -> Iterator[dict[str, Any]]:
    """Yield a row of the file for each image, in the order of the source."""
    for batch, probabilities in served.answers(batches):
        answers = iter(probabilities)
        for image in batch["images"]:
            if image.error:
                counted["unreadable"] += 1
                yield {"image": image.source, "error": image.error}
                continue
            counted["images"] += 1
            answer = next(answers)
            best = int(answer.argmax())
            yield {
                "image": image.source,
                "label": str(classes[best]),
                "score": float(answer[best]),
                "probabilities": answer,
            }
        progress.report(counted["images"], None, "images")
