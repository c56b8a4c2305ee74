"""The step as a pipeline runs it: a model, a source and a share of it in, a parquet file out."""

from pathlib import Path
from typing import Any

from graftwork import storage
from graftwork.artifacts.kfp_metadata import describe
from graftwork.data.shards import Shard
from graftwork.prediction.model import open_model
from graftwork.reporting import progress


@progress.step("batch_predict")
def run(model: str, data: str, output: str, predictions: Any, shard: str) -> None:
    """Label a share of `data`; write the KFP artifact `predictions` and, if it is given, a file in `output`."""
    share = Shard.parse(shard)
    folder = Path(predictions.path)
    name = f"predictions-{share.number:05}-of-{share.total:05}.parquet"
    done = open_model(model).predict_to(data, folder / name, shard)
    describe(predictions, images=done.images, unreadable=done.unreadable)
    if output:
        storage.upload(folder / name, storage.join(output, name))
    progress.note(f"{done.images:,} images labelled, {done.unreadable:,} could not be read")
