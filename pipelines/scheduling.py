"""On which nodes steps run, what they may use there, and how often they are tried.

Everything a cluster's user may want to choose is a parameter of the pipeline: one compiled file serves every cluster.
"""

from dataclasses import dataclass
from typing import Any

from kfp import kubernetes
from kfp.dsl import PipelineTask

PARALLELISM = 16
"""How many tasks of one loop run at the same time at most."""
_REQUEST = {"cpu": "1", "memory": "2Gi"}
"""Of the steps that do not train: all of them stream, and stay below 2 GiB."""


@dataclass(frozen=True)
class Nodes:
    """The nodes on which steps train or extract: parameters of the pipeline.

    Attributes:
        accelerator: Resource name, as in nvidia.com/gpu.
        accelerators: How many of it, as text; "0" for none.
        node_selector: Labels a node must have.
        tolerations: Taints a node may have.
        cpu: Limit and request, as in "4".
        memory: Limit and request, as in "16Gi".
    """

    accelerator: Any
    accelerators: Any
    node_selector: Any
    tolerations: Any
    cpu: Any
    memory: Any

    def run(self, task: PipelineTask) -> PipelineTask:
        """Let a step run on these nodes."""
        # KFP passes into a loop only what it knows a task to read; it does not look for resources there.
        task.register_pipeline_channels(list(vars(self).values()))
        task.set_accelerator_type(self.accelerator).set_accelerator_limit(self.accelerators)
        task.set_cpu_limit(self.cpu).set_memory_limit(self.memory)
        kubernetes.add_node_selector_json(task, self.node_selector)
        kubernetes.add_toleration_json(task, self.tolerations)
        # NCCL moves gradients between GPUs through shared memory, of which containers have 64 MiB. A memory volume
        # without a size of its own is as large as the memory limit.
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory")
        return retried(_named(task))


def on_cpu(task: PipelineTask) -> PipelineTask:
    """Let a step run on any node; it needs no accelerator."""
    return _named(task).set_cpu_request(_REQUEST["cpu"]).set_memory_request(_REQUEST["memory"])


def retried(task: PipelineTask) -> PipelineTask:
    """Try a long step again when its node was taken away: after one minute, then after two more."""
    return task.set_retry(2, backoff_duration="60s", backoff_factor=2, backoff_max_duration="600s")


def _named(task: PipelineTask) -> PipelineTask:
    return task.set_display_name(task.name.replace("-", " ").capitalize())
