"""Run the frozen base once over every image; what it says is written down, batch by batch."""

import os
import time
from collections.abc import Iterator

import tensorflow as tf

from graftwork.artifacts import features, images, model
from graftwork.config import Precision
from graftwork.data.shards import WHOLE, Shard
from graftwork.networks.frozen import Frozen, frozen, seconds_per_image
from graftwork.networks.graph import distinct_names, unrolled
from graftwork.networks.precision import resolved
from graftwork.reporting import metering, progress

_BATCH = 64


def extract_features(
    images_path: str | os.PathLike[str],
    base_path: str | os.PathLike[str],
    path: str | os.PathLike[str],
    shard: Shard = WHOLE,
    precision: Precision = "auto",
) -> features.Features:
    """Compute the features of the training and validation images, or of a share of them.

    Args:
        images_path: An images artifact.
        base_path: A model artifact, a base.
        path: The features artifact to write.
        shard: Which share: a stretch of the files of each split.
        precision: What the base computes in; the features are float32.

    Raises:
        UserError: An artifact is not what it claims to be.
    """
    meter = metering.Meter()
    data, base = images.read(images_path), model.read(base_path)
    backbone = base.keras_model()
    computed_in = resolved(precision)
    with distinct_names(backbone):
        embed = frozen(unrolled(backbone), computed_in)
    sizes = {split: data.size(split, shard) for split in features.SPLITS}

    def batches(split: str) -> Iterator[features.Batch]:
        for pixels, labels, keys in meter.fed(data.batches(split, base.input_size, _BATCH, shard=shard)):
            yield embed(pixels)[0].numpy(), labels.numpy(), keys.numpy()
            meter.images += len(labels)
            progress.report(meter.images, sum(sizes.values()), "images")

    return features.write(
        path,
        {
            "shard": str(shard),
            "base": base.fingerprint,
            "feature_layer": base.description["feature_layer"],
            "preprocessing": base.description["preprocessing"],
            "images": data.fingerprint,
            "classes": data.classes,
            "source": data.source,
            "stored_size": data.stored_size,
            "precision": computed_in,
        },
        sizes,
        tuple(backbone.output_shape[1:]),
        {split: batches(split) for split in features.SPLITS},
        lambda: meter.profile(_floor(data, base.input_size, embed, meter.images)),
    )


def _floor(data: images.Images, size: tuple[int, int], embed: Frozen, count: int) -> float:
    """Return the seconds that decoding so many images and one pass through the base take, and nothing else.

    A few batches are timed: decoding them alone, then the pass over one that is in memory.
    """
    started, decoded = time.monotonic(), 0
    pixels: tf.Tensor | None = None
    for pixels, _, _ in data.batches("train", size, _BATCH).take(2):
        decoded += len(pixels)
    seconds = (time.monotonic() - started) / max(1, decoded)
    return count * (seconds + (seconds_per_image(embed, pixels) if pixels is not None else 0.0))
