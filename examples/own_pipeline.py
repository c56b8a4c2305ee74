# %% [markdown]
# # A pipeline of one's own, from graftwork's steps
#
# Every step is a KFP component: `graftwork.steps` has them all, what each takes and gives stands in its folder under
# `components/`. This pipeline trains a head on a frozen base, and has a step of its own that says whether the model is
# good enough. It is written once, runs here in processes, and on a cluster as the file that the last cell compiles.
#
# It needs `photos/`, a folder with one sub-folder per class, and `shelf-2021.keras`, a saved Keras model.

# %%
from typing import List, NamedTuple  # noqa: UP035

from kfp import compiler, dsl, local
from kfp.dsl import Dataset, Input, Metrics, Model

import graftwork
from graftwork.components import IMAGE
from graftwork.steps import (
    evaluate,
    extract_features,
    fingerprint_source,
    ingest_images,
    load_base_model,
    prepare_data,
    select_model,
    train_head,
)

# %% [markdown]
# ## A step of one's own
#
# An artifact of graftwork is a folder or a file like any other. `metrics` of `select_model` is a JSON file.


# %%
@dsl.component(base_image=IMAGE, install_kfp_package=False)
def approve(metrics: Input[Metrics], at_least: float) -> str:
    """Say whether the model is good enough, by the lower end of the 95 % interval of its accuracy on test images."""
    import json
    from pathlib import Path

    low, _ = json.loads(Path(metrics.path).read_text())["test"]["accuracy_interval"]
    return "approved" if low >= at_least else f"refused: {low:.3f} is less than {at_least}"


# %% [markdown]
# ## The flow
#
# A loop whose body needs what another step has put out is a pipeline inside the pipeline, because KFP's local runner
# hands a loop nothing else.


# %%
@dsl.pipeline
def ingest(data: str, fingerprint: str, size: int) -> List[Dataset]:  # noqa: UP006
    """Read the images, on two machines where there are two."""
    with dsl.ParallelFor(["1/2", "2/2"]) as shard:
        task = ingest_images(data=data, fingerprint=fingerprint, shard=shard, input_size=size)
    return dsl.Collected(task.outputs["ingested"])


class Results(NamedTuple):
    """What the pipeline leaves behind."""

    model: Model
    metrics: Metrics
    verdict: str


@dsl.pipeline(name="own-pipeline")
def own_pipeline(data: str, base_model: str, at_least: float = 0.9) -> Results:
    """Train a linear head on a frozen base, measure it, and say whether it is good enough."""
    sources = fingerprint_source(data=data, base_model=base_model).set_caching_options(False)
    base = load_base_model(uri=base_model, fingerprint=sources.outputs["base_model_fingerprint"])
    ingested = ingest(data=data, fingerprint=sources.outputs["data_fingerprint"], size=base.outputs["size"])
    images = prepare_data(ingested=ingested.output).outputs["images"]
    with dsl.ParallelFor(["1/1"]) as share:
        extracted = extract_features(images=images, base_model=base.outputs["model"], shard=share)
        extracted.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(1)
    features = dsl.Collected(extracted.outputs["features"])
    head = train_head(features=features, base_model=base.outputs["model"], head={"kind": "linear"}).outputs["model"]
    evaluated = evaluate(images=images, head=head)
    selected = select_model(evaluation=evaluated.outputs["evaluation"], head=head)
    approved = approve(metrics=selected.outputs["metrics"], at_least=at_least)
    return Results(selected.outputs["model"], selected.outputs["metrics"], approved.output)


# %% [markdown]
# ## Here
#
# Each step in a process of this Python; what has not changed since the last time is not run again.

# %%
local.init(local.SubprocessRunner(use_venv=False), pipeline_root="own-run", enable_caching=True)
run = own_pipeline(data="photos", base_model="shelf-2021.keras", at_least=0.5)
print(run.outputs["verdict"])

# %%
model = graftwork.open_model(run.outputs["model"].path)
print(model)

# %% [markdown]
# ## On a cluster
#
# Upload the file in Kubeflow's pages, or with `kfp.Client().create_run_from_pipeline_package`.

# %%
compiler.Compiler().compile(own_pipeline, "own_pipeline.yaml")
