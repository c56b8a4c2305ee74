"""Run the frozen base once over every image; what it says is written down, batch by batch."""

import os
from collections.abc import Iterator

import tensorflow as tf

from graftwork import imaging, progress
from graftwork.artifacts import features, images, model
from graftwork.shards import WHOLE, Shard

_BATCH = 64


def extract_features(
    images_path: str | os.PathLike[str],
    base_path: str | os.PathLike[str],
    path: str | os.PathLike[str],
    shard: Shard = WHOLE,
) -> features.Features:
    """Compute the features of the training and validation images, or of a share of them.

    Args:
        images_path: An images artifact.
        base_path: A model artifact, a base.
        path: The features artifact to write.
        shard: Which share: a stretch of the files of each split.

    Raises:
        UserError: An artifact is not what it claims to be.
    """
    data, base = images.read(images_path), model.read(base_path)
    backbone = base.keras_model()

    @tf.function(input_signature=[tf.TensorSpec([None, *base.input_size, 3], tf.float32)], autograph=False)
    def embed(pixels: tf.Tensor) -> tf.Tensor:
        return backbone(pixels, training=False)

    sizes = {split: data.size(split, shard) for split in features.SPLITS}
    done = {"images": 0}

    def batches(split: str) -> Iterator[features.Batch]:
        for pixels, labels, keys in _batches(data, split, shard, base.input_size):
            yield embed(pixels).numpy(), labels.numpy(), keys.numpy()
            done["images"] += len(labels)
            progress.report(done["images"], sum(sizes.values()), "images")

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
        },
        sizes,
        tuple(backbone.output_shape[1:]),
        {split: batches(split) for split in features.SPLITS},
    )


def _batches(
    data: images.Images, split: str, shard: Shard, size: tuple[int, int]
) -> Iterator[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
    def pixels(record: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return imaging.pixels(record["encoded"], size, data.stored_size), record["label"], record["key"]

    dataset = data.dataset(split, shard=shard).map(pixels, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    yield from dataset.batch(_BATCH).prefetch(2)
