"""A challenger becomes a version, with a record of what it was trained on, and the version the champion."""

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from graftwork.artifacts import images as images_artifact
from graftwork.artifacts import model as model_artifact
from graftwork.artifacts import trained_on
from graftwork.artifacts.images import Images
from graftwork.artifacts.model_files import without_record
from graftwork.artifacts.trained_on import TrainedOn
from graftwork.data import imaging
from graftwork.prediction.served import Served
from graftwork.registry.registry import Author, Registry, described
from graftwork.reporting import progress

_SAMPLE = 1000
"""Training images whose features and statistics are kept, for comparison with later ones."""
_BATCH = 32


def promote(
    registry: Registry,
    images_path: str | os.PathLike[str],
    challenger_path: str | os.PathLike[str],
    instead_of: int | None,
    verdict: Mapping[str, Any],
    author: Author,
) -> int:
    """Register a challenger and let it serve.

    A step that is tried again, because its node was taken away, finds what it did before; what somebody else has
    promoted or taken back since then stays so.

    Args:
        registry: Of the model.
        images_path: The images artifact that the challenger was trained on.
        challenger_path: Its model artifact.
        instead_of: The version it was compared with; None if there was no champion.
        verdict: Of the gate, as JSON.
        author: The run.

    Returns:
        The version that serves now.

    Raises:
        UserError: Another version was promoted meanwhile, or the registry cannot be written.
    """
    known = registry.state()
    number = next((n for n, version in known.versions.items() if version.data.get("run") == author.run), None)
    if number is None:
        data, challenger = images_artifact.read(images_path), model_artifact.read(challenger_path)
        with tempfile.TemporaryDirectory(prefix="graftwork-") as scratch:
            folder = Path(scratch) / "model"
            shutil.copytree(challenger.path, folder)
            trained_on.write(folder / model_artifact.TRAINED_ON, training_record(data, challenger))
            entry = described(folder)
            made_of = {"source_fingerprint": data.source_fingerprint, "inputs": author.inputs, "run": author.run}
            number = registry.register(
                folder, {**entry, "data": {**entry["data"], **made_of}, "verdict": dict(verdict)}, author
            )
    if not any(event.action == "promote" and event.run == author.run for event in known.history):
        return registry.promote(number, instead_of, author).champion or number
    registry.tell_servers()  # it may have died before it could
    return registry.state().champion or 0


def keep(registry: Registry, beside: int | None, author: Author) -> int:
    """Note why a challenger does not serve, once for a run; return the version that does.

    Args:
        registry: Of the model.
        beside: The version it was compared with; None if there was no champion.
        author: The run.
    """
    if not any(event.run == author.run for event in registry.state().history):
        registry.keep(beside, author)
    return registry.state().champion or 0


def training_record(data: Images, model: model_artifact.ModelFolder) -> TrainedOn:
    """Return what a model was trained on, with what its network says about some of these images.

    Raises:
        UserError: The model does not say what it was trained on.
    """
    known = model.trained_on
    if known is None:
        raise without_record("challenger", model.path)
    places = {name: place for place, name in enumerate(known.classes)}
    statistics, labels = list[np.ndarray](), list[str]()

    def some() -> Iterator[dict[str, Any]]:
        for batch in islice(data.dataset("train").batch(_BATCH), -(-_SAMPLE // _BATCH)):
            statistics.extend(trained_on.statistics(imaging.decode(file).numpy()) for file in batch["encoded"])
            labels.extend(data.classes[label] for label in batch["label"].numpy())
            yield batch

    served = Served(model.path, "embed", "features")
    features = [said for _, said in served.answers(progress.track(some(), None, "batches"))]
    return dataclasses.replace(
        known,
        features=np.concatenate(features)[:_SAMPLE].astype(np.float32),
        statistics=np.stack(statistics)[:_SAMPLE],
        labels=np.array([places[label] for label in labels[:_SAMPLE]], np.int32),
    )
