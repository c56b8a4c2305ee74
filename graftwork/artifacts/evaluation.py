"""The evaluation contract: what each candidate model says about images it was not trained on.

evaluation.json                        the metrics of each candidate on validation and test
<candidate>-<split>-labels.npy         int32 (n,)
<candidate>-<split>-probabilities.npy  float32 (n, classes)
<candidate>-<split>-keys.npy           S64 (n,), the images' SHA-256
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graftwork.artifacts.folder import not_an_artifact, read_description

SCHEMA = "graftwork.evaluation/1"
DESCRIPTION = "evaluation.json"
SPLITS = ("validation", "test")
ARRAYS = ("labels", "probabilities", "keys")


@dataclass(frozen=True)
class Evaluation:
    """An evaluation artifact on disk.

    Attributes:
        path: The folder.
        classes: Names, in the order of the probabilities' columns.
        candidates: name -> split -> metric -> value; the simpler candidate first.
        training: name -> how the candidate was trained, as its model folder says.
        images: Fingerprint of the images artifact that was used.
    """

    path: Path
    classes: list[str]
    candidates: dict[str, dict[str, dict[str, Any]]]
    training: dict[str, dict[str, Any]]
    images: str

    def predictions(self, candidate: str, split: str) -> dict[str, np.ndarray]:
        """Return labels, probabilities and keys of one candidate on one split, memory-mapped."""
        return {array: np.load(array_file(self.path, candidate, split, array), mmap_mode="r") for array in ARRAYS}


def array_file(folder: Path, candidate: str, split: str, array: str) -> Path:
    """Return where one array of an evaluation lies."""
    return folder / f"{candidate}-{split}-{array}.npy"


def read(path: str | os.PathLike[str]) -> Evaluation:
    """Open an evaluation artifact.

    Raises:
        UserError: It is not one, or a file is missing; names the file.
    """
    folder = Path(path)
    description = read_description(folder, DESCRIPTION, SCHEMA)
    try:
        evaluation = Evaluation(
            path=folder,
            classes=list(description["classes"]),
            candidates=dict(description["candidates"]),
            training=dict(description["training"]),
            images=description["images"],
        )
    except (KeyError, TypeError) as error:
        raise not_an_artifact("evaluation", folder / DESCRIPTION, f"an entry is missing: {error}") from None
    for candidate in evaluation.candidates:
        for split in SPLITS:
            for array in ARRAYS:
                file = array_file(folder, candidate, split, array)
                if not file.is_file():
                    raise not_an_artifact("evaluation", file, "the file is missing")
    return evaluation
