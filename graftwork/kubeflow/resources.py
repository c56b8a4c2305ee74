"""What a step asks for, in the words of a compiled pipeline."""

from typing import Any

from graftwork.config import AcceleratedStep, StepResources, quantity


def ask(container: Any, wanted: StepResources) -> None:
    """Write what a step asks for into its container.

    What a step with an accelerator does not say stands there already, as the pipeline's parameters.

    Args:
        container: Of an executor of a compiled pipeline; changed in place.
        wanted: CPUs, memory and accelerators.
    """
    resources = container.get_or_create_struct("resources")
    request = {"Cpu": wanted.cpu, "Memory": wanted.memory}
    limit = {"Cpu": wanted.cpu_limit, "Memory": wanted.memory_limit}
    if isinstance(wanted, AcceleratedStep):
        # A limit without a request is both.
        limit = {kind: limit[kind] or request[kind] for kind in limit}
        request = {kind: request[kind] if request[kind] != limit[kind] else None for kind in request}
        if wanted.accelerators == 0:
            resources.fields.pop("accelerator", None)
        elif wanted.accelerators:
            resources["accelerator"]["resourceCount"] = str(wanted.accelerators)
    for kind, per in (("Cpu", 1), ("Memory", 1e9)):
        for name, amount in (("Request", request[kind]), ("Limit", limit[kind])):
            if amount:
                resources[f"resource{kind}{name}"] = amount
                resources[f"{kind.lower()}{name}"] = quantity(amount) / per  # for older backends
