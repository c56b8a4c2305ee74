"""The nodes of a workflow as Kubeflow's API lists them, for runs that were never recorded.

A node has a full name, its path; Argo Workflows makes its ID from it. What the API gives are short names and the IDs of
what comes next, as in the answers in kubeflow_api/answers.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]


def node_id(workflow: str, name: str) -> str:
    value = 2166136261
    for byte in name.encode():
        value = ((value ^ byte) * 16777619) % 2**32
    return workflow if name == workflow else f"{workflow}-{value}"


class Workflow:
    """A workflow whose tasks a test moves on.

    Args:
        name: Of the workflow, as in transfer-learning-jfj4l.
    """

    def __init__(self, name: str = "grafting-abc12") -> None:
        self.name = name
        self._nodes: dict[str, Json] = {}
        self._children: dict[str, list[str]] = {}
        self._now = datetime(2026, 11, 26, 21, 0, 0, tzinfo=UTC)
        self._dag(f"{name}(0).root(0)")

    def pod(self, step: str, attempt: int = 0) -> str:
        """The ID of the node of a step's pod, by which its log is asked for."""
        return node_id(self.name, f"{self._place(step)}(0).executor({attempt})")

    def driver(self, step: str) -> str:
        return node_id(self.name, f"{self._place(step)}-driver(0)")

    def prepare(self, step: str, state: str = "RUNNING") -> None:
        """Let Kubeflow's driver work on a step, which has no pod yet."""
        self._retried(f"{self._place(step)}-driver", state)

    def move(self, step: str, *pods: str, state: str = "", seconds: int = 10) -> None:
        """Move a step to where its pods have these states, the first attempt first.

        Args:
            step: The keys of the tasks around it and its own, with the number of the iteration in a loop:
                "for-loop-2/1/fine-tune".
            pods: PENDING, RUNNING, SUCCEEDED or FAILED; none of a step that was taken from the cache.
            state: Of the step; "" for that of the last pod.
            seconds: How long it takes until then.
        """
        self._now += timedelta(seconds=seconds)
        self.prepare(step, "SUCCEEDED")
        state = state or (pods[-1] if pods else "SUCCEEDED")
        state = "RUNNING" if state == "PENDING" else state
        place = self._place(step)
        self._retried(place, state)
        executor = f"{place}(0).executor"
        self._set(executor, "SKIPPED" if not pods else state)
        self._follow(f"{place}(0)", executor)
        for number, pod in enumerate(pods):
            self._set(f"{executor}({number})", pod)
            self._follow(executor, f"{executor}({number})")

    def skip(self, task: str) -> None:
        """A branch whose condition did not hold."""
        self._set(self._place(task), "SKIPPED")

    def details(self) -> Json:
        """What the API has in run_details."""
        listed = []
        for name, node in self._nodes.items():
            children = [{"pod_name": node_id(self.name, child)} for child in self._children.get(name, [])]
            listed.append({**node, **({"child_tasks": children} if children else {})})
        return {"task_details": listed}

    def _place(self, step: str) -> str:
        *around, last = step.split("/")
        place = f"{self.name}(0).root(0)"
        for part in around:
            if part.isdecimal():
                group, place = f"{place}.iteration-iterations", f"{place}.iteration-iterations({part}:{part})(0)"
                self._set(group, "RUNNING")
                self._follow(group.rpartition(".")[0], group)
                self._follow(group, f"{group}({part}:{part})")
                place = f"{place}.iteration-item(0)"
            else:
                place = f"{place}.{part}(0)"
            self._dag(place)
        return f"{place}.{last}"

    def _dag(self, place: str) -> None:
        """The nodes down to a DAG, each of which runs."""
        parts = place.split(".")
        for depth in range(1, len(parts) + 1):
            name = ".".join(parts[:depth])
            if name not in self._nodes:
                if name.endswith("(0)"):
                    self._set(name.removesuffix("(0)"), "RUNNING")
                    self._follow(name.removesuffix("(0)"), name)
                self._set(name, "RUNNING")
            if depth > 1 and ":" not in parts[depth - 1]:
                self._follow(".".join(parts[: depth - 1]), name.removesuffix("(0)"))

    def _retried(self, name: str, state: str) -> None:
        self._set(name, state)
        self._set(f"{name}(0)", state)
        self._follow(name, f"{name}(0)")
        self._follow(name.rpartition(".")[0], name)

    def _set(self, name: str, state: str) -> None:
        now = self._now.strftime("%Y-%m-%dT%H:%M:%SZ")
        fresh = {
            "display_name": name.rpartition(".")[2],
            "create_time": now,
            "start_time": now,
            "end_time": "1970-01-01T00:00:00Z",
            "state_history": [],
        }
        node = self._nodes.setdefault(name, fresh)
        if node.get("state") != state:
            node["state"] = state
            node["state_history"].append({"update_time": now, "state": state})
            if state in ("SUCCEEDED", "FAILED", "SKIPPED"):
                node["end_time"] = now

    def _follow(self, name: str, child: str) -> None:
        children = self._children.setdefault(name, [])
        if child not in children:
            children.append(child)
