"""On which nodes steps run, what they may use there, and how often they are tried.

What a cluster's user may want to choose for the steps with an accelerator is a parameter of the pipeline. What the
other steps ask for is written in when a pipeline is compiled for a site.
"""

from typing import Any

from kfp import kubernetes
from kfp.dsl import PipelineTask

PARALLELISM = 16
"""How many tasks of one loop run at the same time at most."""
_ATTEMPTS_END = "30d"
"""After which no further attempt begins, and the one under way is stopped. Argo counts from the start of the first, so
this has to be longer than any step takes, waiting for a node included."""


def on_nodes(task: PipelineTask, inputs: Any) -> PipelineTask:
    """Let a step that uses an accelerator run on the nodes that the parameters of its pipeline name."""
    # KFP passes into a loop only what it knows a task to read; it does not look for resources there.
    names = ("accelerator", "accelerators", "node_selector", "tolerations", "cpu", "memory")
    task.register_pipeline_channels([getattr(inputs, name) for name in names])
    task.set_accelerator_type(inputs.accelerator).set_accelerator_limit(inputs.accelerators)
    task.set_cpu_limit(inputs.cpu).set_memory_limit(inputs.memory)
    kubernetes.add_node_selector_json(task, inputs.node_selector)
    kubernetes.add_toleration_json(task, inputs.tolerations)
    # NCCL moves gradients between GPUs through shared memory, of which containers have 64 MiB. A memory volume without
    # a size of its own is as large as the memory limit.
    kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory")
    return _retried(_named(task))


def on_cpu(task: PipelineTask) -> PipelineTask:
    """Let a step run on any node; it needs no accelerator."""
    return _retried(first(task))


def first(task: PipelineTask) -> PipelineTask:
    """Let a step run on any node, once: the first of all, where mistakes in what was given show.

    Some backends try again whatever has failed, and the sentence about the mistake would wait for all attempts. With
    the first step nothing is lost.
    """
    return _named(task)


def _retried(task: PipelineTask) -> PipelineTask:
    """Try a step again when its pod was taken away: after 15 seconds, then after one minute.

    Argo waits before it looks whether there will be another attempt, so what fails for good waits that long too.
    """
    return task.set_retry(2, backoff_duration="15s", backoff_factor=4, backoff_max_duration=_ATTEMPTS_END)


def _named(task: PipelineTask) -> PipelineTask:
    return task.set_display_name(task.name.replace("-", " ").capitalize())
