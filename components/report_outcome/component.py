"""The interface of the step to KFP."""

from kfp import dsl
from kfp.dsl import Artifact, Output, PipelineTaskFinalStatus

from graftwork.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def report_outcome(  # type: ignore[no-untyped-def]
    status: PipelineTaskFinalStatus,
    registry: str,
    name: str,
    run: str,
    outcome: Output[Artifact],
    notify: str = "",
    model_registry: str = "",
):
    """Report how a retraining ended: promoted, kept, unchanged or failed.

    Args:
        status: Of everything before, by KFP.
        registry: Where the versions of models are: a folder or gs:// URI with a folder per model.
        name: Of the model in the registry.
        run: The pipeline run's ID.
        outcome: How it ended and why, as JSON.
        notify: Where the outcome of every run goes, as JSON: the URL of a webhook, or a path or gs:// URI of a file;
            empty for nowhere.
        model_registry: URL of a Kubeflow Model Registry that repeats the registry after every run; empty for none.
    """
    from graftwork.components.report_outcome.step import run as run_step

    run_step(status, registry, name, run, outcome, notify, model_registry)
