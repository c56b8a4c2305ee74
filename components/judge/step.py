"""The step as a pipeline runs it: KFP artifacts in, the verdict out."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from graftwork.artifacts.folder import write_json
from graftwork.artifacts.kfp_metadata import write_metrics
from graftwork.components.judge.judge import judge
from graftwork.components.judge.report import render
from graftwork.config import DriftConfig, GateConfig, validated
from graftwork.reporting import progress


@progress.step("judge")
def run(
    images: Any,
    evaluation: Any,
    challenger: Any,
    champion: Any,
    verdict: Any,
    report: Any,
    metrics: Any,
    drift: str,
    policies: tuple[dict[str, Any], dict[str, Any]],
    seed: int,
) -> bool:
    """Judge the KFP artifact `challenger` beside `champion`; return whether to promote it."""
    gate = validated(GateConfig, policies[0], "the parameter gate")
    drift_policy = validated(DriftConfig, policies[1], "the parameter drift")
    judged = judge(images.path, evaluation.path, challenger.path, champion.path, drift, gate, drift_policy, seed)
    content = {**asdict(judged.verdict), "accuracy": judged.accuracy, "policy": gate.model_dump(mode="json")}
    write_json(verdict.path, content)
    Path(report.path).write_text(render(judged), encoding="utf-8")
    numbers = {f"{who}_accuracy": value for who, value in judged.accuracy.items()}
    numbers |= {
        f"rule_{rule.rule.replace(' ', '_')}": rule.number for rule in judged.verdict.rules if rule.number is not None
    }
    write_metrics(metrics, numbers)
    for rule in judged.verdict.rules:
        progress.note(f"{'pass' if rule.passed else 'FAIL'}  {rule.rule}: {rule.says}")
    progress.note(f"{'promote' if judged.verdict.promote else 'keep the champion'}: {judged.verdict.reason}")
    return judged.verdict.promote
