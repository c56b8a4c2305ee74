"""The interface of the step to KFP."""

from kfp import dsl
from kfp.dsl import Dataset, Output

from graftwork.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def batch_predict(  # type: ignore[no-untyped-def]
    model: str,
    data: str,
    output: str,
    predictions: Output[Dataset],
    shard: str = "1/1",
):
    """Label a share of the images of a source, and write what the model says of each to a parquet file.

    Args:
        model: A model that graftwork made, or that of a registry (URI/NAME) for its champion; a folder or gs:// URI.
        data: A folder of images or a table with a column image; a path or gs:// URI.
        output: The folder or gs:// URI for the files, one per share; "" for none besides the artifact.
        predictions: The same file: image, label, score, probabilities, error.
        shard: Which share, as in 2/4.
    """
    from graftwork.components.batch_predict.step import run

    run(model, data, output, predictions, shard)
