"""The interface of the step to KFP."""

from typing import List  # noqa: UP035

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Output

from graftwork.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def prepare_data(
    images: Output[Dataset],
    metrics: Output[Metrics],
    prepare: dict = {},  # type: ignore[type-arg]
    extract_shards: int = 1,
    ingested: Input[List[Dataset]] = None,  # noqa: UP006
    whole_ingested: Input[Dataset] = None,
) -> list:  # type: ignore[type-arg]
    """Leave out duplicates and contradictions, split images and store them in shards.

    Args:
        images: Labelled images in three splits.
        metrics: Images of each split, how many were rejected and how many are duplicates.
        prepare: How images become splits and shards; see graftwork.config.PrepareConfig.
        extract_shards: Over how many machines the extraction of features fans out; at most 128, as many as KFP
            can list in one argument of a command.
        ingested: Every shard of the source, from ingest_images, in any order.
        whole_ingested: In place of it: the source in one shard.

    Returns:
        The shares, as in 1/4, for extract_features; no more than there is work for.
    """
    from graftwork.components.prepare_data.step import run

    # Given only where there is one: an older image's step has no such argument.
    return run(ingested, images, metrics, prepare, extract_shards, *([whole_ingested] if whole_ingested else []))
