"""Measure what the gate looks at, and let it decide."""

import os
from dataclasses import dataclass
from itertools import islice

import numpy as np
import tensorflow as tf

from graftwork.artifacts import evaluation as evaluation_artifact
from graftwork.artifacts import images as images_artifact
from graftwork.artifacts import model as model_artifact
from graftwork.artifacts.model import ModelFolder
from graftwork.artifacts.model_files import without_record
from graftwork.components.judge.compare import Disagreement, compare
from graftwork.config import DriftConfig, GateConfig
from graftwork.drift.drift import accuracy_drop
from graftwork.errors import UserError
from graftwork.gate import export, verdict
from graftwork.gate.rules import ExportCheck
from graftwork.gate.verdict import Champion, GateInputs, Verdict
from graftwork.prediction.served import Served


@dataclass(frozen=True)
class Judged:
    """What came of it.

    Attributes:
        verdict: Of the gate.
        accuracy: Of "champion" and "challenger" on the images they were compared on.
        differing: Some of the images about which one of them is right.
        source: Where the images came from.
        compared: Whether there was a champion.
    """

    verdict: Verdict
    accuracy: dict[str, float]
    differing: list[Disagreement]
    source: str
    compared: bool


def judge(
    images_path: str | os.PathLike[str],
    evaluation_path: str | os.PathLike[str],
    challenger_path: str | os.PathLike[str],
    champion_path: str | os.PathLike[str],
    drift: str,
    policy: GateConfig,
    drift_policy: DriftConfig,
    seed: int,
) -> Judged:
    """Decide whether a challenger takes the champion's place.

    Args:
        images_path: An images artifact, of which the challenger saw training and validation.
        evaluation_path: The evaluation artifact of the challenger.
        challenger_path: Its model artifact.
        champion_path: The champion's; a folder without one if there is none.
        drift: What of the data has drifted; "" if nothing has.
        policy: Of the gate.
        drift_policy: Of drift: that the champion has become worse shows only here.
        seed: Of the bootstrap.

    Raises:
        UserError: An artifact is not what it claims to be, or the evaluation is of other models or images.
    """
    data, evaluated = images_artifact.read(images_path), evaluation_artifact.read(evaluation_path)
    challenger = model_artifact.read(challenger_path)
    name = challenger.description["candidate"]
    if name not in evaluated.candidates or evaluated.images != data.fingerprint:
        facts = {"evaluated": ", ".join(evaluated.candidates), "given": name}
        raise UserError("the evaluation is not of this model and these images", facts, next="evaluate it again")
    said = evaluated.predictions(name, "test")
    asked = min(export.REQUESTS, data.size("test"))
    requests = [record.encoded for record in islice(data.records("test"), asked)]
    exported = export.check(challenger.path, requests, said["probabilities"][:asked])
    accuracy = evaluated.candidates[name]["test"]["accuracy"]
    champion, reached, differing = None, {"challenger": accuracy}, list[Disagreement]()
    if model_artifact.is_model(champion_path):
        serving = model_artifact.read(champion_path)
        needed = {"latency", "size"} & set(policy.better_on)
        size = export.size_of(serving.path)
        found = _export(serving, requests) if needed else ExportCheck(size)
        pair, keys, differing = compare(data, evaluated, name, serving, policy)
        seen = seen_before(keys, serving, "champion")
        champion = Champion(serving.description["classes"], found, pair, seen)
        if pair:
            both = {"champion": pair.champion, "challenger": pair.challenger}
            reached = {who: float(given.right.mean()) for who, given in both.items()}
            held = pair.champion.right[pair.known]  # of new classes it knew nothing when it was made either
            worse = accuracy_drop(_when_made(serving), (float(held.mean()), len(held)), drift_policy)
            drift = "; ".join(filter(None, (drift, worse)))
    keys = said["keys"]
    seen = seen_before(keys, challenger, "challenger")
    warn = drift_policy.action == "warn"
    challenge = GateInputs(data.classes, accuracy, len(keys), seen, exported, drift, warn, champion)
    return Judged(verdict.decide(challenge, policy, seed), reached, differing, data.source, champion is not None)


def seen_before(keys: np.ndarray, model: ModelFolder, who: str) -> int:
    """Return how many images a model has been trained or chosen on, by their keys.

    Raises:
        UserError: The model does not say what it was trained on.
    """
    record = model.trained_on
    if record is None:
        raise without_record(who, model.path)
    return int(record.knows(keys).sum())


def _when_made(model: ModelFolder) -> tuple[float, int]:
    """Return the accuracy of a model on its own test images, and how many there were; nothing, if nobody looked."""
    made = model.description.get("metrics", {}).get("test", {})
    return made.get("accuracy", 0.0), made.get("n", 0)


def _export(serving: ModelFolder, requests: list[bytes]) -> ExportCheck:
    """Measure the champion as the challenger is measured; what it answers here is held against itself."""
    signature = Served(serving.path)
    batches = ({"encoded": tf.constant([request])} for request in requests)
    expected = np.concatenate([answers for _, answers in signature.answers(batches)])
    return export.check(serving.path, requests, expected)
