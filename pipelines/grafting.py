"""The part that all pipelines have in common: from labelled images and a saved model to a trained head."""

from typing import Any, List, NamedTuple  # noqa: UP035

from kfp import dsl
from kfp.dsl import HTML, Dataset, Metrics, Model

from graftwork.components.extract_features.component import extract_features
from graftwork.components.fine_tune.component import fine_tune
from graftwork.components.fingerprint_source.component import fingerprint_source
from graftwork.components.ingest_images.component import ingest_images
from graftwork.components.load_base_model.component import load_base_model
from graftwork.components.prepare_data.component import prepare_data
from graftwork.components.train_head.component import train_head
from graftwork.data.shards import WHOLE
from graftwork.pipelines.interface import Inputs
from graftwork.pipelines.scheduling import PARALLELISM, first, on_cpu, on_nodes

STEPS = (
    "fingerprint_source",
    "load_base_model",
    "ingest_images",
    "prepare_data",
    "extract_features",
    "train_head",
    "fine_tune",
    "evaluate",
    "select_model",
)
"""In the order they run one after another."""


class Results(NamedTuple):
    """What a pipeline leaves behind."""

    model: Model
    metrics: Metrics
    report: HTML


# A pipeline of its own, because a local run hands results of other steps to a loop only as a pipeline's parameters.
@dsl.pipeline(name="ingest", display_name="Ingest")
def ingest(
    data: str,
    fingerprint: str,
    shards: list,  # type: ignore[type-arg]
    input_size: int,
    stored_size: int,
    at_least: int,
) -> List[Dataset]:  # noqa: UP006
    """Read and check a source, on as many machines as there are shards of it.

    Args:
        data: A folder with one sub-folder per class, or a .csv, .jsonl or .parquet table; a path or gs:// URI.
        fingerprint: What it holds.
        shards: The shares of it.
        input_size: Of the network that will see the images, in pixels.
        stored_size: Shorter side in pixels to which larger images are shrunk; 0: 1.15 times the base's input. When
            retraining, no smaller than the champion's.
        at_least: The same of another model that will be asked about these images; 0 for none.

    Returns:
        An artifact for each shard.
    """
    # Loops have no names of their own: some backends do not find what was collected from one that has.
    with dsl.ParallelFor(shards, parallelism=PARALLELISM) as shard:
        task = ingest_images(
            data=data,
            fingerprint=fingerprint,
            shard=shard,
            input_size=input_size,
            stored_size=stored_size,
            at_least=at_least,
        )
        on_cpu(task)
    return dsl.Collected(task.outputs["ingested"])


def graft(inputs: Inputs) -> tuple[Any, Any]:
    """Prepare the images, run the frozen base over them once, train a head on what it says; return images and head."""
    sources = look_at_sources(inputs)
    base = load(inputs, sources)
    images, shares = prepare_images(inputs, sources, base)
    return images, trained_head(inputs, base, images, shares)


def tune(inputs: Inputs, images: Any, head: Any, **point: Any) -> Any:
    """Train the last layers below a head on; return the model."""
    step = fine_tune(
        images=images, head=head, settings=inputs.fine_tune, precision=inputs.precision, seed=inputs.seed, **point
    )
    return on_nodes(step, inputs).outputs["model"]


def look_at_sources(inputs: Inputs) -> Any:
    """Look what data and base model hold now: the one step that always runs."""
    return first(fingerprint_source(**inputs.of(fingerprint_source))).set_caching_options(False)


def load(inputs: Inputs, sources: Any, **instead: Any) -> Any:
    """Load the base model, or what is to be loaded in place of it."""
    fingerprint = sources.outputs["base_model_fingerprint"]
    task = load_base_model(uri=inputs.base_model, fingerprint=fingerprint, **inputs.of(load_base_model), **instead)
    return on_cpu(task)


def prepare_images(inputs: Inputs, sources: Any, base: Any, at_least: Any = 0) -> tuple[Any, Any]:
    """Read the images, at a size that suits the base and is at least the given one, and split them.

    Returns:
        The images, and the shares in which to work on them.
    """
    source = {
        "data": inputs.data,
        "fingerprint": sources.outputs["data_fingerprint"],
        "input_size": base.outputs["size"],
        "stored_size": inputs.stored_size,
        "at_least": at_least,
    }
    if inputs.one_shard:
        whole = on_cpu(ingest_images(shard=str(WHOLE), **source)).outputs["ingested"]
        prepared = prepare_data(whole_ingested=whole, prepare=inputs.prepare)
    else:
        ingested = ingest(shards=sources.outputs["shards"], **source).output
        prepared = prepare_data(ingested=ingested, prepare=inputs.prepare, extract_shards=inputs.extract_shards)
    on_cpu(prepared)
    return prepared.outputs["images"], prepared.outputs["Output"]


def trained_head(inputs: Inputs, base: Any, images: Any, shares: Any) -> Any:
    """Run the frozen base over the images once, and train a head on what it says; return the model."""
    folder = base.outputs["model"]

    def extracted(share: Any) -> Any:
        task = extract_features(images=images, base_model=folder, shard=share, precision=inputs.precision)
        return on_nodes(task, inputs).outputs["features"]

    if inputs.one_shard:
        features = {"whole_features": extracted(str(WHOLE))}
    else:
        with dsl.ParallelFor(shares, parallelism=PARALLELISM) as share:
            each = extracted(share)
        features = {"features": dsl.Collected(each)}
    trained = train_head(**features, base_model=folder, head=inputs.head, seed=inputs.seed)
    return on_cpu(trained).outputs["model"]
