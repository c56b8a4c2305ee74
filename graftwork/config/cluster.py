"""What runs where on a cluster: nodes and accelerators, and what each step asks for."""

from typing import Any, Self

from pydantic import Field, model_validator

from graftwork.config.base import Quantity, Settings, quantity

GPU_TOLERATIONS: tuple[dict[str, str | int], ...] = (
    {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
)
"""The taint that GPU nodes usually carry, so that nothing else runs on them."""


MOST_SHARDS = 128
"""Of the artifacts of all shards KFP makes one argument of a command line, for which Linux has room for 128 KiB: 1 KiB
for each. An entry takes 530 to 580 bytes, and more the longer the store's address is."""


class StepResources(Settings):
    """What a step asks for on a cluster."""

    cpu: Quantity | None = None
    """CPUs that the step asks for; not given: as the table says."""
    memory: Quantity | None = None
    """Memory that the step asks for; not given: as the table says."""
    cpu_limit: Quantity | None = None
    """CPUs that the step gets at most; not given: what the node has to spare, or of extract_features and fine_tune what
    they ask for."""
    memory_limit: Quantity | None = None
    """Memory above which Kubernetes kills the step; not given: what the node has to spare, or for extract_features and
    fine_tune what they ask for."""

    @model_validator(mode="after")
    def _leave_room(self) -> Self:
        for name, limit in (("cpu", self.cpu_limit), ("memory", self.memory_limit)):
            request = getattr(self, name)
            if request and limit and quantity(request) > quantity(limit):
                raise ValueError(f"{name} is {request}, which is more than {name}_limit, {limit}")
        return self


class AcceleratedStep(StepResources):
    """What a step that uses accelerators asks for, where it is not what the cluster's settings say for both of them."""

    accelerators: int | None = Field(default=None, ge=0)
    """How many accelerators the step gets; not given: cluster.accelerators."""


class StepsConfig(Settings):
    """What each step asks for on a cluster, fixed when a pipeline is compiled."""

    fingerprint_source: StepResources = StepResources(cpu="500m", memory="512Mi")
    """Lists the source."""
    find_champion: StepResources = StepResources(cpu="500m", memory="512Mi")
    """Copies the champion."""
    load_base_model: StepResources = StepResources(cpu="1", memory="4Gi")
    """Holds the base model, and where it is converted a second one beside it."""
    ingest_images: StepResources = StepResources(cpu="1", memory="2Gi")
    """Decodes and shrinks images, a few at a time."""
    prepare_data: StepResources = StepResources(cpu="1", memory="2Gi")
    """Streams images into shards."""
    check_data: StepResources = StepResources(cpu="1", memory="4Gi")
    """Runs the champion over a sample of the images."""
    extract_features: AcceleratedStep = AcceleratedStep()
    """Runs the base model over every image."""
    train_head: StepResources = StepResources(cpu="1", memory="4Gi")
    """Solves linear systems on features, on CPUs."""
    fine_tune: AcceleratedStep = AcceleratedStep()
    """Trains the last layers."""
    evaluate: StepResources = StepResources(cpu="1", memory="4Gi")
    """Runs every candidate over the validation and test images."""
    select_model: StepResources = StepResources(cpu="500m", memory="1Gi")
    """Copies a model."""
    judge: StepResources = StepResources(cpu="1", memory="4Gi")
    """Runs champion and challenger over the test images."""
    promote: StepResources = StepResources(cpu="1", memory="4Gi")
    """Opens a model, and copies it into the registry with what it was trained on."""
    report_outcome: StepResources = StepResources(cpu="500m", memory="512Mi")
    """Reads the registry."""

    @model_validator(mode="before")
    @classmethod
    def _over_defaults(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        laid = {}
        for step, value in given.items():
            field = cls.model_fields.get(step)
            if not field or not isinstance(value, dict):
                laid[step] = value
                continue
            if "accelerators" in value and "accelerators" not in type(field.default).model_fields:
                raise ValueError(f"{step} uses no accelerator; only extract_features and fine_tune do")
            laid[step] = {**field.default.model_dump(exclude_none=True), **value}
        return laid


class ClusterConfig(Settings):
    """What the steps get on a cluster, and how far the work fans out.

    On one machine only the shards count, and one of each is best.
    """

    accelerator: str = Field(default="nvidia.com/gpu", min_length=1)
    """Resource name of the accelerator that extract_features and fine_tune ask for."""
    accelerators: int = Field(default=1, ge=0)
    """How many of the accelerator each of extract_features and fine_tune gets; 0 for none."""
    node_selector: dict[str, str] = Field(default={})
    """Labels of the nodes on which extract_features and fine_tune run, as in {"pool": "gpu"}."""
    tolerations: tuple[dict[str, str | int], ...] = GPU_TOLERATIONS
    """Taints of nodes which extract_features and fine_tune tolerate, as Kubernetes writes them."""
    cpu: Quantity = "4"
    """CPU limit and request of each of extract_features and fine_tune."""
    memory: Quantity = "16Gi"
    """Memory limit and request of each of extract_features and fine_tune; also bounds its shared memory."""
    ingest_shards: int = Field(default=1, ge=1, le=MOST_SHARDS)
    """Over how many machines the reading of the images fans out; at most 128, as many as KFP can list in one argument
    of a command."""
    extract_shards: int = Field(default=1, ge=1, le=MOST_SHARDS)
    """Over how many machines the extraction of features fans out; at most 128, as many as KFP can list in one
    argument of a command."""
    steps: StepsConfig = Field(default_factory=StepsConfig)

    @property
    def one_shard(self) -> bool:
        """Whether nothing fans out."""
        return self.ingest_shards == self.extract_shards == 1
