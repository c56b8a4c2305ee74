"""The interface of the step to KFP."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

from graftwork.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fine_tune(  # type: ignore[no-untyped-def]
    images: Input[Dataset],
    head: Input[Model],
    model: Output[Model],
    metrics: Output[Metrics],
    settings: dict = {},  # type: ignore[type-arg]
    point: str = "",
    precision: str = "auto",
    seed: int = 0,
):
    """Train the last layers of the base together with the trained head.

    Args:
        images: Labelled images in splits, from prepare_data.
        head: The classifier to start from, from train_head.
        model: The fine-tuned classifier; a copy of head where settings say layers 0.
        metrics: Best validation accuracy and loss, epochs, and seconds spent.
        settings: How the last layers of the base are trained on; see graftwork.config.FineTuneConfig.
        point: Of a sweep: settings that go before those, as in {layers: 5, learning_rate: 0.001}.
        precision: What the network computes in; auto: bfloat16 where the device has it. The finished model is float32.
        seed: Of every random choice: the same seed gives the same metrics on the same machine.
    """
    from graftwork.components.fine_tune.step import run

    run(images, head, model, metrics, settings, point, precision, seed)
