"""The interface of the step to KFP."""

from kfp import dsl
from kfp.dsl import Dataset, Metrics, Output

from graftwork.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def prepare_data(  # type: ignore[no-untyped-def]
    data: str,
    fingerprint: str,
    input_size: int,
    images: Output[Dataset],
    metrics: Output[Metrics],
    prepare: dict = {},  # type: ignore[type-arg]
):
    """Check labelled images, split them and store them in shards.

    Args:
        data: A folder with one sub-folder per class, or a table; a path or gs:// URI.
        fingerprint: What the data held when the run began; changed data is prepared anew.
        input_size: Of the network that will see the images, in pixels.
        images: Labelled images in three splits.
        metrics: Images of each split, how many were rejected and how many are duplicates.
        prepare: Shares of the splits and what may be rejected, see graftwork.config.PrepareConfig.
    """
    from graftwork.components.prepare_data.step import run

    run(data, fingerprint, input_size, images, metrics, prepare)
