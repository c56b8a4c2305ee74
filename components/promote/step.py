"""The step as a pipeline runs it: KFP artifacts and parameters in, the serving version out."""

import json
from pathlib import Path
from typing import Any

from graftwork.components.promote.promote import keep, promote
from graftwork.registry.registry import Registry, author
from graftwork.reporting import progress


@progress.step("promote")
def run(
    registry: str,
    name: str,
    images: Any,
    challenger: Any,
    verdict: Any,
    report: Any,
    drift_report: Any,
    version: int,
    inputs: str,
    run: str,
) -> int:
    """Register and promote the KFP artifact `challenger` if `verdict` says so; return the version that serves."""
    decided = json.loads(Path(verdict.path).read_text(encoding="utf-8"))
    opened = Registry(registry, name)
    pages = {"verdict.html": report, "verdict.json": verdict, "drift.html": drift_report}
    kept = opened.keep_pages(run, {page: Path(artifact.path).read_bytes() for page, artifact in pages.items()})
    who = author("graftwork retraining", decided["reason"], run=run, inputs=inputs, report=kept)
    if not decided["promote"]:
        serving = keep(opened, version or None, who)
        progress.note(f"version {serving} serves on" if serving else "there is no champion still")
        return serving
    serving = promote(opened, images.path, challenger.path, version or None, decided, who)
    instead = f", instead of {version}" if version not in (0, serving) else ""
    progress.note(f"version {serving} is the champion{instead}")
    return serving
