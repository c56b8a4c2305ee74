"""Measure what the gate looks at, and let it decide."""

import fnmatch
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import tensorflow as tf

from graftwork import progress
from graftwork.artifacts import evaluation as evaluation_artifact
from graftwork.artifacts import images as images_artifact
from graftwork.artifacts import model as model_artifact
from graftwork.artifacts.evaluation import Evaluation
from graftwork.artifacts.images import Images
from graftwork.artifacts.model import ModelFolder
from graftwork.config import GateConfig
from graftwork.errors import UserError
from graftwork.gate import export, verdict
from graftwork.gate.rules import Export, Given, Pair
from graftwork.gate.verdict import Challenge, Champion, Verdict
from graftwork.served import Served

_BATCH = 32
_ROWS = 8192


@dataclass(frozen=True)
class Policy:
    """What a challenger is judged by."""

    gate: GateConfig = field(default_factory=GateConfig)
    drift_may_pass: bool = False


@dataclass(frozen=True)
class Judged:
    """The verdict, and the accuracy of "champion" and "challenger" on the images they were compared on."""

    verdict: Verdict
    accuracy: dict[str, float]
    source: str


def judge(
    images_path: str | os.PathLike[str],
    evaluation_path: str | os.PathLike[str],
    challenger_path: str | os.PathLike[str],
    champion_path: str | os.PathLike[str],
    drift: str,
    policy: Policy,
    seed: int,
) -> Judged:
    """Decide whether a challenger takes the champion's place.

    Args:
        images_path: An images artifact, of which the challenger saw training and validation.
        evaluation_path: The evaluation artifact of the challenger.
        challenger_path: Its model artifact.
        champion_path: The champion's; a folder without one if there is none.
        drift: What of the data has drifted; "" if nothing has.
        policy: Of the gate, and what drift means to it.
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
    champion, reached = None, {"challenger": accuracy}
    if model_artifact.is_model(champion_path):
        serving = model_artifact.read(champion_path)
        needed = {"latency", "size"} & set(policy.gate.better_on)
        size = export.size_of(serving.path)
        found = _export(serving, requests) if needed else Export(size)
        pair, keys = compare(data, evaluated, name, serving, policy.gate.slices)
        seen, by_challenger = seen_before(keys, serving, "champion"), seen_before(keys, challenger, "challenger")
        champion = Champion(serving.description["classes"], found, pair, seen, by_challenger)
        if pair:
            both = {"champion": pair.champion, "challenger": pair.challenger}
            reached = {who: float(given.right.mean()) for who, given in both.items()}
    challenge = Challenge(data.classes, accuracy, exported, drift, policy.drift_may_pass, champion)
    return Judged(verdict.judge(challenge, policy.gate, seed), reached, data.source)


def compare(
    data: Images, evaluated: Evaluation, candidate: str, champion: ModelFolder, slices: Mapping[str, str]
) -> tuple[Pair | None, np.ndarray]:
    """Ask the champion about the test images of classes that it knows, beside what the challenger said of them.

    Returns:
        Both answers, None if there is no such image; and the keys of these images, bytes (n,).
    """
    said = evaluated.predictions(candidate, "test")
    challengers, champions = np.array(data.classes), np.array(champion.description["classes"])
    known = np.isin(challengers, champions)[said["labels"]]  # bool (test images,)
    predicted, confidence = _chosen(said["probabilities"])
    names, sure = np.empty(len(known), champions.dtype), np.zeros(len(known), np.float32)
    sources = np.zeros((len(slices), len(known)), bool)
    row = 0
    for batch, answers in Served(champion.path).answers(data.dataset("test").batch(_BATCH).prefetch(2)):
        rows = slice(row, row + len(answers))
        if (batch["key"].numpy() != said["keys"][rows]).any():
            raise UserError("the evaluation is of other images", {"images": data.path}, next="evaluate them again")
        answers = np.nan_to_num(answers)
        names[rows], sure[rows] = champions[answers.argmax(axis=1)], answers.max(axis=1)
        for number, pattern in enumerate(slices.values()):
            sources[number, rows] = [fnmatch.fnmatch(source.decode(), pattern) for source in batch["source"].numpy()]
        row += len(answers)
        progress.report(row, len(known), "images")
    if not known.any():
        return None, said["keys"][known]
    labels = challengers[said["labels"]][known]
    pair = Pair(
        labels,
        Given(names[known] == labels, sure[known]),
        Given(challengers[predicted][known] == labels, confidence[known]),
        {name: sources[number][known] for number, name in enumerate(slices)},
    )
    return pair, said["keys"][known]


def seen_before(keys: np.ndarray, model: ModelFolder, who: str) -> int:
    """Return how many images a model has been trained or chosen on, by their keys.

    Raises:
        UserError: The model does not say what it was trained on.
    """
    record = model.trained_on
    if record is None:
        facts = {"model": model.path, "expected": model_artifact.TRAINED_ON}
        next = "promote a model that this version of graftwork has made:  graftwork models promote FOLDER"
        raise UserError(f"the {who} does not say which images it was trained on", facts, next)
    return int(record.knows(keys).sum())


def _chosen(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the most probable class of each row and its probability, a bounded number of rows at a time."""
    parts = [np.asarray(probabilities[row : row + _ROWS]) for row in range(0, len(probabilities), _ROWS)]
    return np.concatenate([part.argmax(axis=1) for part in parts]), np.concatenate([part.max(axis=1) for part in parts])


def _export(serving: ModelFolder, requests: list[bytes]) -> Export:
    """Measure the champion as the challenger is measured; what it answers here is held against itself."""
    signature = Served(serving.path)
    batches = ({"encoded": tf.constant([request])} for request in requests)
    expected = np.concatenate([answers for _, answers in signature.answers(batches)])
    return export.check(serving.path, requests, expected)
