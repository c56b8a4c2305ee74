"""Ask every candidate, as it will be served, about the validation and test images."""

import heapq
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graftwork.artifacts import evaluation, images, model
from graftwork.artifacts.folder import write_json
from graftwork.errors import UserError
from graftwork.evaluation.metrics import Answers, answers, joined, metrics
from graftwork.prediction.served import Served
from graftwork.reporting import metering, progress
from graftwork.storage import whole

_BATCH = 32
_BATCHES_AHEAD = 2
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
        model_paths: The candidates' model artifacts, in any order. Where fine-tuning was skipped, one comes twice and
            is evaluated once.
        path: The evaluation artifact to write.
        seed: Of the bootstrap.

    Raises:
        UserError: An artifact is not what it claims to be, or a model knows other classes than the images have.
    """
    meter = metering.Meter()
    data = images.read(images_path)
    folders = model.candidates(model_paths)
    for folder in folders.values():
        if folder.description["classes"] != data.classes:
            facts = {"model": ", ".join(folder.description["classes"]), "images": ", ".join(data.classes)}
            raise UserError("the model knows other classes than the images have", facts)
    size = sum(data.size(split) for split in evaluation.SPLITS)
    floor = 0.0
    candidates: dict[str, dict[str, Any]] = {}
    mistakes: dict[str, list[Mistake]] = {}
    with whole.folder(path) as target:
        for name, folder in folders.items():
            served = Served(folder.path)
            candidates[name] = {}
            for split in evaluation.SPLITS:
                given = _SplitEvaluation(served, data, split, meter, total=size * len(folders))
                shape = (data.size(split), len(data.classes))
                evaluation.write_predictions(target, name, split, shape, given.batches())
                candidates[name][split] = metrics(joined(given.answers), data.classes, seed)
                mistakes[name] = given.mistakes()  # of the last split, which is test
            floor += size * served.seconds_per_image()
        description = {
            "schema": evaluation.SCHEMA,
            "classes": data.classes,
            "images": data.fingerprint,
            "candidates": candidates,
            "training": {name: folder.description["training"] for name, folder in folders.items()},
            "profile": _profile(data, folders, meter.profile(floor)),
        }
        write_json(target / evaluation.DESCRIPTION, description)
    return Evaluated(evaluation.read(path), mistakes)


def _profile(
    data: images.Images, folders: Mapping[str, model.ModelFolder], own: metering.Profile
) -> dict[str, metering.Profile]:
    """Return how fast every step went up to this one, by the step's name, in the order in which they ran."""
    measured = {name: dict(folder.description.get("profile", {})) for name, folder in folders.items()}
    tuned = {name: steps.pop("fine_tune") for name, steps in measured.items() if "fine_tune" in steps}
    found = dict(data.profile)
    for steps in measured.values():
        found.update(steps)
    for name, profile in tuned.items():
        found["fine_tune" if len(tuned) == 1 else f"fine_tune ({name})"] = profile
    found["evaluate"] = own
    # The base is loaded before images are read: they are stored at a size that suits it.
    return dict(sorted(found.items(), key=lambda item: item[0] != "load_base_model"))


class _SplitEvaluation:
    """Asks a served model about the images of a split; keeps a few numbers of each, and the worst mistakes."""

    def __init__(self, served: Served, data: images.Images, split: str, meter: metering.Meter, total: int) -> None:
        self.answers: list[Answers] = []
        self._served, self._data, self._split, self._meter, self._total = served, data, split, meter, total
        self._worst: list[tuple[float, int, Mistake]] = []
        self._asked = 0

    def batches(self) -> Iterator[evaluation.Batch]:
        """Yield labels, probabilities and keys, batch by batch."""
        batches = self._data.dataset(self._split).batch(_BATCH).prefetch(_BATCHES_AHEAD)
        for batch, said in self._served.answers(self._meter.fed(batches)):
            labels = batch["label"].numpy()
            # A model whose training diverged says NaN. It has to lose, not to break the run: its probabilities are 0.
            probabilities = np.nan_to_num(said)
            given = answers(labels, probabilities)
            self.answers.append(given)
            for row in np.flatnonzero(given.rank):
                self._keep(int(row), given, batch)
            self._asked += len(labels)
            self._meter.images += len(labels)
            progress.report(self._meter.images, self._total, "images")
            yield labels, probabilities, batch["key"].numpy()

    def mistakes(self) -> list[Mistake]:
        """Return the worst mistakes, worst first."""
        return [mistake for _, _, mistake in sorted(self._worst, reverse=True)]

    def _keep(self, row: int, given: Answers, batch: Mapping[str, Any]) -> None:
        score, classes = float(given.confidence[row]), self._data.classes
        if len(self._worst) == _MISTAKES and score <= self._worst[0][0]:
            return
        source, encoded = batch["source"][row].numpy().decode(), batch["encoded"][row].numpy()
        predicted, label = classes[given.predicted[row]], classes[given.labels[row]]
        heapq.heappush(self._worst, (score, self._asked + row, Mistake(score, predicted, label, source, encoded)))
        if len(self._worst) > _MISTAKES:
            heapq.heappop(self._worst)
