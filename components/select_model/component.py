"""The interface of the step to KFP."""

from typing import List  # noqa: UP035

from kfp import dsl
from kfp.dsl import Artifact, Input, Metrics, Model, Output

from graftwork.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def select_model(  # type: ignore[no-untyped-def]
    evaluation: Input[Artifact],
    model: Output[Model],
    metrics: Output[Metrics],
    head: Input[Model] = None,
    fine_tuned: Input[Model] = None,
    heads: Input[List[Model]] = None,  # noqa: UP006
    sweep: Input[List[Model]] = None,  # noqa: UP006
):
    """Keep the candidate that is best on validation; test numbers never choose.

    Args:
        evaluation: Of all candidates, from evaluate.
        model: The best one.
        metrics: What all reach, which one was kept and why.
        head: The base with its trained head.
        fine_tuned: The same, fine-tuned.
        heads: Several bases with their trained heads.
        sweep: The same, fine-tuned in one or several ways.
    """
    from graftwork.components.select_model.step import run

    run(evaluation, head, heads, fine_tuned, sweep, model, metrics)
