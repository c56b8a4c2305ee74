"""The part that all pipelines have in common: from labelled images and a saved model to a trained head."""

from collections.abc import Mapping
from typing import Any, List, NamedTuple  # noqa: UP035

from kfp import dsl
from kfp.dsl import HTML, Dataset, Metrics, Model

from graftwork.components.extract_features.component import extract_features
from graftwork.components.fingerprint_source.component import fingerprint_source
from graftwork.components.ingest_images.component import ingest_images
from graftwork.components.load_base_model.component import load_base_model
from graftwork.components.prepare_data.component import prepare_data
from graftwork.components.train_head.component import train_head
from graftwork.pipelines.scheduling import PARALLELISM, Nodes, on_cpu, retried

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


class Prepared(NamedTuple):
    """Prepared images, and the shares in which to work on them."""

    images: Any
    shares: Any


class Grafted(NamedTuple):
    """Prepared images, and a base with a trained head."""

    images: Any
    head: Any


# A pipeline of its own, because a local run hands results of other steps to a loop only as a pipeline's parameters.
@dsl.pipeline(name="ingest", display_name="Ingest")
def ingest(
    data: str,
    fingerprint: str,
    shards: list,  # type: ignore[type-arg]
    input_size: int,
    stored_size: int,
) -> List[Dataset]:  # noqa: UP006
    """Read and check a source, on as many machines as there are shards of it.

    Args:
        data: A folder or a table of labelled images.
        fingerprint: What it holds.
        shards: The shares of it.
        input_size: Of the network that will see the images, in pixels.
        stored_size: Shorter side in pixels to which larger images are shrunk; 0 for what suits the input size.

    Returns:
        An artifact for each shard.
    """
    with dsl.ParallelFor(shards, parallelism=PARALLELISM, name="share of the source") as shard:
        task = ingest_images(
            data=data, fingerprint=fingerprint, shard=shard, input_size=input_size, stored_size=stored_size
        )
        retried(on_cpu(task))
    return dsl.Collected(task.outputs["ingested"])


def graft(
    data: Any,
    base_model: Mapping[str, Any],
    stored_size: Any,
    prepare: Any,
    head: Any,
    precision: Any,
    seed: Any,
    ingest_shards: Any,
    extract_shards: Any,
    nodes: Nodes,
) -> Grafted:
    """Prepare the images, run the frozen base over them once, and train a head on what it says.

    Args:
        data: As all that follow, a parameter of the pipeline; see `transfer_learning`.
        base_model: The parameters of the step load_base_model, by their names there.
        nodes: Where the steps that train or extract run.
    """
    sources = look(data, base_model, ingest_shards)
    base = load(base_model, sources)
    images, shares = prepare_images(data, sources, base, stored_size, prepare, extract_shards)
    return Grafted(images, head_on(base, images, shares, head, precision, seed, nodes))


def look(data: Any, base_model: Mapping[str, Any], ingest_shards: Any) -> Any:
    """Look what data and base model hold now: the one step that always runs."""
    task = fingerprint_source(
        data=data,
        base_model=base_model["uri"],
        custom_objects=base_model["custom_objects"],
        ingest_shards=ingest_shards,
    )
    return on_cpu(task).set_caching_options(False)


def load(base_model: Mapping[str, Any], sources: Any, **instead: Any) -> Any:
    """Load the base model, or what is to be loaded in place of it."""
    return on_cpu(load_base_model(fingerprint=sources.outputs["base_model_fingerprint"], **base_model, **instead))


def prepare_images(data: Any, sources: Any, base: Any, stored_size: Any, prepare: Any, extract_shards: Any) -> Prepared:
    """Read the images, at a size that suits the base, and split them."""
    ingested = ingest(
        data=data,
        fingerprint=sources.outputs["data_fingerprint"],
        shards=sources.outputs["shards"],
        input_size=base.outputs["size"],
        stored_size=stored_size,
    )
    prepared = prepare_data(ingested=ingested.output, prepare=prepare, extract_shards=extract_shards)
    retried(on_cpu(prepared))
    return Prepared(prepared.outputs["images"], prepared.outputs["Output"])


def head_on(base: Any, images: Any, shares: Any, head: Any, precision: Any, seed: Any, nodes: Nodes) -> Any:
    """Run the frozen base over the images once, and train a head on what it says; return the model."""
    base_folder = base.outputs["model"]
    with dsl.ParallelFor(shares, parallelism=PARALLELISM, name="share of the images") as share:
        extracted = nodes.run(extract_features(images=images, base_model=base_folder, shard=share, precision=precision))
    features = dsl.Collected(extracted.outputs["features"])
    return nodes.run(train_head(features=features, base_model=base_folder, head=head, seed=seed)).outputs["model"]
