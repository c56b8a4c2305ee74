"""Label images with a model folder, through plain TensorFlow."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graftwork.registry.resolve import fetched

_BATCH = 32


@dataclass(frozen=True)
class Prediction:
    """What a model says about one image; `error` says why it cannot, and then the rest is empty."""

    image: str
    label: str = ""
    score: float = 0.0
    probabilities: dict[str, float] | None = None
    error: str = ""


def predict(model: str, images: Sequence[str]) -> Iterator[Prediction]:
    """Yield the label of each image, in order.

    Args:
        model: A model folder, the output of a run, or a model in a registry for its champion: a path or gs:// URI.
        images: Paths or gs:// URIs.

    Raises:
        UserError: There is no such model.
    """
    import tensorflow as tf

    from graftwork.artifacts import model as model_artifact
    from graftwork.data.sources import Row
    from graftwork.prediction.batch import read

    with fetched(model) as folder:
        opened = model_artifact.read_classifier(folder)
        served = tf.saved_model.load(str(opened.path)).signatures["serving_default"]
    classes = opened.description["classes"]
    for start in range(0, len(images), _BATCH):
        batch: list[Prediction | bytes] = []
        for image in images[start : start + _BATCH]:
            found = read(Row(image, None))
            batch.append(Prediction(image, error=found.error) if found.error else found.content)
        readable = [item for item in batch if isinstance(item, bytes)]
        answers = iter(served(image_bytes=tf.constant(readable))["probabilities"].numpy() if readable else [])
        for image, item in zip(images[start : start + _BATCH], batch, strict=True):
            if isinstance(item, Prediction):
                yield item
                continue
            probabilities = dict(zip(classes, map(float, next(answers)), strict=True))
            label = max(probabilities, key=lambda name: probabilities[name])
            yield Prediction(image, label, probabilities[label], probabilities)
