"""Whether what the frozen trunk says is worth keeping, and keeping it."""

import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from graftwork.artifacts import features
from graftwork.artifacts.images import Images
from graftwork.components.fine_tune.feeding import augmented, epoch_seed
from graftwork.components.fine_tune.parts import Parts
from graftwork.config import FineTuneConfig, quantity
from graftwork.errors import UserError
from graftwork.networks.graph import unpacked
from graftwork.reporting import progress

_VIEWS = 2
"""Augmented copies of each image, if they fit and nobody says otherwise."""
_FREE_SHARE = 0.5
_WORTH = 0.9
"""A cache has to save a tenth of the passes through the trunk."""
_WORTH_READING = 20
"""Multiplications and additions for each byte that crosses the cut, below which they are as fast as reading it."""
_BATCH = 64
_SAMPLE = 512
_LOSS_TOLERANCE = 1e-3
_LARGEST_HALF = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Plan:
    """What was chosen, and why.

    Attributes:
        cached: Whether the trunk runs once for each view of an image instead of in every epoch.
        why: One sentence for the user.
        views: Augmented copies of each training image in the cache.
        dtype: Of the cache.
        bytes: That it takes on disk.
    """

    cached: bool
    why: str
    views: int = 0
    dtype: str = ""
    bytes: int = 0

    def description(self, parts: Parts) -> dict[str, Any]:
        """Return what the model's description says about the cache."""
        chosen = {"chosen": self.cached, "why": self.why, "cut": ", ".join(parts.split.cut)}
        return {**chosen, "views": self.views, "dtype": self.dtype, "bytes": self.bytes} if self.cached else chosen


def plan(data: Images, parts: Parts, config: FineTuneConfig, folder: Path) -> Plan:
    """Decide whether the trunk's outputs are cached, with how many views of each image, in which dtype.

    The decision follows from the numbers of images, epochs and views, the size of what crosses the cut, the trunk's
    arithmetic and the budget, not from clocks: the same run decides the same again.

    Args:
        data: Training and validation images.
        parts: The network, at the cut.
        config: cache, cache_budget, views, epochs.
        folder: Where the cache would lie.

    Raises:
        UserError: The configuration demands a cache that does not fit.
    """
    if config.cache == "never":
        return Plan(False, "the frozen layers run in every epoch: fine_tune.cache is never")
    if any(None in shape for shape in parts.split.shapes):
        return Plan(False, "the frozen layers run in every epoch: what they say has no fixed size")
    if not parts.split.trunk_operations:
        return Plan(False, "no layer with weights is frozen, there is nothing to compute in advance")
    train, validation = data.size("train"), data.size("validation")
    dtype = "float16" if _half_is_enough(*_sample(data, parts), parts) else "float32"
    row = sum(math.prod(shape) for shape in parts.split.shapes) * np.dtype(dtype).itemsize
    free = shutil.disk_usage(folder).free * _FREE_SHARE
    budget = int(min(quantity(config.cache_budget), free))
    views = _views(config, fit=(budget // row - validation) // train)
    bytes = (views * train + validation) * row
    size = f"{bytes / 2**20:,.0f} MiB in {dtype}"
    if bytes > budget:
        limit = f"{budget / 2**20:,.0f} MiB ({'fine_tune.cache_budget' if budget < int(free) else 'half of the disk'})"
        if config.cache == "always":
            facts = {"needed": size, "allowed": limit, "folder": folder}
            raise UserError("the cache of the frozen layers does not fit", facts, "--set fine_tune.cache=auto")
        return Plan(False, f"the frozen layers run in every epoch: a cache would take {size}, allowed are {limit}")
    passes, every = views * train + validation, config.epochs * (train + validation)
    copies = f"{views} augmented cop{'y' if views == 1 else 'ies'} of each image" if config.augment else "each image"
    why = f"the frozen layers run once for {copies}: {passes:,} passes instead of {every:,}; {size}"
    if config.cache == "auto" and passes > _WORTH * every:
        return Plan(False, f"the frozen layers run in every epoch: a cache would need {passes:,} of {every:,} passes")
    if config.cache == "auto" and parts.split.trunk_operations < _WORTH_READING * row:
        return Plan(False, "the frozen layers run in every epoch: they take no longer than reading what they say")
    return Plan(True, why, views, dtype, bytes)


def compute(
    data: Images, parts: Parts, chosen: Plan, config: FineTuneConfig, seed: int, folder: Path
) -> features.Features:
    """Run all images through the trunk, and write what it says.

    Args:
        data: Training and validation images.
        parts: The network.
        chosen: How many views, in which dtype.
        config: Whether and how images are augmented.
        seed: Of the augmentation.
        folder: Where the features artifact goes. Its training rows are all images of the first view, then all of the
            second, and so on; a row is what crosses the cut, one tensor behind the other if there are several.
    """
    size = parts.split.trunk.input_shape[1:3]
    views = {"train": chosen.views, "validation": 1}
    sizes = {split: views[split] * data.size(split) for split in features.SPLITS}
    shapes = parts.split.shapes
    done = 0

    def batches(split: str) -> Iterator[features.Batch]:
        nonlocal done
        for view in range(views[split]):
            images = data.batches(split, size, _BATCH)
            if split == "train":
                images = augmented(images, config, epoch_seed(seed, view)).prefetch(tf.data.AUTOTUNE)
            for pixels, labels, keys in images:
                yield _rows(parts.trunk(pixels), shapes, chosen.dtype), labels.numpy(), keys.numpy()
                done += len(labels)
                progress.report(done, sum(sizes.values()), "images through the frozen layers")

    described = {
        "base": ", ".join(parts.split.cut),
        "images": data.fingerprint,
        "classes": data.classes,
        "stored_size": data.stored_size,
        "dtype": chosen.dtype,
        "views": chosen.views,
    }
    shape = shapes[0] if len(shapes) == 1 else (sum(math.prod(shape) for shape in shapes),)
    return features.write(folder, described, sizes, shape, {split: batches(split) for split in features.SPLITS})


def _views(config: FineTuneConfig, fit: int) -> int:
    if not config.augment:
        return 1
    if config.views == "auto":
        return max(1, min(_VIEWS, config.epochs, fit))
    return min(config.views, config.epochs)


def _rows(outputs: list[tf.Tensor], shapes: list[tuple[int, ...]], dtype: str) -> np.ndarray:
    arrays = [np.asarray(output, np.float32) for output in outputs]
    rows = (
        arrays[0] if len(shapes) == 1 else np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1)
    )
    # Of images that were not asked about the dtype: next to infinity rather than infinity.
    return np.clip(rows, -_LARGEST_HALF, _LARGEST_HALF) if dtype == "float16" else rows


def _sample(data: Images, parts: Parts) -> tuple[list[np.ndarray], np.ndarray]:
    """Return what the trunk says about a few validation images, and their labels."""
    outputs: list[list[np.ndarray]] = []
    labels: list[np.ndarray] = []
    batches = data.batches("validation", parts.split.trunk.input_shape[1:3], _BATCH).take(_SAMPLE // _BATCH)
    for pixels, given, _ in batches:
        outputs.append([np.asarray(output, np.float32) for output in parts.trunk(pixels)])
        labels.append(given.numpy())
    return [np.concatenate(tensors) for tensors in zip(*outputs, strict=True)], np.concatenate(labels)


def _half_is_enough(sample: list[np.ndarray], labels: np.ndarray, parts: Parts) -> bool:
    """Return whether the network answers the same when what crosses the cut was float16: accuracy equal, loss too."""
    suffix = tf.function(
        lambda inputs: parts.split.suffix(inputs, training=False), autograph=False, reduce_retracing=True
    )

    def measured(outputs: list[np.ndarray]) -> tuple[float, float]:
        right, loss = 0, 0.0
        for start in range(0, len(labels), _BATCH):
            inputs = [tf.constant(output[start : start + _BATCH]) for output in outputs]
            given = tf.constant(labels[start : start + _BATCH])
            logits = tf.cast(suffix(unpacked(inputs)), tf.float32)
            right += int(tf.reduce_sum(tf.cast(tf.argmax(logits, -1) == given, tf.int32)))
            loss += float(tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(given, logits)))
        return right / len(labels), loss / len(labels)

    with np.errstate(over="ignore"):  # beyond 65504 is infinity, and the comparison fails
        halved = [output.astype(np.float16).astype(np.float32) for output in sample]
    accuracy, loss = measured(sample)
    half_accuracy, half_loss = measured(halved)
    return accuracy == half_accuracy and abs(half_loss - loss) <= _LOSS_TOLERANCE * max(loss, _LOSS_TOLERANCE)
