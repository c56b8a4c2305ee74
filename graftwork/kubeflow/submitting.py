"""A run on Kubeflow: what it could not use refused, the pipeline uploaded if it has changed, and started."""

import contextlib
import copy
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp_server_api

from graftwork.config import HUB, Config
from graftwork.errors import UserError
from graftwork.kubeflow.compiling import Compiled
from graftwork.kubeflow.connection import Kubeflow
from graftwork.kubeflow.plan import tasks
from graftwork.kubeflow.site import DATA_MOUNT

EXPERIMENT = "graftwork"


@dataclass(frozen=True)
class Version:
    """A version of a pipeline on a server.

    Attributes:
        pipeline_id: Of the pipeline.
        version_id: Of the version.
        name: Of the version, made from its content.
        new: Whether it was uploaded just now.
    """

    pipeline_id: str
    version_id: str
    name: str
    new: bool


def check_for_cluster(config: Config, compiled: Compiled) -> None:
    """Refuse what a cluster could not use, before anything is created.

    Args:
        config: What the user has set.
        compiled: The pipeline to run.

    Raises:
        UserError: The data, the base model or the registry lies on this machine, or the pipeline needs a registry and
            none is named.
    """
    for key, problem in (("registry", "no registry is named"), ("name", "the model in the registry is not named")):
        if key in compiled.parameters and not getattr(config, key):
            raise UserError(problem, {"pipeline": compiled.name}, next=f"--set {key}=...")
    mounted = f"mountPath: {DATA_MOUNT}" in compiled.text
    for key in ("data", "base_model", "custom_objects", *(["registry"] if "registry" in compiled.parameters else [])):
        uri = getattr(config, key)
        is_name = uri.startswith(HUB) or (
            key in ("base_model", "custom_objects") and "/" not in uri and not Path(uri).suffix
        )
        if "://" in uri or is_name or (mounted and uri.startswith(f"{DATA_MOUNT}/")):
            continue
        raise UserError(
            f"{key.replace('_', ' ')} is a path on this machine, which the cluster cannot see",
            {key: uri},
            next=[
                "copy it to a bucket, and give its gs:// URI",
                f"or put it on a persistent volume: --data-volume CLAIM, and a path that begins with {DATA_MOUNT}/",
            ],
        )


def upload(kubeflow: Kubeflow, compiled: Compiled) -> Version:
    """Make sure that a server has exactly this pipeline; upload it as a new version only if it has not.

    Raises:
        UserError: The server refuses, or the connection is lost.
    """
    client, namespace = kubeflow.client, kubeflow.namespace
    found = kubeflow.find(client.list_pipelines, "pipelines", compiled.name, namespace=namespace)
    if found:
        pipeline_id = found[0].pipeline_id
        versions = kubeflow.find(
            client.list_pipeline_versions, "pipeline_versions", compiled.version, pipeline_id=pipeline_id
        )
        if versions:
            return Version(pipeline_id, versions[0].pipeline_version_id, compiled.version, new=False)
    else:
        pipeline = kfp_server_api.V2beta1Pipeline(
            name=compiled.name, display_name=compiled.name, description=compiled.description, namespace=namespace
        )
        with kubeflow.saying(f"create the pipeline {compiled.name}"):
            pipeline_id = client.pipelines.pipeline_service_create_pipeline(pipeline=pipeline).pipeline_id
    with (
        tempfile.TemporaryDirectory(prefix="graftwork-") as folder,
        kubeflow.saying(f"upload the pipeline {compiled.name}"),
        contextlib.redirect_stdout(None),  # the client prints a link
    ):
        path = Path(folder) / "pipeline.yaml"
        path.write_text(compiled.text, encoding="utf-8")
        version = client.upload_pipeline_version(
            str(path), compiled.version, pipeline_id=pipeline_id, description=compiled.description
        )
    return Version(pipeline_id, version.pipeline_version_id, compiled.version, new=True)


def experiment(kubeflow: Kubeflow, name: str) -> str:
    """Return the ID of an experiment, which is created if it is not there."""
    found = kubeflow.find(kubeflow.client.list_experiments, "experiments", name, namespace=kubeflow.namespace)
    if found:
        return str(found[0].experiment_id)
    with kubeflow.saying(f"create the experiment {name}"), contextlib.redirect_stdout(None):
        return str(kubeflow.client.create_experiment(name, namespace=kubeflow.namespace).experiment_id)


def submit(
    kubeflow: Kubeflow,
    pipeline: Version | Compiled,
    parameters: Mapping[str, Any],
    *,
    run_name: str,
    experiment_name: str = EXPERIMENT,
    service_account: str | None = None,
) -> str:
    """Start a run and return its ID.

    Args:
        kubeflow: The server.
        pipeline: A version of a pipeline that the server has. Or a compiled pipeline, which then runs without the
            cache: every task says whether it may come from there, and that goes before what is said of a run. So the
            server gets a pipeline that says no, for this run alone, and keeps no version of it.
        parameters: The pipeline's parameters.
        run_name: What to call it.
        experiment_name: Under which it is listed; created if it is not there.
        service_account: Kubernetes service account of the pods; None for the server's default.

    Raises:
        UserError: The server refuses, or the connection is lost.
    """
    run = kfp_server_api.V2beta1Run(
        experiment_id=experiment(kubeflow, experiment_name),
        display_name=run_name,
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=dict(parameters)),
        service_account=service_account,
    )
    if isinstance(pipeline, Version):
        run.pipeline_version_reference = kfp_server_api.V2beta1PipelineVersionReference(
            pipeline_id=pipeline.pipeline_id, pipeline_version_id=pipeline.version_id
        )
    else:
        run.pipeline_spec = without_cache(pipeline)
    with kubeflow.saying("start the run"):
        return str(kubeflow.client.runs.run_service_create_run(run=run).run_id)


def without_cache(compiled: Compiled) -> dict[str, Any]:
    """Return a pipeline whose tasks all run, as the server takes it without a version.

    KFP's client would switch the cache off for the tasks of the outermost DAG only.

    Returns:
        "pipeline_spec", and with it "platform_spec" where the pipeline has a part for Kubernetes.
    """
    spec, *platform = copy.deepcopy(compiled.documents)
    for _, task in tasks(spec):
        task["cachingOptions"] = {"enableCache": False}
    return {"pipeline_spec": spec, **({"platform_spec": platform[0]} if platform else {})}
