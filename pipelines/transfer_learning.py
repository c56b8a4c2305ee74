"""The main flow: labelled images and a saved Keras model in, an evaluated, servable classifier out."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Metrics, Model

from graftwork.components.evaluate.component import evaluate
from graftwork.components.extract_features.component import extract_features
from graftwork.components.fine_tune.component import fine_tune as fine_tune_step
from graftwork.components.fingerprint_source.component import fingerprint_source
from graftwork.components.load_base_model.component import load_base_model
from graftwork.components.prepare_data.component import prepare_data
from graftwork.components.select_model.component import select_model
from graftwork.components.train_head.component import train_head


class Results(NamedTuple):
    """What the pipeline leaves behind."""

    model: Model
    metrics: Metrics
    report: HTML


STEPS = (
    "fingerprint_source",
    "load_base_model",
    "prepare_data",
    "extract_features",
    "train_head",
    "fine_tune",
    "evaluate",
    "select_model",
)
"""In the order they run one after another."""


@dsl.pipeline(name="transfer-learning", display_name="Transfer learning")
def transfer_learning(
    data: str,
    base_model: str,
    preprocessing: str = "",
    input_size: int = 0,
    feature_layer: str = "auto",
    prepare: dict = {},  # type: ignore[type-arg]  # noqa: B006
    head: dict = {},  # type: ignore[type-arg]  # noqa: B006
    fine_tune: dict = {},  # type: ignore[type-arg]  # noqa: B006
    seed: int = 0,
) -> Results:
    """From labelled images and a saved Keras model to an evaluated, servable classifier.

    Args:
        data: A folder with one sub-folder per class, or a .csv, .jsonl or .parquet table; a path or gs:// URI.
        base_model: A .keras or .h5 file (a path or gs:// URI), or the name of a keras.applications model.
        preprocessing: What the base's pixels need, by name or as JSON with scale and offset; empty to find it.
        input_size: Height and width in pixels at which the base runs; 0 for the size it was saved with.
        feature_layer: Where the base is cut: a layer's name, "penultimate", or "auto".
        prepare: How images become splits and shards, see graftwork.config.PrepareConfig.
        head: How the head is trained, see graftwork.config.HeadConfig.
        fine_tune: How the last layers are trained on, see graftwork.config.FineTuneConfig; layers 0 skips it.
        seed: Of every random choice.

    Returns:
        model: The classifier that is better on validation.
        metrics: What it and the other candidate reach on validation and test.
        report: The evaluation for people.
    """
    sources = fingerprint_source(data=data, base_model=base_model)
    sources.set_caching_options(False)  # the one step that looks whether anything has changed
    base = load_base_model(
        uri=base_model,
        fingerprint=sources.outputs["base_model_fingerprint"],
        preprocessing=preprocessing,
        input_size=input_size,
        feature_layer=feature_layer,
    )
    images = prepare_data(
        data=data,
        fingerprint=sources.outputs["data_fingerprint"],
        input_size=base.outputs["size"],
        prepare=prepare,
    ).outputs["images"]
    features = extract_features(images=images, base_model=base.outputs["model"]).outputs["features"]
    grafted = train_head(features=features, base_model=base.outputs["model"], head=head, seed=seed).outputs["model"]
    tuned = fine_tune_step(images=images, head=grafted, settings=fine_tune, seed=seed).outputs["model"]
    evaluated = evaluate(images=images, head=grafted, fine_tuned=tuned, seed=seed)
    selected = select_model(evaluation=evaluated.outputs["evaluation"], head=grafted, fine_tuned=tuned)
    return Results(selected.outputs["model"], selected.outputs["metrics"], evaluated.outputs["report"])
