"""The interface of the step to KFP."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Model, Output

from graftwork.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def find_champion(
    registry: str,
    name: str,
    data_fingerprint: str,
    base_model_fingerprint: str,
    run: str,
    champion: Output[Model],
    preprocessing: str = "",
    input_size: int = 0,
    feature_layer: str = "auto",
    stored_size: int = 0,
    prepare: dict = {},  # type: ignore[type-arg]
    head: dict = {},  # type: ignore[type-arg]
    fine_tune: dict = {},  # type: ignore[type-arg]
    gate: dict = {},  # type: ignore[type-arg]
    drift: dict = {},  # type: ignore[type-arg]
    warm_start: str = "both",
    precision: str = "auto",
    seed: int = 0,
) -> NamedTuple("Found", [("Output", bool), ("version", int), ("starts", list), ("inputs", str), ("stored_size", int)]):  # type: ignore[valid-type]
    """Fetch the champion, and say whether there is anything new to train on.

    Args:
        registry: Where the versions of models are: a folder or gs:// URI with a folder per model.
        name: Of the model in the registry.
        data_fingerprint: What the data holds now.
        base_model_fingerprint: What the base model holds now.
        run: The pipeline run's ID.
        champion: The model that serves now; a folder without a model if there is none, or nothing is new.
        preprocessing: What pixels need, by name or as {"scale": ..., "offset": ...}; empty: found in the base, never
            guessed.
        input_size: Height and width in pixels at which the base runs, with the same weights; 0: as it was saved.
        feature_layer: Where the base is cut: a layer's name, an output's of a SavedModel without layers, "penultimate",
            or "auto" for the last output with height and width.
        stored_size: Shorter side in pixels to which larger images are shrunk; 0: 1.15 times the base's input. When
            retraining, no smaller than the champion's.
        prepare: How images become splits and shards; see graftwork.config.PrepareConfig.
        head: How the head is trained on cached features; see graftwork.config.HeadConfig.
        fine_tune: How the last layers of the base are trained on; see graftwork.config.FineTuneConfig.
        gate: When a challenger takes the champion's place; see graftwork.config.GateConfig.
        drift: When the data is no longer what it was, and what then; see graftwork.config.DriftConfig.
        warm_start: From which network a challenger starts: base, champion, or both, and the better is kept.
        precision: What the network computes in; auto: bfloat16 where the device has it. The finished model is float32.
        seed: Of every random choice: the same seed gives the same metrics on the same machine.

    Returns:
        Output: Whether data, base model and settings make a challenger that was not tried beside this champion yet.
        version: The champion's; 0 if there is none.
        starts: What to start from: "" for the base model, else the URI of the champion and, after a #, what tells its
            content from any other; one of them where both are the same network.
        inputs: One value for the data, the base model and the settings.
        stored_size: Shorter side in pixels of the images that the champion sees; 0 if there is none.
    """
    from graftwork.components.find_champion.step import run as run_step

    return run_step(
        registry,
        name,
        champion,
        [base_model_fingerprint, preprocessing, input_size, feature_layer],
        [data_fingerprint, stored_size, prepare, head, fine_tune, gate, drift, precision, seed],
        warm_start,
        run,
    )
