"""The interface of the step to KFP."""

from typing import List  # noqa: UP035

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

from graftwork.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train_head(  # type: ignore[no-untyped-def]
    base_model: Input[Model],
    model: Output[Model],
    metrics: Output[Metrics],
    head: dict = {},  # type: ignore[type-arg]
    seed: int = 0,
    features: Input[List[Dataset]] = None,  # noqa: UP006
    whole_features: Input[Dataset] = None,
):
    """Train a classification head on cached features and attach it to the base.

    Args:
        base_model: The base the features came from.
        model: The trained classifier, a SavedModel that can be trained further.
        metrics: Validation accuracy and loss, and seconds spent.
        head: How the head is trained on cached features; see graftwork.config.HeadConfig.
        seed: Of every random choice: the same seed gives the same metrics on the same machine.
        features: One vector per image, every share of them, from extract_features, in any order.
        whole_features: In place of it: those of all images in one share.
    """
    from graftwork.components.train_head.step import run

    # Given only where there is one: an older image's step has no such argument.
    run(features, base_model, model, metrics, head, seed, *([whole_features] if whole_features else []))
