"""Outputs of steps that no recent run has used go, so that a folder does not grow from night to night."""

import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from graftwork.running.kfp_internals import CACHE, runs, timestamp

RECENT = 5
"""Runs whose outputs stay, and what they have used of earlier ones."""


def clear(root: Path, used: Collection[str]) -> None:
    """Remove what none of the last runs has used. Removing too much costs time later, not truth.

    Args:
        root: Where KFP puts the outputs of steps.
        used: The keys of outputs that the last run has taken from the cache; their beginnings will do.
    """
    for key in used:
        for entry in (root / CACHE).glob(f"{key}*.json"):
            entry.touch()
    there = runs(root)
    if len(there) <= RECENT:
        return
    oldest = timestamp(there[-RECENT][0])
    entries = list((root / CACHE).glob("*.json"))
    unused = [entry for entry in entries if entry.stat().st_mtime < oldest]
    in_use = "".join(entry.read_text(encoding="utf-8") for entry in entries if entry not in unused)
    for entry in unused:  # first: what is being removed must not be taken for whole
        entry.unlink()
    for _, path in there[:-RECENT]:
        if f"{os.sep}{path.name}{os.sep}" not in in_use:
            with suppress(OSError):  # a container may have written as somebody else
                shutil.rmtree(path)
