"""The interface of the step to KFP."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from graftwork.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def judge(
    images: Input[Dataset],
    evaluation: Input[Artifact],
    challenger: Input[Model],
    champion: Input[Model],
    verdict: Output[Artifact],
    report: Output[HTML],
    metrics: Output[Metrics],
    drift: str = "",
    policy: dict = {},  # type: ignore[type-arg]
    drift_policy: dict = {},  # type: ignore[type-arg]
    seed: int = 0,
) -> bool:
    """Decide whether the challenger takes the champion's place.

    Args:
        images: Labelled images in splits, from prepare_data.
        evaluation: Of the challenger and the candidates it was chosen from, from evaluate.
        challenger: The best candidate, from select_model.
        champion: The model that serves now, from find_champion; a folder without a model if there is none.
        verdict: Every rule, its number and whether it holds, as JSON.
        report: The same for people.
        metrics: What both reach on the images they were compared on, and the p-value.
        drift: What of the data has drifted, from check_data; "" if nothing has.
        policy: When a challenger takes the champion's place; see graftwork.config.GateConfig.
        drift_policy: When the data is no longer what it was, and what then; see graftwork.config.DriftConfig.
        seed: Of every random choice: the same seed gives the same metrics on the same machine.

    Returns:
        Whether to promote the challenger.
    """
    from graftwork.components.judge.step import run

    return run(images, evaluation, challenger, champion, verdict, report, metrics, drift, (policy, drift_policy), seed)
