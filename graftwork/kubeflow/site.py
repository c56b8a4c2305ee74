"""What a platform team fixes for its cluster, and how it gets into a compiled pipeline."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes

from graftwork.components import IMAGE
from graftwork.config import StepsConfig
from graftwork.config.base import QUANTITY
from graftwork.errors import UserError
from graftwork.kubeflow import names
from graftwork.kubeflow.plan import step_name
from graftwork.kubeflow.resources import ask

DATA_MOUNT = "/data"
CREDENTIALS_MOUNT = "/var/run/secrets/graftwork"
CREDENTIALS_KEY = "credentials.json"
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
TMP_VOLUME, TMP_MOUNT = "tmp", "/tmp"
_REACHES_STORAGE = {
    "fingerprint_source",
    "load_base_model",
    "ingest_images",
    "find_champion",
    "promote",
    "report_outcome",
}
_VOLUMES = {
    *(TMP_VOLUME, "shared-memory"),
    *("kfp-launcher", "gcs-scratch", "s3-scratch", "minio-scratch"),
    *("dot-local-scratch", "dot-cache-scratch", "dot-config-scratch"),
    *("var-run-argo", "tmp-dir-argo"),
}
"""Volumes that the pods have anyway: ours, KFP's and Argo's."""
_WHY_LABEL = "Kubeflow gives the volume in the pods this name too, and names of volumes hold no dots"


@dataclass(frozen=True)
class Site:
    """What a platform team fixes for its cluster when it compiles.

    Attributes:
        image: In which every step runs.
        image_pull_secret: Name of the Kubernetes secret for the image's registry; "" for none.
        credentials_secret: Name of a Kubernetes secret whose key credentials.json lets Google's client reach the
            data, the base model and the registry; "" where the service account may.
        data_volume: Name of a persistent volume claim to mount at /data in these steps; "" for none.
        image_pull_policy: One of PULL_POLICIES; "" for the cluster's own.
        labels: Of every step's pod.
        annotations: Of every step's pod.
        run_as_group: ID of the group as which every step runs; None for the image's, 0.
        tmp_size: How much /tmp of a step may hold, as in "50Gi"; "" for what the node has to spare.
        steps: What each step asks for.

    Raises:
        UserError: A name, a label, an annotation, the policy, the group or the size is none that Kubernetes takes.

    Example:
        >>> site = graftwork.Site(image="registry.example/graftwork:1", data_volume="photos")
        >>> site.credentials_secret
        ''
    """

    image: str = IMAGE
    image_pull_secret: str = ""
    credentials_secret: str = ""
    data_volume: str = ""
    image_pull_policy: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    run_as_group: int | None = None
    tmp_size: str = ""
    steps: StepsConfig = field(default_factory=StepsConfig)

    def __post_init__(self) -> None:
        names.check_image(self.image)
        if self.image_pull_secret:
            names.check("the name of the image pull secret", self.image_pull_secret, names.SUBDOMAIN)
        self._check_volumes()
        names.check_labels(self.labels)
        names.check_annotations(self.annotations)
        if self.image_pull_policy not in ("", *PULL_POLICIES):
            facts = {"policies": ", ".join(PULL_POLICIES)}
            raise UserError(f"there is no image pull policy {self.image_pull_policy!r}", facts)
        if self.run_as_group is not None and self.run_as_group < 0:
            raise UserError(f"{self.run_as_group} is no ID of a group", {"expected": "a whole number from 0"})
        if self.tmp_size and not re.match(QUANTITY, self.tmp_size):
            facts = {"expected": "an amount as Kubernetes writes them, such as 50Gi"}
            raise UserError(f"{self.tmp_size!r} is no size for /tmp", facts)

    def _check_volumes(self) -> None:
        named = {"the credentials secret": self.credentials_secret, "the data volume's claim": self.data_volume}
        volumes = {what: name for what, name in named.items() if name}
        for what, name in volumes.items():
            names.check(f"the name of {what}", name, names.LABEL, _WHY_LABEL)
            if name in _VOLUMES:
                facts = {"given": name, "why": "the pods have a volume of that name already"}
                raise UserError(f"{what} cannot have this name", facts, next="give it another name")
        if len(set(volumes.values())) < len(volumes):
            facts = {"given": self.data_volume, "why": "Kubeflow names the volumes in the pods after them"}
            raise UserError("the credentials secret and the data volume's claim have the same name", facts)


def fit(pipeline: Any, site: Site) -> None:
    """Write what a site fixes into every executor of a pipeline."""
    executors = pipeline.pipeline_spec.deployment_spec["executors"]
    placed = pipeline.platform_spec.platforms["kubernetes"].deployment_spec.executors
    for label in executors:
        step = step_name(label.removeprefix("exec-"))
        container = executors[label]["container"]
        container["image"] = site.image
        ask(container, getattr(site.steps, step))
        config = json_format.ParseDict(json_format.MessageToDict(placed[label]), kubernetes.KubernetesExecutorConfig())
        _place(config, site)
        if step in _REACHES_STORAGE:
            _let_reach_storage(container, config, site)
        placed[label].Clear()
        json_format.ParseDict(json_format.MessageToDict(config), placed[label])


def _place(config: kubernetes.KubernetesExecutorConfig, site: Site) -> None:
    if site.image_pull_secret:
        secret = config.image_pull_secret.add(secret_name=site.image_pull_secret)
        secret.secret_name_parameter.runtime_value.constant.string_value = site.image_pull_secret
    if site.image_pull_policy:
        config.image_pull_policy = site.image_pull_policy
    config.pod_metadata.labels.update(site.labels)
    config.pod_metadata.annotations.update(site.annotations)
    if site.run_as_group is not None:
        config.security_context.run_as_group = site.run_as_group
    # Where root file systems are read-only, everything but the artifacts is written here; any user may.
    config.empty_dir_mounts.add(volume_name=TMP_VOLUME, mount_path=TMP_MOUNT, size_limit=site.tmp_size or None)


def _let_reach_storage(container: Any, config: kubernetes.KubernetesExecutorConfig, site: Site) -> None:
    if site.credentials_secret:
        volume = config.secret_as_volume.add(secret_name=site.credentials_secret, mount_path=CREDENTIALS_MOUNT)
        volume.secret_name_parameter.runtime_value.constant.string_value = site.credentials_secret
        path = f"{CREDENTIALS_MOUNT}/{CREDENTIALS_KEY}"
        container["env"] = [{"name": "GOOGLE_APPLICATION_CREDENTIALS", "value": path}]
    if site.data_volume:
        claim = config.pvc_mount.add(mount_path=DATA_MOUNT, constant=site.data_volume)
        claim.pvc_name_parameter.runtime_value.constant.string_value = site.data_volume
