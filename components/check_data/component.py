"""The interface of the step to KFP."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Model, Output

from graftwork.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def check_data(
    images: Input[Dataset],
    champion: Input[Model],
    drift: Output[Artifact],
    report: Output[HTML],
    policy: dict = {},  # type: ignore[type-arg]
    seed: int = 0,
) -> str:
    """Say whether the data has drifted since the champion was trained.

    Args:
        images: Labelled images in splits, from prepare_data.
        champion: The model that serves now, from find_champion; a folder without a model if there is none.
        drift: Everything that was compared, as JSON.
        report: The same for people, with the oddest of the new images.
        policy: When the data is no longer what it was, and what then; see graftwork.config.DriftConfig.
        seed: Of every random choice: the same seed gives the same metrics on the same machine.

    Returns:
        What has drifted, in one line; "" if nothing has.
    """
    from graftwork.components.check_data.step import run

    return run(images, champion, drift, report, policy, seed)
