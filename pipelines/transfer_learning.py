"""The main flow: labelled images and a saved Keras model in, an evaluated, servable classifier out."""

from graftwork.components.evaluate.component import evaluate
from graftwork.components.select_model.component import select_model
from graftwork.pipelines.grafting import Results, graft, tune
from graftwork.pipelines.interface import Inputs, pipeline
from graftwork.pipelines.scheduling import on_cpu


@pipeline("transfer-learning", "Transfer learning")
def transfer_learning(inputs: Inputs) -> Results:
    """From labelled images and a saved Keras model to an evaluated, servable classifier.

    Returns:
        model: The classifier that is better on validation.
        metrics: What it and the other candidate reach on validation and test.
        report: The evaluation for people.
    """
    images, grafted = graft(inputs)
    tuned = tune(inputs, images, grafted)
    evaluated = on_cpu(evaluate(images=images, head=grafted, fine_tuned=tuned, seed=inputs.seed))
    selected = select_model(evaluation=evaluated.outputs["evaluation"], head=grafted, fine_tuned=tuned)
    on_cpu(selected)
    return Results(selected.outputs["model"], selected.outputs["metrics"], evaluated.outputs["report"])
