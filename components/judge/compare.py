"""The champion and the challenger, asked about the same images."""

import fnmatch
from dataclasses import dataclass

import numpy as np

from graftwork.artifacts.evaluation import Evaluation
from graftwork.artifacts.images import Images
from graftwork.artifacts.model import ModelFolder
from graftwork.config import GateConfig
from graftwork.errors import UserError
from graftwork.gate.rules import Correctness, PairedAnswers
from graftwork.prediction.served import Served
from graftwork.reporting import progress

_BATCH = 32
_ROWS = 8192
_SHOWN = 12
"""Images at most that are shown of those about which one is right, of either."""


@dataclass(frozen=True)
class Disagreement:
    """An image about which one of the two is right."""

    label: str
    champion: str
    challenger: str
    source: str
    encoded: bytes

    @property
    def won(self) -> bool:
        """Whether the challenger is the one."""
        return self.challenger == self.label


def compare(
    data: Images, evaluated: Evaluation, candidate: str, champion: ModelFolder, policy: GateConfig
) -> tuple[PairedAnswers | None, np.ndarray, list[Disagreement]]:
    """Ask the champion about the test images, beside what the challenger said of them.

    Those count that are of classes that the champion knows, and of new ones where the policy says so.

    Args:
        data: The images.
        evaluated: The evaluation of the challenger, among others.
        candidate: Its name there.
        champion: The champion.
        policy: Which groups of images to look at, and whether new classes count.

    Returns:
        Both answers, None if the champion knows none of the classes; the keys of these images, bytes (n,); and some of
        the images about which one is right.

    Raises:
        UserError: The evaluation is of other images.
    """
    said = evaluated.predictions(candidate, "test")
    challengers, champions = np.array(data.classes), np.array(champion.description["classes"])
    labels = challengers[said["labels"]]
    known = np.isin(labels, champions)
    counted = known | policy.allow_new_classes
    slices = policy.slices
    predicted, confidence = _chosen(said["probabilities"])
    said_names = challengers[predicted]
    right = said_names == labels
    answered, sure = np.empty(len(known), champions.dtype), np.zeros(len(known), np.float32)
    sources = np.zeros((len(slices), len(known)), bool)
    shown: dict[bool, list[Disagreement]] = {True: [], False: []}
    row = 0
    for batch, answers in Served(champion.path).answers(data.dataset("test").batch(_BATCH).prefetch(2)):
        rows = slice(row, row + len(answers))
        if (batch["key"].numpy() != said["keys"][rows]).any():
            raise UserError("the evaluation is of other images", {"images": data.path}, next="evaluate them again")
        answers = np.nan_to_num(answers)
        answered[rows], sure[rows] = champions[answers.argmax(axis=1)], answers.max(axis=1)
        places = [source.decode() for source in batch["source"].numpy()]
        for number, pattern in enumerate(slices.values()):
            sources[number, rows] = [fnmatch.fnmatch(place, pattern) for place in places]
        held = answered[rows] == labels[rows]
        for index in np.flatnonzero(counted[rows] & (held != right[rows])):
            examples = shown[bool(right[row + index])]
            if len(examples) < _SHOWN:
                label, before, now = (str(names[row + index]) for names in (labels, answered, said_names))
                examples.append(Disagreement(label, before, now, places[index], batch["encoded"][index].numpy()))
        row += len(answers)
        progress.report(row, len(known), "images")
    keys, differing = said["keys"][counted], [*shown[True], *shown[False]]
    if not known.any():
        return None, keys, differing
    pair = PairedAnswers(
        labels[counted],
        known[counted],
        Correctness((answered == labels)[counted], sure[counted]),
        Correctness(right[counted], confidence[counted]),
        {name: sources[number][counted] for number, name in enumerate(slices)},
    )
    return pair, keys, differing


def _chosen(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the most probable class of each row and its probability, a bounded number of rows at a time."""
    parts = [np.asarray(probabilities[row : row + _ROWS]) for row in range(0, len(probabilities), _ROWS)]
    return np.concatenate([part.argmax(axis=1) for part in parts]), np.concatenate([part.max(axis=1) for part in parts])
