"""Look at some of the new images as the champion sees them, and compare them with some of the old ones."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from graftwork.artifacts import images as images_artifact
from graftwork.artifacts import model as model_artifact
from graftwork.artifacts import trained_on
from graftwork.artifacts.images import Images
from graftwork.artifacts.trained_on import TrainedOn
from graftwork.config import DriftConfig
from graftwork.data import imaging
from graftwork.drift.drift import CurrentImages, Drift, measure
from graftwork.prediction.served import Served
from graftwork.reporting import progress

_BATCH = 32


@dataclass(frozen=True)
class OddImage:
    """A new image that is not like the old ones."""

    label: str
    source: str
    encoded: bytes


@dataclass(frozen=True)
class Checked:
    """What came of it.

    Attributes:
        drift: Everything that was compared; None where there is nothing to compare with.
        why: In one line, what was found or why nothing was compared.
        odd: The oddest of the new images, the oddest first.
    """

    drift: Drift | None
    why: str
    odd: list[OddImage] = field(default_factory=list)


def check(
    images_path: str | os.PathLike[str], champion_path: str | os.PathLike[str], config: DriftConfig, seed: int
) -> Checked:
    """Compare training images with those that the champion was trained on.

    Args:
        images_path: An images artifact.
        champion_path: A model artifact; a folder without one if there is no champion.
        config: Levels and limits, and how many images to look at.
        seed: Of permutations.

    Raises:
        UserError: An artifact is not what it claims to be.
    """
    data = images_artifact.read(images_path)
    if not model_artifact.is_model(champion_path):
        return Checked(None, "there is no champion to compare with")
    serving = model_artifact.read(champion_path)
    before = serving.trained_on
    if before is None:
        return Checked(None, "the champion does not say what it was trained on")
    served = Served(champion_path, "embed", "features")
    now = current_images(data, before, served, config.sample, serving.stored_size)
    drift = measure(before, now, config, seed)
    found = f"{now.new_images:,} of {data.size('train'):,} training images are new to the champion"
    return Checked(drift, found, list(_odd(data, drift.oddest)))


def current_images(data: Images, before: TrainedOn, served: Served, sample: int, stored_size: int) -> CurrentImages:
    """Count the training images, and embed the first of those that the champion has not seen.

    They are in the order of their content hashes: the first ones are as good as any drawn at random. What images are
    like is measured at the size at which those were that the champion was trained on.
    """
    new, keys, labels, statistics = 0, list[str](), list[str](), list[np.ndarray]()

    def unseen() -> Iterator[dict[str, object]]:
        nonlocal new
        for batch in data.dataset("train").batch(_BATCH).prefetch(2):
            rows = np.flatnonzero(~before.knows(batch["key"].numpy()))
            new += len(rows)
            rows = rows[: max(0, sample - len(keys))]
            for row in rows:
                keys.append(batch["key"][row].numpy().decode())
                labels.append(data.classes[batch["label"][row]])
                statistics.append(
                    trained_on.statistics(imaging.decode_shrunk(batch["encoded"][row], stored_size).numpy())
                )
            if len(rows):
                yield {"encoded": tf.gather(batch["encoded"], rows)}

    features = [said for _, said in served.answers(progress.track(unseen(), None, "batches"))]
    width = before.features.shape[1]  # 0 of a champion that was promoted by hand
    return CurrentImages(
        {name: count for name, count in data.counts["train"].items() if count},
        new,
        np.array(keys),
        np.array(labels),
        np.concatenate(features) if features and width else np.zeros((0, width), np.float32),
        np.array(statistics, np.float32).reshape(len(keys), len(trained_on.STATISTICS)),
    )


def _odd(data: Images, keys: tuple[str, ...]) -> Iterator[OddImage]:
    wanted = {key: place for place, key in enumerate(keys)}
    found: dict[int, OddImage] = {}
    for record in data.records("train") if wanted else ():
        if record.key in wanted:
            found[wanted[record.key]] = OddImage(data.classes[record.label], record.source, record.encoded)
        if len(found) == len(wanted):  # they are among the first, see `current_images`
            break
    yield from (found[place] for place in sorted(found))
