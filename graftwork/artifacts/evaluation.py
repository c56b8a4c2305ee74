"""The evaluation contract: what each candidate model says about images it was not trained on.

evaluation.json                        the metrics of each candidate on validation and test, how fast each step went
<candidate>-<split>-labels.npy         int32 (n,)
<candidate>-<split>-probabilities.npy  float32 (n, classes)
<candidate>-<split>-keys.npy           S64 (n,), the images' SHA-256
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graftwork.artifacts import arrays
from graftwork.artifacts.folder import not_an_artifact, read_description
from graftwork.reporting.metering import Profile

SCHEMA = "graftwork.evaluation/1"
DESCRIPTION = "evaluation.json"
SPLITS = ("validation", "test")
_DTYPES = {"labels": np.dtype(np.int32), "probabilities": np.dtype(np.float32), "keys": np.dtype("S64")}
ARRAYS = tuple(_DTYPES)

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]
"""labels (m,), probabilities (m, classes), keys (m,) of m images."""


@dataclass(frozen=True)
class Evaluation:
    """An evaluation artifact on disk.

    Attributes:
        path: The folder.
        classes: Names, in the order of the probabilities' columns.
        candidates: name -> split -> metric -> value; the simpler candidate first.
        training: name -> how the candidate was trained, as its model folder says.
        images: Fingerprint of the images artifact that was used.
        profile: How fast each step went up to this one, by the step's name; empty if nobody measured.
    """

    path: Path
    classes: list[str]
    candidates: dict[str, dict[str, dict[str, Any]]]
    training: dict[str, dict[str, Any]]
    images: str
    profile: dict[str, Profile]

    def predictions(self, candidate: str, split: str) -> dict[str, np.ndarray]:
        """Return labels, probabilities and keys of one candidate on one split, memory-mapped."""
        return {array: np.load(array_file(self.path, candidate, split, array), mmap_mode="r") for array in ARRAYS}


def array_file(folder: Path, candidate: str, split: str, array: str) -> Path:
    """Return where one array of an evaluation lies."""
    return folder / f"{candidate}-{split}-{array}.npy"


def write_predictions(
    folder: Path, candidate: str, split: str, shape: tuple[int, int], batches: Iterable[Batch]
) -> None:
    """Write what a candidate says about the images of a split, batch by batch.

    Args:
        folder: The evaluation that is being made.
        candidate: Its name.
        split: One of SPLITS.
        shape: (n, classes), how many images and classes there are.
        batches: The answers, in the order of the images.

    Raises:
        ValueError: The batches hold more or fewer images than announced.
    """
    layouts = {array_file(folder, candidate, split, array): _layout(array, shape) for array in ARRAYS}
    written = arrays.write(layouts, batches)
    if written != shape[0]:
        raise ValueError(f"{candidate}, {split}: answers for {written} of {shape[0]} images")


def read(path: str | os.PathLike[str]) -> Evaluation:
    """Open an evaluation artifact.

    Raises:
        UserError: It is not one, or an array is missing, cut off or of another shape; names the file.
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
            profile=dict(description.get("profile", {})),  # older artifacts have none
        )
    except (KeyError, TypeError) as error:
        raise not_an_artifact("evaluation", folder / DESCRIPTION, f"an entry is missing: {error}") from None
    for candidate, splits in evaluation.candidates.items():
        for split in SPLITS:
            if split not in splits:
                raise not_an_artifact("evaluation", folder / DESCRIPTION, f"{candidate} is without {split}")
            shape = (splits[split]["n"], len(evaluation.classes))
            for array in ARRAYS:
                arrays.read("evaluation", array_file(folder, candidate, split, array), _layout(array, shape))
    return evaluation


def _layout(array: str, shape: tuple[int, int]) -> arrays.Layout:
    return (shape if array == "probabilities" else shape[:1]), _DTYPES[array]
