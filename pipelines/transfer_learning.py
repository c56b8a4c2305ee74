"""The main flow: labelled images and a saved Keras model in, an evaluated, servable classifier out."""

from kfp import dsl

from graftwork.components.evaluate.component import evaluate
from graftwork.components.fine_tune.component import fine_tune as fine_tune_step
from graftwork.components.select_model.component import select_model
from graftwork.pipelines.grafting import Results, graft
from graftwork.pipelines.scheduling import DEFAULTS, Nodes, on_cpu, retried


@dsl.pipeline(name="transfer-learning", display_name="Transfer learning")
def transfer_learning(
    data: str,
    base_model: str,
    preprocessing: str = "",
    input_size: int = 0,
    feature_layer: str = "auto",
    architecture: str = "",
    custom_objects: str = "",
    trust_code: bool = False,
    stored_size: int = 0,
    prepare: dict = {},  # type: ignore[type-arg]
    head: dict = {},  # type: ignore[type-arg]
    fine_tune: dict = {},  # type: ignore[type-arg]
    precision: str = "auto",
    seed: int = 0,
    ingest_shards: int = DEFAULTS.ingest_shards,
    extract_shards: int = DEFAULTS.extract_shards,
    accelerator: str = DEFAULTS.accelerator,
    accelerators: str = str(DEFAULTS.accelerators),
    node_selector: dict = dict(DEFAULTS.node_selector),  # type: ignore[type-arg]
    tolerations: list = list(DEFAULTS.tolerations),  # type: ignore[type-arg]
    cpu: str = DEFAULTS.cpu,
    memory: str = DEFAULTS.memory,
) -> Results:
    """From labelled images and a saved Keras model to an evaluated, servable classifier.

    Args:
        data: A folder with one sub-folder per class, or a .csv, .jsonl or .parquet table; a path or gs:// URI.
        base_model: A .keras, .h5 or SavedModel (a path or gs:// URI), the name of a keras.applications model, or hub:
            and that of a KerasHub preset.
        preprocessing: What the base's pixels need, by name or as JSON with scale and offset; empty to find it.
        input_size: Height and width in pixels at which the base runs; 0 for the size it was saved with.
        feature_layer: Where the base is cut: a layer's name, "penultimate", or "auto".
        architecture: Of a file with weights only, the name of its keras.applications model.
        custom_objects: A module, or a .py file (a path or gs:// URI), that registers the classes the base needs.
        trust_code: Whether Python code in the base's file may run.
        stored_size: Shorter side in pixels to which larger images are shrunk; 0 for 1.15 times the base's input.
        prepare: How images become splits, see graftwork.config.PrepareConfig.
        head: How the head is trained, see graftwork.config.HeadConfig.
        fine_tune: How the last layers are trained on, see graftwork.config.FineTuneConfig; layers 0 skips it.
        precision: In which the network computes while features are extracted and layers trained: "float32", "bfloat16",
            or "auto" for bfloat16 where the device has it.
        seed: Of every random choice.
        ingest_shards: Over how many machines the reading of the images fans out.
        extract_shards: Over how many machines the extraction of features fans out.
        accelerator: Resource name of the accelerator for the steps that train or extract.
        accelerators: How many of it each of those steps gets; "0" for none.
        node_selector: Labels of the nodes for those steps, as in {"pool": "gpu"}.
        tolerations: Taints of nodes which those steps tolerate, as Kubernetes writes them.
        cpu: CPUs for each of those steps.
        memory: Memory for each of those steps.

    Returns:
        model: The classifier that is better on validation.
        metrics: What it and the other candidate reach on validation and test.
        report: The evaluation for people.
    """
    nodes = Nodes(accelerator, accelerators, node_selector, tolerations, cpu, memory)
    base = {
        "uri": base_model,
        "preprocessing": preprocessing,
        "input_size": input_size,
        "feature_layer": feature_layer,
        "architecture": architecture,
        "custom_objects": custom_objects,
        "trust_code": trust_code,
    }
    images, grafted = graft(
        data,
        base,
        stored_size,
        prepare,
        head,
        precision,
        seed,
        ingest_shards,
        extract_shards,
        nodes,
    )
    tuned = nodes.run(
        fine_tune_step(images=images, head=grafted, settings=fine_tune, precision=precision, seed=seed)
    ).outputs["model"]
    evaluated = retried(on_cpu(evaluate(images=images, head=grafted, fine_tuned=tuned, seed=seed)))
    selected = select_model(evaluation=evaluated.outputs["evaluation"], head=grafted, fine_tuned=tuned)
    on_cpu(selected)
    return Results(selected.outputs["model"], selected.outputs["metrics"], evaluated.outputs["report"])
