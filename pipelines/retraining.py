"""What runs every night: look whether anything has changed, train a challenger, promote it only if it is better."""

from kfp import dsl

from graftwork.components.check_data.component import check_data
from graftwork.components.evaluate.component import evaluate
from graftwork.components.find_champion.component import find_champion
from graftwork.components.judge.component import judge
from graftwork.components.promote.component import promote
from graftwork.components.report_outcome.component import report_outcome
from graftwork.components.select_model.component import select_model
from graftwork.config import RetrainingConfig
from graftwork.pipelines.grafting import head_on, load, look, prepare_images, tune
from graftwork.pipelines.interface import Given, Parameter, pipeline
from graftwork.pipelines.scheduling import PARALLELISM, on_cpu, retried

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


@pipeline(
    "retraining",
    "Retraining",
    registry=Parameter(str, "Where the versions of the model are: a folder or gs:// URI."),
    name=Parameter(str, "Of the model in the registry."),
    warm_start=Parameter(
        str,
        'From which network a challenger is trained: "base", "champion", or "both" and the better is kept.',
        USUAL.warm_start,
    ),
    gate=Parameter(dict, "When a challenger is promoted, see graftwork.config.GateConfig.", {}),
    drift=Parameter(
        dict, "When the data is no longer what it was, and what then, see graftwork.config.DriftConfig.", {}
    ),
    notify=Parameter(
        str,
        "Where the outcome goes, as JSON: the URL of a webhook, or a path or gs:// URI; empty for nowhere.",
        USUAL.notify,
    ),
    model_registry=Parameter(
        str, "URL of a Kubeflow Model Registry that follows the registry; empty for none.", USUAL.model_registry
    ),
)
def retraining(given: Given) -> None:
    """Train a challenger if anything has changed, and let it serve only if it is better than the champion."""
    run = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    reported = report_outcome(
        registry=given.registry, name=given.name, run=run, notify=given.notify, model_registry=given.model_registry
    )
    with dsl.ExitHandler(on_cpu(reported).set_caching_options(False), name="retraining"):
        sources = look(given)
        found = find_champion(
            registry=given.registry,
            name=given.name,
            data_fingerprint=sources.outputs["data_fingerprint"],
            base_model_fingerprint=sources.outputs["base_model_fingerprint"],
            run=run,
            preprocessing=given.preprocessing,
            input_size=given.input_size,
            feature_layer=given.feature_layer,
            stored_size=given.stored_size,
            prepare=given.prepare,
            head=given.head,
            fine_tune=given.fine_tune,
            gate=given.gate,
            drift=given.drift,
            warm_start=given.warm_start,
            precision=given.precision,
            seed=given.seed,
        )
        retried(on_cpu(found)).set_caching_options(False)
        champion = found.outputs["champion"]
        # Its name is Output: a run on one machine finds the value of a condition under no other.
        with dsl.If(found.outputs["Output"] == True, name="anything new"):  # noqa: E712
            loaded = load(given, sources, instead="")
            images, shares = prepare_images(given, sources, loaded, at_least=found.outputs["stored_size"])
            checked = retried(on_cpu(check_data(images=images, champion=champion, policy=given.drift, seed=given.seed)))
            with dsl.ParallelFor(
                found.outputs["starts"], parallelism=PARALLELISM, name="network to start from"
            ) as start:
                begun = load(given, sources, instead=start).after(checked)
                grafted = head_on(given, begun, images, shares)
                tuned = tune(given, images, grafted)
            evaluated = evaluate(
                images=images, heads=dsl.Collected(grafted), sweep=dsl.Collected(tuned), seed=given.seed
            )
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
                policy=given.gate,
                drift_policy=given.drift,
                seed=given.seed,
            )
            retried(on_cpu(judged))
            promoted = promote(
                registry=given.registry,
                name=given.name,
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
