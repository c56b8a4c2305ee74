"""The step as a pipeline runs it: parameters in, the champion as a KFP artifact out."""

from typing import Any

from graftwork.artifacts.kfp_metadata import describe
from graftwork.components.find_champion.find import find, inputs_fingerprint
from graftwork.config import RetrainingConfig, validated
from graftwork.reporting import progress

_LOOPED_OVER = "find-champion-starts"
"""What the compiled pipeline calls the output of this step for each of whose items the challenger is trained."""


@progress.step("find_champion")
def run(
    registry: str,
    name: str,
    champion: Any,
    network: list[Any],
    others: list[Any],
    warm_start: str,
    run: str,
) -> tuple[bool, int, list[str], str, int]:
    """Copy the champion to the KFP artifact `champion`; return whether anything is new, and where to start."""
    config = validated(RetrainingConfig, {"warm_start": warm_start}, "the parameter warm_start")
    inputs = inputs_fingerprint(network, [*others, warm_start])
    found = find(registry, name, champion.path, inputs, config.warm_start, run)
    describe(champion, version=found.version)
    words = [f"champion, version {found.version}" if start else "base model" for start in found.starts]
    progress.result({"step": "find_champion", "items": {_LOOPED_OVER: words}})
    return found.changed, found.version, found.starts, found.inputs, found.stored_size
