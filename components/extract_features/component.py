"""The interface of the step to KFP."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Model, Output

from graftwork.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def extract_features(  # type: ignore[no-untyped-def]
    images: Input[Dataset],
    base_model: Input[Model],
    features: Output[Dataset],
    shard: str = "1/1",
    precision: str = "auto",
):
    """Run the frozen base once over every training and validation image of a share.

    Args:
        images: Labelled images in splits, from prepare_data.
        base_model: The base, from load_base_model.
        features: One vector per image, with labels and keys.
        shard: Which share of the images, as in 2/4.
        precision: What the network computes in; auto: bfloat16 where the device has it. The finished model is float32.
    """
    from graftwork.components.extract_features.step import run

    run(images, base_model, features, shard, precision)
