"""What runs every night: look whether anything has changed, train a challenger, promote it only if it is better."""

from kfp import dsl

from graftwork.components.check_data.component import check_data
from graftwork.components.evaluate.component import evaluate
from graftwork.components.find_champion.component import find_champion
from graftwork.components.judge.component import judge
from graftwork.components.promote.component import promote
from graftwork.components.report_outcome.component import report_outcome
from graftwork.components.select_model.component import select_model
from graftwork.config import parameter
from graftwork.pipelines.grafting import load, look_at_sources, prepare_images, trained_head, tune
from graftwork.pipelines.interface import OF_RETRAINING, Inputs, pipeline
from graftwork.pipelines.scheduling import PARALLELISM, on_cpu

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


@pipeline("retraining", "Retraining", **{name: parameter(name) for name in OF_RETRAINING})
def retraining(inputs: Inputs) -> None:
    """Train a challenger if anything has changed, and let it serve only if it is better than the champion."""
    run = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    reported = report_outcome(run=run, **inputs.of(report_outcome))
    with dsl.ExitHandler(on_cpu(reported).set_caching_options(False), name="retraining"):
        sources = look_at_sources(inputs)
        found = find_champion(
            data_fingerprint=sources.outputs["data_fingerprint"],
            base_model_fingerprint=sources.outputs["base_model_fingerprint"],
            run=run,
            **inputs.of(find_champion),
        )
        on_cpu(found).set_caching_options(False)
        champion = found.outputs["champion"]
        # Its name is Output: a run on one machine finds the value of a condition under no other.
        with dsl.If(found.outputs["Output"] == True, name="anything new"):  # noqa: E712
            loaded = load(inputs, sources, instead="")
            images, shares = prepare_images(inputs, sources, loaded, at_least=found.outputs["stored_size"])
            checked = on_cpu(check_data(images=images, champion=champion, policy=inputs.drift, seed=inputs.seed))
            with dsl.ParallelFor(found.outputs["starts"], parallelism=PARALLELISM) as start:
                begun = load(inputs, sources, instead=start).after(checked)
                grafted = trained_head(inputs, begun, images, shares)
                tuned = tune(inputs, images, grafted)
            evaluated = evaluate(
                images=images, heads=dsl.Collected(grafted), sweep=dsl.Collected(tuned), seed=inputs.seed
            )
            evaluation = on_cpu(evaluated).outputs["evaluation"]
            selected = on_cpu(
                select_model(evaluation=evaluation, heads=dsl.Collected(grafted), sweep=dsl.Collected(tuned))
            )
            judged = judge(
                images=images,
                evaluation=evaluation,
                challenger=selected.outputs["model"],
                champion=champion,
                drift=checked.outputs["Output"],
                policy=inputs.gate,
                drift_policy=inputs.drift,
                seed=inputs.seed,
            )
            on_cpu(judged)
            promoted = promote(
                registry=inputs.registry,
                name=inputs.name,
                images=images,
                challenger=selected.outputs["model"],
                verdict=judged.outputs["verdict"],
                report=judged.outputs["report"],
                drift_report=checked.outputs["report"],
                version=found.outputs["version"],
                inputs=found.outputs["inputs"],
                run=run,
            )
            on_cpu(promoted).set_caching_options(False)
