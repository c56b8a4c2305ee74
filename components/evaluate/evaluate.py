"""Ask every candidate, as it will be served, about the validation and test images."""

import heapq
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from graftwork import progress
from graftwork.artifacts import evaluation, images, model
from graftwork.artifacts.folder import write_json, written_whole
from graftwork.components.evaluate.metrics import metrics
from graftwork.errors import UserError

_BATCH = 64
_MISTAKES = 24


@dataclass(frozen=True)
class Mistake:
    """A test image that a candidate gets wrong.

    Attributes:
        score: The probability of the wrong class.
        predicted: That class.
        label: The true class.
        source: Where the image came from.
        encoded: The image, as stored.
    """

    score: float
    predicted: str
    label: str
    source: str
    encoded: bytes


@dataclass(frozen=True)
class Evaluated:
    """An evaluation, and the worst mistakes of each candidate on the test images, worst first."""

    evaluation: evaluation.Evaluation
    mistakes: dict[str, list[Mistake]]


def evaluate(
    images_path: str | os.PathLike[str],
    head_path: str | os.PathLike[str],
    fine_tuned_path: str | os.PathLike[str],
    path: str | os.PathLike[str],
    seed: int,
) -> Evaluated:
    """Evaluate the candidates.

    Args:
        images_path: An images artifact.
        head_path: A model artifact, the base with its trained head.
        fine_tuned_path: A model artifact, the same fine-tuned; if fine-tuning was skipped it is the same candidate and
            is not evaluated again.
        path: The evaluation artifact to write.
        seed: Of the bootstrap.

    Raises:
        UserError: An artifact is not what it claims to be, or a model knows other classes than the images have.
    """
    data = images.read(images_path)
    folders = {folder.description["candidate"]: folder for folder in map(model.read, (head_path, fine_tuned_path))}
    for folder in folders.values():
        if folder.description["classes"] != data.classes:
            facts = {"model": ", ".join(folder.description["classes"]), "images": ", ".join(data.classes)}
            raise UserError("the model knows other classes than the images have", facts)
    total = len(folders) * sum(data.size(split) for split in evaluation.SPLITS)
    counter = _Counter(total)
    candidates: dict[str, dict[str, Any]] = {}
    mistakes: dict[str, list[Mistake]] = {}
    with written_whole(path) as target:
        for name, folder in folders.items():
            served = tf.saved_model.load(str(folder.path)).signatures["serving_default"]
            candidates[name] = {}
            for split in evaluation.SPLITS:
                worst = _answer(served, data, split, name, target, counter)
                mistakes[name] = worst  # of the last split, which is test
                arrays = {
                    array: np.load(evaluation.array_file(target, name, split, array), mmap_mode="r")
                    for array in ("labels", "probabilities")
                }
                candidates[name][split] = metrics(arrays["labels"], arrays["probabilities"], data.classes, seed)
        description = {
            "schema": evaluation.SCHEMA,
            "classes": data.classes,
            "images": data.fingerprint,
            "candidates": candidates,
            "training": {name: folder.description["training"] for name, folder in folders.items()},
        }
        write_json(target / evaluation.DESCRIPTION, description)
    return Evaluated(evaluation.read(path), mistakes)


class _Counter:
    def __init__(self, total: int) -> None:
        self.done, self.total = 0, total

    def add(self, count: int) -> None:
        self.done += count
        progress.report(self.done, self.total, "images")


def _answer(served: Any, data: images.Images, split: str, name: str, folder: Path, counter: _Counter) -> list[Mistake]:
    """Write labels, probabilities and keys of one split; return the worst mistakes, worst first."""
    size, classes = data.size(split), data.classes
    shapes: Mapping[str, tuple[tuple[int, ...], Any]] = {
        "labels": ((size,), np.int32),
        "probabilities": ((size, len(classes)), np.float32),
        "keys": ((size,), "S64"),
    }
    arrays = {
        array: np.lib.format.open_memmap(
            evaluation.array_file(folder, name, split, array), mode="w+", shape=shape, dtype=dtype
        )
        for array, (shape, dtype) in shapes.items()
    }
    worst: list[tuple[float, int, Mistake]] = []
    start = 0
    for batch in data.dataset(split).batch(_BATCH).prefetch(1):
        probabilities = served(image_bytes=batch["encoded"])["probabilities"].numpy()
        labels = batch["label"].numpy()
        rows = slice(start, start + len(labels))
        arrays["labels"][rows], arrays["keys"][rows] = labels, batch["key"].numpy()
        arrays["probabilities"][rows] = probabilities
        best = probabilities.argmax(axis=1)
        for row in np.flatnonzero(best != labels):
            score = float(probabilities[row, best[row]])
            source, encoded = batch["source"][row].numpy().decode(), batch["encoded"][row].numpy()
            mistake = Mistake(score, classes[best[row]], classes[labels[row]], source, encoded)
            heapq.heappush(worst, (score, start + int(row), mistake))
            if len(worst) > _MISTAKES:
                heapq.heappop(worst)
        start += len(labels)
        counter.add(len(labels))
    for array in arrays.values():
        array.flush()
    return [mistake for _, _, mistake in sorted(worst, reverse=True)]
