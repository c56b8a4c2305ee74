"""The interface of the step to KFP."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Model

from graftwork.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def promote(
    registry: str,
    name: str,
    images: Input[Dataset],
    challenger: Input[Model],
    verdict: Input[Artifact],
    report: Input[HTML],
    drift_report: Input[HTML],
    version: int,
    inputs: str,
    run: str,
) -> int:
    """Do what the verdict says.

    Args:
        registry: Where the versions of models are: a folder or gs:// URI with a folder per model.
        name: Of the model in the registry.
        images: What the challenger was trained on, from prepare_data.
        challenger: From select_model.
        verdict: From judge.
        report: The verdict for people; the registry keeps it.
        drift_report: What was found about the data, from check_data; kept beside it.
        version: The champion's; 0 if there was none.
        inputs: One value for everything the challenger was made of, from find_champion.
        run: The pipeline run's ID.

    Returns:
        The version that serves now; 0 for none.
    """
    from graftwork.components.promote.step import run as run_step

    return run_step(registry, name, images, challenger, verdict, report, drift_report, version, inputs, run)
