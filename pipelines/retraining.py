"""What runs every night: look whether anything has changed, train a challenger, promote it only if it is better."""

from kfp import dsl

from graftwork.components.check_data.component import check_data
from graftwork.components.evaluate.component import evaluate
from graftwork.components.find_champion.component import find_champion
from graftwork.components.fine_tune.component import fine_tune as fine_tune_step
from graftwork.components.judge.component import judge
from graftwork.components.promote.component import promote
from graftwork.components.report_outcome.component import report_outcome
from graftwork.components.select_model.component import select_model
from graftwork.config import RetrainingConfig
from graftwork.pipelines.grafting import head_on, load, look, prepare_images
from graftwork.pipelines.scheduling import DEFAULTS, PARALLELISM, Nodes, on_cpu, retried

USUAL = RetrainingConfig()
STEPS = (
    "fingerprint_source",
    "find_champion",
    "load_base_model",
    "ingest_images",
    "prepare_data",
    "check_data",
    "extract_features",
    "train_head",
    "fine_tune",
    "evaluate",
    "select_model",
    "judge",
    "promote",
    "report_outcome",
)
"""In the order they run one after another."""


@dsl.pipeline(name="retraining", display_name="Retraining")
def retraining(
    data: str,
    base_model: str,
    registry: str,
    name: str,
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
    warm_start: str = USUAL.warm_start,
    gate: dict = {},  # type: ignore[type-arg]
    drift: dict = {},  # type: ignore[type-arg]
    notify: str = USUAL.notify,
    model_registry: str = USUAL.model_registry,
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
) -> None:
    """Train a challenger if anything has changed, and let it serve only if it is better than the champion.

    Args:
        data: A folder with one sub-folder per class, or a .csv, .jsonl or .parquet table; a path or gs:// URI.
        base_model: A .keras, .h5 or SavedModel (a path or gs:// URI), the name of a keras.applications model, or hub:
            and that of a KerasHub preset.
        registry: Where the versions of the model are: a folder or gs:// URI.
        name: Of the model in the registry.
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
        warm_start: From which network a challenger is trained: "base", "champion", or "both" and the better is kept.
        gate: When a challenger is promoted, see graftwork.config.GateConfig.
        drift: When the data is no longer what it was, and what then, see graftwork.config.DriftConfig.
        notify: Where the outcome goes, as JSON: the URL of a webhook, or a path or gs:// URI; empty for nowhere.
        model_registry: URL of a Kubeflow Model Registry that follows the registry; empty for none.
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
    run = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    reported = report_outcome(registry=registry, name=name, run=run, notify=notify, model_registry=model_registry)
    with dsl.ExitHandler(on_cpu(reported).set_caching_options(False), name="retraining"):
        sources = look(data, base, ingest_shards)
        found = find_champion(
            registry=registry,
            name=name,
            data_fingerprint=sources.outputs["data_fingerprint"],
            base_model_fingerprint=sources.outputs["base_model_fingerprint"],
            run=run,
            preprocessing=preprocessing,
            input_size=input_size,
            feature_layer=feature_layer,
            stored_size=stored_size,
            prepare=prepare,
            head=head,
            fine_tune=fine_tune,
            gate=gate,
            drift=drift,
            warm_start=warm_start,
            precision=precision,
            seed=seed,
        )
        retried(on_cpu(found)).set_caching_options(False)
        champion = found.outputs["champion"]
        # Its name is Output: a run on one machine finds the value of a condition under no other.
        with dsl.If(found.outputs["Output"] == True, name="anything new"):  # noqa: E712
            loaded = load(base, sources, instead="")
            images, shares = prepare_images(data, sources, loaded, stored_size, prepare, extract_shards)
            checked = retried(on_cpu(check_data(images=images, champion=champion, policy=drift, seed=seed)))
            with dsl.ParallelFor(
                found.outputs["starts"], parallelism=PARALLELISM, name="network to start from"
            ) as start:
                begun = load(base, sources, instead=start).after(checked)
                grafted = head_on(begun, images, shares, head, precision, seed, nodes)
                tuned = nodes.run(
                    fine_tune_step(images=images, head=grafted, settings=fine_tune, precision=precision, seed=seed)
                ).outputs["model"]
            evaluated = evaluate(images=images, heads=dsl.Collected(grafted), sweep=dsl.Collected(tuned), seed=seed)
            evaluation = retried(on_cpu(evaluated)).outputs["evaluation"]
            selected = on_cpu(
                select_model(evaluation=evaluation, heads=dsl.Collected(grafted), sweep=dsl.Collected(tuned))
            )
            judged = judge(
                images=images,
                evaluation=evaluation,
                challenger=selected.outputs["model"],
                champion=champion,
                drift=checked.outputs["Output"],
                policy=gate,
                drift_policy=drift,
                seed=seed,
            )
            retried(on_cpu(judged))
            promoted = promote(
                registry=registry,
                name=name,
                images=images,
                challenger=selected.outputs["model"],
                verdict=judged.outputs["verdict"],
                report=judged.outputs["report"],
                drift_report=checked.outputs["report"],
                version=found.outputs["version"],
                inputs=found.outputs["inputs"],
                run=run,
            )
            retried(on_cpu(promoted)).set_caching_options(False)
