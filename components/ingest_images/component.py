"""The interface of the step to KFP."""

from kfp import dsl
from kfp.dsl import Dataset, Output

from graftwork.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ingest_images(  # type: ignore[no-untyped-def]
    data: str,
    fingerprint: str,
    shard: str,
    input_size: int,
    ingested: Output[Dataset],
    stored_size: int = 0,
    at_least: int = 0,
):
    """Read and check the images of one shard of a source.

    Args:
        data: A folder with one sub-folder per class, or a .csv, .jsonl or .parquet table; a path or gs:// URI.
        fingerprint: What the data held when the run began; changed data is read anew.
        shard: Which images, as in 2/4: every fourth, beginning with the second.
        input_size: Of the network that will see the images, in pixels.
        ingested: The images, shrunk if they are large, and what is wrong with those that cannot be used.
        stored_size: Shorter side in pixels to which larger images are shrunk; 0: 1.15 times the base's input. When
            retraining, no smaller than the champion's.
        at_least: The same of another model that will be asked about these images: smaller they are not made.
    """
    from graftwork.components.ingest_images.step import run

    run(data, fingerprint, shard, input_size, ingested, stored_size, at_least)
