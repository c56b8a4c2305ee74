"""The interface of the step to KFP."""

from typing import List  # noqa: UP035

from kfp import dsl
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from graftwork.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(  # type: ignore[no-untyped-def]
    images: Input[Dataset],
    evaluation: Output[Artifact],
    metrics: Output[Metrics],
    classification_metrics: Output[ClassificationMetrics],
    report: Output[HTML],
    head: Input[Model] = None,
    fine_tuned: Input[Model] = None,
    heads: Input[List[Model]] = None,  # noqa: UP006
    sweep: Input[List[Model]] = None,  # noqa: UP006
    seed: int = 0,
):
    """Measure every candidate on validation and test images, and write the report.

    Args:
        images: Labelled images in splits, from prepare_data.
        evaluation: Every metric of every candidate, and what it said about each image.
        metrics: The selected candidate's accuracy with its interval, loss and calibration.
        classification_metrics: The selected candidate's confusion matrix on test images.
        report: The evaluation for people, one HTML file.
        head: The base with its trained head.
        fine_tuned: The same, fine-tuned.
        heads: Several bases with their trained heads.
        sweep: The same, fine-tuned in one or several ways.
        seed: Of every random choice: the same seed gives the same metrics on the same machine.
    """
    from graftwork.components.evaluate.step import run

    run(images, head, heads, fine_tuned, sweep, evaluation, metrics, classification_metrics, report, seed)
