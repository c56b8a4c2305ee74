"""The step as a pipeline runs it: KFP artifacts in, findings and a page for people out."""

from pathlib import Path
from typing import Any

from graftwork.artifacts.folder import write_json
from graftwork.components.check_data.check import check
from graftwork.components.check_data.report import render
from graftwork.config import DriftConfig, validated
from graftwork.errors import UserError
from graftwork.reporting import progress


@progress.step("check_data")
def run(images: Any, champion: Any, drift: Any, report: Any, policy: dict[str, Any], seed: int) -> str:
    """Compare the KFP artifact `images` with what `champion` was trained on; return what has drifted."""
    config = validated(DriftConfig, policy, "the parameter drift")
    checked = check(images.path, champion.path, config, seed)
    write_json(drift.path, checked.drift.as_json() if checked.drift else {"why": checked.why})
    Path(report.path).write_text(render(checked), encoding="utf-8")
    progress.note(checked.why)
    drifted = {finding.what: finding.says for finding in (checked.drift.drifted if checked.drift else ())}
    if drifted and config.action == "stop":
        odd = {"least like before": ", ".join(image.source for image in checked.odd[:3])} if checked.odd else {}
        next = "the champion serves on; look at the data, or let it pass:  --set drift.action=warn"
        raise UserError("the data has drifted since the champion was trained", {**drifted, **odd}, next)
    for what, says in drifted.items():
        progress.note(f"drift in {what}: {says}")
    return checked.drift.problem if checked.drift else ""
