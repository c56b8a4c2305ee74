"""The interface of the step to KFP."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Metrics, Model, Output

from graftwork.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def select_model(  # type: ignore[no-untyped-def]
    evaluation: Input[Artifact],
    head: Input[Model],
    fine_tuned: Input[Model],
    model: Output[Model],
    metrics: Output[Metrics],
):
    """Keep the candidate that is better on validation; test numbers never choose.

    Args:
        evaluation: Of both candidates, from evaluate.
        head: The base with its trained head.
        fine_tuned: The same, fine-tuned.
        model: The better one.
        metrics: What both reach, which one was kept and why.
    """
    from graftwork.components.select_model.step import run

    run(evaluation, head, fine_tuned, model, metrics)
