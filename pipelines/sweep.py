"""Several ways of fine-tuning the same head, side by side; the best on validation is kept."""

from kfp import dsl

from graftwork.components.evaluate.component import evaluate
from graftwork.components.select_model.component import select_model
from graftwork.config import Parameter, SweepConfig
from graftwork.pipelines.grafting import Results, graft, tune
from graftwork.pipelines.interface import Inputs, pipeline
from graftwork.pipelines.scheduling import PARALLELISM, on_cpu


@pipeline(
    "sweep",
    "Sweep over depth and learning rate",
    grid=Parameter(
        list,
        'The points, each as text, as in ["{layers: 5, learning_rate: 0.001}", "{layers: all}"].',
        SweepConfig().points(),
    ),
)
def sweep(inputs: Inputs) -> Results:
    """Fine-tune one head at every point of a grid, evaluate all of them, and keep the best on validation.

    Returns:
        model: The classifier that is best on validation.
        metrics: What it and the other candidates reach on validation and test.
        report: The evaluation for people, with the sweep.
    """
    images, grafted = graft(inputs)
    with dsl.ParallelFor(inputs.grid, parallelism=PARALLELISM) as point:
        tuned = tune(inputs, images, grafted, point=point)
    # Collected twice: KFP changes what it is given.
    evaluated = on_cpu(evaluate(images=images, head=grafted, sweep=dsl.Collected(tuned), seed=inputs.seed))
    evaluation = evaluated.outputs["evaluation"]
    selected = on_cpu(select_model(evaluation=evaluation, head=grafted, sweep=dsl.Collected(tuned)))
    return Results(selected.outputs["model"], selected.outputs["metrics"], evaluated.outputs["report"])
