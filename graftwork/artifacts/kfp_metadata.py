"""What KFP keeps of an artifact beside its files, and shows: metadata, and the numbers of metrics.

All of it goes through here: KFP's launcher reads it as JSON, which has no NaN and no infinity, and fails the step that
writes one.
"""

import math
from collections.abc import Mapping
from typing import Any

from graftwork.artifacts.folder import write_json
from graftwork.reporting import progress


def describe(artifact: Any, **entries: str | float) -> None:
    """Add entries to the metadata of a KFP artifact; without the numbers that are not finite, which a note names."""
    artifact.metadata.update(finite(entries))


def write_metrics(metrics: Any, numbers: Mapping[str, float], content: Mapping[str, Any] | None = None) -> None:
    """Write numbers to a KFP artifact of metrics: for KFP to show, and as JSON.

    Args:
        metrics: The artifact.
        numbers: By name; those that are not finite are left out, and a note names them.
        content: What its file holds instead of the numbers.
    """
    shown = finite(numbers)
    for name, number in shown.items():
        metrics.log_metric(name, number)
    write_json(metrics.path, shown if content is None else content)


def finite(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries without numbers that are not finite; tell the user of those."""
    odd = {name for name, value in entries.items() if isinstance(value, float) and not math.isfinite(value)}
    if odd:
        said = ", ".join(f"{name} ({entries[name]})" for name in sorted(odd))
        progress.note(f"not finite, so Kubeflow cannot show it: {said}")
    return {name: value for name, value in entries.items() if name not in odd}
