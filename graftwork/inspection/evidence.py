"""Evidence from labelled images: which preprocessing, and which feature layer, suits a model best.

Two kinds of it. A linear probe on the features, cross-validated, tells how well the classes can be told apart. And
where the network normalises batches, how well the images fit what it recorded in training (see `statistics`): that
says more about the preprocessing, because a wrong one often leaves enough for a probe. The images are the same for all
that is compared, so what counts is the difference, image by image.
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

from graftwork.base_models.backbone import backbone
from graftwork.base_models.cut import base_of
from graftwork.config import PREPROCESSING_NAMES, ScaleOffset
from graftwork.data import imaging, sources
from graftwork.data.reading import readable
from graftwork.errors import UserError
from graftwork.inspection.describe import Description, feature_layers
from graftwork.inspection.statistics import divergences, gathered, normalisations, with_moments

_BATCH = 32
_FOLDS = 5
_STRENGTH = 0.1
"""Inverse of the penalty of the probe: strong, since there are fewer images than features."""

_RECORDED = 16
"""So many normalisation layers are looked at, the first ones: later ones tell more of what the images show."""
_CHANCE = 0.025

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
class Trial:
    """How well a preprocessing or a feature layer did.

    Attributes:
        name: What was tried.
        right: bool (n,), whether each image was told right by a linear probe that had not seen it.
        divergence: How far the images are from what the network recorded in training, in nats; (1 + resamples,), see
            `statistics.divergences`. None where it recorded nothing.
        behind: By how much the accuracy is below the best one's, and the standard error of that; 0 and 0 for the best.
        may_be_best: Whether chance may be the reason that it is not the first.
    """

    name: str
    right: np.ndarray
    divergence: np.ndarray | None = None
    behind: tuple[float, float] = (0.0, 0.0)
    may_be_best: bool = True

    @property
    def accuracy(self) -> float:
        """Share of the images that were told right."""
        return float(self.right.mean())

    @property
    def error(self) -> float:
        """Standard error of the accuracy."""
        return float(np.sqrt(self.accuracy * (1 - self.accuracy) / len(self.right)))


@dataclass(frozen=True)
class Evidence:
    """Preprocessings and feature layers, each ranked best first.

    Preprocessings are ranked by their divergence where there is one, everything else by accuracy.
    """

    images: int
    classes: int
    left_out: str
    preprocessings: list[Trial]
    feature_layers: list[Trial]

    @property
    def preprocessing(self) -> str | None:
        """The name of the one preprocessing that is better than all others; None where chance could be the reason."""
        first, *others = self.preprocessings
        return None if any(trial.may_be_best for trial in others) else first.name

    def as_json(self) -> dict[str, Any]:
        """Return the evidence for machines."""

        def ranking(trials: Sequence[Trial]) -> list[dict[str, Any]]:
            return [
                {
                    "name": trial.name,
                    "accuracy": trial.accuracy,
                    "error": trial.error,
                    "divergence": None if trial.divergence is None else float(trial.divergence[0]),
                    "may_be_best": trial.may_be_best,
                }
                for trial in trials
            ]

        return {
            "images": self.images,
            "classes": self.classes,
            "preprocessings": ranking(self.preprocessings),
            "feature_layers": ranking(self.feature_layers),
            "preprocessing": self.preprocessing,
        }


def weigh(description: Description, data: str, images: int, seed: int = 0, say: Say = lambda text: None) -> Evidence:
    """Compare preprocessings, then feature layers with the best of them.

    Args:
        description: The model.
        data: Labelled images, see `sources`.
        images: How many to use.
        seed: Of their choice, of the folds and of the bootstrap.
        say: Is told what is being tried.

    Raises:
        UserError: The model cannot be cut, or there are too few images.
    """
    if not description.feature_layer:
        raise UserError("the base model cannot be tried on images", {"why": description.cannot_cut})
    sample = draw(data, images, seed)
    values = _candidates(description)
    say(f"trying {len(values)} preprocessings on {len(sample.files)} images of {len(sample.classes)} classes")
    base, _ = base_of(description.opened, description.request)
    recorded = normalisations(base)[:_RECORDED]
    tried = _trials({name: backbone(base, value) for name, value in values.items()}, sample, recorded, seed)
    preprocessings = _ranked(tried)
    best = description.preprocessing if description.preprocessing is not None else values[preprocessings[0].name]
    proposed, *others = feature_layers(description)
    say(f"trying {len(others)} other feature layers")
    requests = {place: dataclasses.replace(description.request, feature_layer=place) for place in others}
    models = {place: backbone(base_of(description.opened, request)[0], best) for place, request in requests.items()}
    at_proposed = next(trial for trial in tried if values[trial.name] == best)
    layers = _ranked([Trial(proposed, at_proposed.right), *_trials(models, sample, [], seed)])
    return Evidence(len(sample.files), len(sample.classes), sample.left_out, preprocessings, layers)


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
        read = [readable(row) for row in kept[label][:each]]
        files[label] = [content for content, _ in read if content]
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


def _candidates(description: Description) -> dict[str, Preprocessing]:
    known = description.preprocessing
    if isinstance(known, str) and description.preprocessing_found.startswith("inside"):
        return {known: known}  # another one on top of it is no candidate
    grey = description.opened.model.input_shape[-1] == 1
    names = [name for name in PREPROCESSING_NAMES if not (grey and name.startswith("imagenet"))]
    return {**{name: name for name in names}, **({} if known is None or known in names else {"given": known})}


def _trials(models: Mapping[str, keras.Model], sample: Sample, recorded: Sequence[Any], seed: int) -> list[Trial]:
    """Try models of the same input size on the same images, of which a batch is decoded at a time."""
    if not models:
        return []
    size = next(iter(models.values())).input_shape[1:3]
    taken = [tf.TensorSpec([None, *size, 3], tf.float32)]
    calls = {
        name: tf.function(with_moments(model, recorded), input_signature=taken).get_concrete_function()
        for name, model in models.items()
    }
    features: dict[str, list[np.ndarray]] = defaultdict(list)
    moments: dict[str, list[list[np.ndarray]]] = defaultdict(list)
    for pixels in _batches(sample.files, size):
        for name, call in calls.items():
            output, heard = call(pixels)
            features[name].append(output.numpy())
            moments[name].append([tensor.numpy() for tensor in heard])
    return [
        Trial(
            name,
            _told_right(np.concatenate(features[name]), sample.labels, seed),
            divergences(gathered(recorded, moments[name]), seed) if recorded else None,
        )
        for name in models
    ]


def _batches(files: Sequence[bytes], size: tuple[int, int]) -> Iterator[tf.Tensor]:
    stored = imaging.stored_size_for(max(size))
    for start in range(0, len(files), _BATCH):
        yield tf.stack([imaging.pixels(file, size, stored) for file in files[start : start + _BATCH]])


def _told_right(features: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    finite = np.nan_to_num(features.astype(np.float64), posinf=1e6, neginf=-1e6)  # a wrong preprocessing may overflow
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=_STRENGTH, max_iter=300))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    return np.asarray(cross_val_predict(probe, finite, labels, cv=folds) == labels)


def _ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Order by divergence, or else by accuracy; of equals, the first given stays first."""

    def order(trial: Trial) -> tuple[float, float]:
        return (0.0 if trial.divergence is None else float(trial.divergence[0])), -trial.accuracy

    first, *others = sorted(trials, key=order)
    return [first, *(_compared(trial, first) for trial in others)]


def _compared(trial: Trial, best: Trial) -> Trial:
    difference = best.right.astype(float) - trial.right
    behind = float(difference.mean()), float(difference.std() / np.sqrt(len(difference)))
    if trial.divergence is None or best.divergence is None:
        may_be_best = behind[0] <= 2 * behind[1]
    else:
        may_be_best = bool((trial.divergence <= best.divergence).mean() > _CHANCE)
    return dataclasses.replace(trial, behind=behind, may_be_best=may_be_best)
