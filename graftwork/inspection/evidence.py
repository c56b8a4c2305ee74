"""Evidence from labelled images: which preprocessing, and which feature layer, tells the classes apart best.

A linear probe on the features of a few hundred images, cross-validated. The images are the same for all that is
compared, so what counts is the difference, image by image.
"""

import dataclasses
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from graftwork import imaging, sources, storage
from graftwork.components.load_base_model.backbone import backbone
from graftwork.components.load_base_model.load import base_of
from graftwork.config import PREPROCESSING_NAMES, ScaleOffset
from graftwork.errors import UserError
from graftwork.inspection.describe import Description, feature_layers

_BATCH = 32
_FOLDS = 5
_STRENGTH = 0.1
"""Inverse of the penalty of the probe: strong, since there are fewer images than features."""

Preprocessing = str | ScaleOffset
Say = Callable[[str], None]


@dataclass(frozen=True)
class Sample:
    """Labelled images, as files.

    Attributes:
        files: The bytes of each.
        labels: int (n,).
        classes: Their names.
        left_out: How many images cannot be read, and which classes have too few.
    """

    files: list[bytes]
    labels: np.ndarray
    classes: list[str]
    left_out: str


@dataclass(frozen=True)
class Probe:
    """How well a linear probe told the classes apart.

    Attributes:
        name: What was tried.
        right: bool (n,), whether each image was told right by a probe that had not seen it.
        behind: By how much the accuracy is below the best one's, and the standard error of that; 0 and 0 for the best.
    """

    name: str
    right: np.ndarray
    behind: tuple[float, float] = (0.0, 0.0)

    @property
    def accuracy(self) -> float:
        """Share of the images that were told right."""
        return float(self.right.mean())

    @property
    def error(self) -> float:
        """Standard error of the accuracy."""
        return float(np.sqrt(self.accuracy * (1 - self.accuracy) / len(self.right)))

    @property
    def is_as_good(self) -> bool:
        """Whether the difference to the best may be chance: within two standard errors."""
        difference, error = self.behind
        return difference <= 2 * error


@dataclass(frozen=True)
class Evidence:
    """Preprocessings and feature layers, each ranked best first."""

    images: int
    classes: int
    left_out: str
    preprocessings: list[Probe]
    feature_layers: list[Probe]
    values: Mapping[str, Preprocessing]

    def as_json(self) -> dict[str, Any]:
        """Return the evidence for machines."""

        def ranking(probes: Sequence[Probe]) -> list[dict[str, Any]]:
            return [{"name": p.name, "accuracy": p.accuracy, "error": p.error, "behind": p.behind} for p in probes]

        return {
            "images": self.images,
            "classes": self.classes,
            "preprocessings": ranking(self.preprocessings),
            "feature_layers": ranking(self.feature_layers),
            "preprocessing": self.preprocessing,
        }

    @property
    def preprocessing(self) -> str | None:
        """The name of the one preprocessing that is better than all others; None where chance could be the reason."""
        as_good = [probe.name for probe in self.preprocessings if probe.is_as_good]
        return as_good[0] if len(as_good) == 1 else None


def weigh(description: Description, data: str, images: int, seed: int = 0, say: Say = lambda text: None) -> Evidence:
    """Compare preprocessings, then feature layers with the best of them.

    Args:
        description: The model.
        data: Labelled images, see `sources`.
        images: How many to use.
        seed: Of their choice and of the folds.
        say: Is told what is being tried.

    Raises:
        UserError: The model cannot be cut, or there are too few images.
    """
    if not description.feature_layer:
        raise UserError("the base model cannot be tried on images", {"why": description.cannot_cut})
    sample = draw(data, images, seed)
    values = _candidates(description)
    say(f"trying {len(values)} preprocessings on {len(sample.files)} images of {len(sample.classes)} classes")
    preprocessings = _ranked(
        _probes(description, sample, {n: (v, description.feature_layer) for n, v in values.items()}, seed)
    )
    best = description.preprocessing if description.preprocessing is not None else values[preprocessings[0].name]
    places = feature_layers(description)
    say(f"trying {len(places)} feature layers")
    layers = _ranked(_probes(description, sample, {place: (best, place) for place in places}, seed))
    return Evidence(len(sample.files), len(sample.classes), sample.left_out, preprocessings, layers, values)


def draw(data: str, images: int, seed: int) -> Sample:
    """Draw about as many images of each class at random; reads the whole listing, and only those images.

    Raises:
        UserError: There are fewer than two classes with enough images.
    """
    chance, most = random.Random(seed), max(_FOLDS, images // 2)
    kept: dict[str, list[sources.Row]] = defaultdict(list)
    seen: dict[str, int] = defaultdict(int)
    for row in sources.rows(data):
        if row.label is None:
            continue
        seen[row.label] += 1
        if len(kept[row.label]) < most:
            kept[row.label].append(row)
        elif (place := chance.randrange(seen[row.label])) < most:  # reservoir sampling
            kept[row.label][place] = row
    each = max(2 * _FOLDS, images // max(1, len(kept)))
    files: dict[str, list[bytes]] = {}
    unreadable = 0
    for label in sorted(kept):
        chance.shuffle(kept[label])
        read = [_read(row) for row in kept[label][:each]]
        files[label] = [content for content in read if content]
        unreadable += len(read) - len(files[label])
    few = [label for label, contents in files.items() if len(contents) < _FOLDS]
    classes = [label for label in files if label not in few]
    if len(classes) < 2:
        facts = {"data": data, "classes": len(files), "expected": f"two or more with at least {_FOLDS} images each"}
        raise UserError("there are too few images to compare anything", facts)
    notes = [f"{unreadable} images cannot be read"] if unreadable else []
    notes += [f"{len(few)} classes have fewer than {_FOLDS} images"] if few else []
    labels = np.repeat(np.arange(len(classes)), [len(files[label]) for label in classes])
    return Sample([content for label in classes for content in files[label]], labels, classes, ", ".join(notes))


def _read(row: sources.Row) -> bytes | None:
    try:
        content = row.content if row.content is not None else storage.read(row.source)
        imaging.decode(content)
    except (OSError, tf.errors.InvalidArgumentError):
        return None
    return content


def _candidates(description: Description) -> dict[str, Preprocessing]:
    known = description.preprocessing
    if known == "none" and "inside" in description.preprocessing_found:
        return {"none": "none"}  # a second one on top of it is no candidate
    grey = description.opened.model.input_shape[-1] == 1
    names = [name for name in PREPROCESSING_NAMES if not (grey and name.startswith("imagenet"))]
    return {**{name: name for name in names}, **({} if known is None or known in names else {"given": known})}


def _probes(
    description: Description, sample: Sample, candidates: Mapping[str, tuple[Preprocessing, str]], seed: int
) -> list[Probe]:
    models = {
        name: backbone(
            base_of(description.opened, dataclasses.replace(description.request, feature_layer=place)).model, value
        )
        for name, (value, place) in candidates.items()
    }
    features: dict[str, list[np.ndarray]] = defaultdict(list)
    calls = {name: tf.function(_inference(model)) for name, model in models.items()}
    size = next(iter(models.values())).input_shape[1:3]
    for pixels in _batches(sample.files, size):
        for name, call in calls.items():
            features[name].append(call(pixels).numpy())
    return [Probe(name, _told_right(np.concatenate(features[name]), sample.labels, seed)) for name in candidates]


def _inference(model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    return lambda pixels: model(pixels, training=False)


def _batches(files: Sequence[bytes], size: tuple[int, int]) -> Iterator[tf.Tensor]:
    stored = imaging.stored_size_for(max(size))
    for start in range(0, len(files), _BATCH):
        yield tf.stack([imaging.pixels(file, size, stored) for file in files[start : start + _BATCH]])


def _told_right(features: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    finite = np.nan_to_num(features.astype(np.float64), posinf=1e6, neginf=-1e6)  # a wrong preprocessing may overflow
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=_STRENGTH, max_iter=300))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    return np.asarray(cross_val_predict(probe, finite, labels, cv=folds) == labels)


def _ranked(probes: Sequence[Probe]) -> list[Probe]:
    """Order by accuracy; of equals, the first given stays first."""
    ordered = sorted(probes, key=lambda probe: -probe.accuracy)
    best = ordered[0].right.astype(float)

    def behind(probe: Probe) -> tuple[float, float]:
        difference = best - probe.right
        return float(difference.mean()), float(difference.std() / np.sqrt(len(difference)))

    return [dataclasses.replace(probe, behind=behind(probe)) for probe in ordered]
