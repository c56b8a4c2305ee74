"""Names of runs, experiments and schedules: what a server would refuse or Argo misread is refused here, in words."""

import re
from typing import Literal

from graftwork.errors import UserError

_LONGEST = {"run": 255, "schedule": 255, "experiment": 128}
"""Bytes in UTF-8: the columns of Kubeflow's database; of experiments, the server's own check too."""


def check_name(kind: Literal["run", "schedule", "experiment"], name: str) -> None:
    """Refuse a name that Kubeflow could not use; any other may hold spaces, capitals and letters of any language.

    Args:
        kind: What it is the name of.
        name: As it is to be shown.

    Raises:
        UserError: It is empty or too long, has control characters or {{, or is a schedule's and makes no name in
            Kubernetes.
    """
    facts = {"name": name if name.isprintable() else repr(name)}
    if not name.strip():
        raise UserError(f"the name of the {kind} is empty", facts)
    if not name.isprintable():
        raise UserError(f"the name of the {kind} has line breaks or other control characters", facts)
    if "{{" in name:
        problem = f"the name of the {kind} has {{{{ in it, which Argo takes for a variable of its own"
        raise UserError(problem, facts)
    if (length := len(name.encode())) > _LONGEST[kind]:
        facts = {"name": f"{name[:40]}...", "bytes": str(length), "expected": f"{_LONGEST[kind]} at most"}
        raise UserError(f"the name of the {kind} is too long", facts)
    # Of what is left over the server makes the name of a Kubernetes resource, which begins with a letter or digit.
    if kind == "schedule" and re.sub("[^a-z0-9-]", "", name.lower()).startswith("-"):
        expected = "one of a to z or 0 to 9 before the first hyphen"
        raise UserError("Kubernetes could not use the name of the schedule", {**facts, "expected": expected})
