"""What Kubernetes says about the pods of a run, for whoever may look at them.

Kubeflow's API does not tell why a pod waits: whether no node has room for it, or its image is being pulled. Kubernetes
does. Where its configuration is not on this machine, or does not let the user look, nothing is said.
"""

import logging
import os
from typing import Any

_RUN_LABEL = "pipeline/runid"
_NODE_ANNOTATION = "workflows.argoproj.io/node-id"
_CONFIGURATION = "KUBECONFIG"  # which the client itself reads but once
_IN_CLUSTER = "KUBERNETES_SERVICE_HOST"
_TIMEOUT = (3, 10)  # seconds to connect, and to wait for an answer
_PULLING = ("ContainerCreating", "PodInitializing", "")


class Pods:
    """Looks at the pods of a namespace.

    Args:
        namespace: In which the runs are.
        context: Of the Kubernetes configuration; None for the current one.
    """

    def __init__(self, namespace: str, context: str | None = None) -> None:
        self._namespace, self._context = namespace, context
        self._api: Any = None
        self._asked = False

    def waiting(self, run_id: str) -> dict[str, str]:
        """Return what the pods of a run wait for, by the IDs of their nodes; {} where that cannot be seen."""
        if not self._asked:  # only when something waits: a configuration may run programs, or ask for a password
            self._asked, self._api = True, _api(self._context)
        if self._api is None:
            return {}
        of_run = {"label_selector": f"{_RUN_LABEL}={run_id}", "field_selector": "status.phase=Pending"}
        try:
            pods = self._api.list_namespaced_pod(self._namespace, **of_run, _request_timeout=_TIMEOUT).items
        except Exception as error:  # not let in, gone, another cluster's configuration: no reason to stop watching
            logging.getLogger(__name__).debug("pods cannot be listed: %s", error)
            self._api = None
            return {}
        nodes = ((pod, (pod.metadata.annotations or {}).get(_NODE_ANNOTATION)) for pod in pods)
        return {node_id: _reason(pod.status) for pod, node_id in nodes if node_id}


def _api(context: str | None) -> Any:
    """Return Kubernetes' client; None where nothing says where it is."""
    from kubernetes import client, config

    try:
        if _IN_CLUSTER in os.environ and not context:
            config.load_incluster_config()
        else:
            config.load_kube_config(os.environ.get(_CONFIGURATION), context)  # None: the usual place
    except Exception:  # the client has many ways to say that there is none
        return None
    return client.CoreV1Api()


def _reason(status: Any) -> str:
    """Return what a pending pod waits for, in words."""
    for condition in status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return f"waiting for a node: {condition.message or condition.reason}"
    for container in [*(status.init_container_statuses or []), *(status.container_statuses or [])]:
        waiting = container.state and container.state.waiting
        if waiting and waiting.reason not in _PULLING:
            return f"{waiting.reason}: {waiting.message}" if waiting.message else str(waiting.reason)
    return "starting, pulling the image"
