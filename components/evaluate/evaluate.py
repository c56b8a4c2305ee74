"""Ask every candidate, as it will be served, about the validation and test images."""

import heapq
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from graftwork import progress
from graftwork.artifacts import evaluation, images, model
from graftwork.artifacts.folder import write_json, written_whole
from graftwork.components.evaluate.metrics import Answers, answers, joined, metrics
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
    model_paths: Sequence[str | os.PathLike[str]],
    path: str | os.PathLike[str],
    seed: int,
) -> Evaluated:
    """Evaluate the candidates.

    Args:
        images_path: An images artifact.
        model_paths: The candidates' model artifacts, the simplest first. Where fine-tuning was skipped, one comes twice
            and is evaluated once.
        path: The evaluation artifact to write.
        seed: Of the bootstrap.

    Raises:
        UserError: An artifact is not what it claims to be, or a model knows other classes than the images have.
    """
    data = images.read(images_path)
    folders = {folder.description["candidate"]: folder for folder in map(model.read, model_paths)}
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
                given = _Given(served, data, split, counter)
                shape = (data.size(split), len(data.classes))
                evaluation.write_predictions(target, name, split, shape, given.batches())
                candidates[name][split] = metrics(joined(given.answers), data.classes, seed)
                mistakes[name] = given.mistakes()  # of the last split, which is test
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


class _Given:
    """Asks a served model about the images of a split; keeps a few numbers of each, and the worst mistakes."""

    def __init__(self, served: Any, data: images.Images, split: str, counter: _Counter) -> None:
        self.answers: list[Answers] = []
        self._served, self._data, self._split, self._counter = served, data, split, counter
        self._worst: list[tuple[float, int, Mistake]] = []
        self._asked = 0

    def batches(self) -> Iterator[evaluation.Batch]:
        """Yield labels, probabilities and keys, batch by batch."""
        for batch in self._data.dataset(self._split).batch(_BATCH).prefetch(1):
            labels = batch["label"].numpy()
            # A model whose training diverged says NaN. It has to lose, not to break the run: its probabilities are 0.
            probabilities = np.nan_to_num(self._served(image_bytes=batch["encoded"])["probabilities"].numpy())
            given = answers(labels, probabilities)
            self.answers.append(given)
            for row in np.flatnonzero(given.rank):
                self._keep(int(row), given, batch)
            self._asked += len(labels)
            self._counter.add(len(labels))
            yield labels, probabilities, batch["key"].numpy()

    def mistakes(self) -> list[Mistake]:
        """Return the worst mistakes, worst first."""
        return [mistake for _, _, mistake in sorted(self._worst, reverse=True)]

    def _keep(self, row: int, given: Answers, batch: dict[str, tf.Tensor]) -> None:
        score, classes = float(given.confidence[row]), self._data.classes
        if len(self._worst) == _MISTAKES and score <= self._worst[0][0]:
            return
        source, encoded = batch["source"][row].numpy().decode(), batch["encoded"][row].numpy()
        predicted, label = classes[given.predicted[row]], classes[given.labels[row]]
        heapq.heappush(self._worst, (score, self._asked + row, Mistake(score, predicted, label, source, encoded)))
        if len(self._worst) > _MISTAKES:
            heapq.heappop(self._worst)
