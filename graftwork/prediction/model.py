"""A finished model in Python: what it says about images, and the Keras model inside it."""

import os
import weakref
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from graftwork import storage
from graftwork.errors import need_everything
from graftwork.registry.resolve import model_uri

if TYPE_CHECKING:
    import keras

    from graftwork.artifacts.model import ModelFolder
    from graftwork.prediction.batch import Labelled
    from graftwork.prediction.served import Served

Image = str | os.PathLike[str] | bytes
"""A path, a gs:// URI, or what is in an image file."""


@dataclass(frozen=True)
class Prediction:
    """What a model says about one image.

    Attributes:
        image: Its path or URI; of bytes, which one it was, as in "image 1".
        label: The class with the highest probability.
        score: That probability, in [0, 1].
        probabilities: Of every class, by name; they sum to 1. None where the image cannot be read.
        error: Why the image cannot be read, and then the rest is empty; else "".

    Example:
        >>> (prediction,) = graftwork.open_model("graftwork-run").predict(["missing.jpg"])
        >>> prediction.error
        'No such file or directory'
    """

    image: str
    label: str = ""
    score: float = 0.0
    probabilities: dict[str, float] | None = None
    error: str = ""


class Model:
    """A finished classifier, as `open_model` opens it: it takes image files and names what is on them.

    Decoding, resizing and preprocessing are inside; it answers exactly as it does when it is served.

    Attributes:
        uri: Where it lies. Of a model in a registry, the version that was the champion when it was opened.
        path: A local folder with it, a TensorFlow SavedModel: what lies in a bucket is there as long as this object is.
        metadata: What its graftwork.json says: classes, sizes in pixels, origin, how it was trained, metrics.

    Example:
        >>> model = graftwork.open_model("graftwork-run")
        >>> model.classes
        ['blue', 'green', 'red']
        >>> model.keras.input_shape
        (None, 24, 24, 3)
    """

    def __init__(self, folder: "ModelFolder", uri: str, copy: ExitStack) -> None:
        self.uri, self.path, self.metadata = uri, folder.path, folder.description
        self._folder = folder
        weakref.finalize(self, copy.close)

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of the outputs."""
        return list(self.metadata["classes"])

    @cached_property
    def keras(self) -> "keras.Model":
        """The trainable Keras 3 model: float32 (n, height, width, 3) in [0, 255] to probabilities (n, classes).

        Raises:
            UserError: Code that it needs is not installed here; names it.
        """
        return self._folder.keras_model()

    def predict(self, images: Image | Iterable[Image]) -> list[Prediction]:
        """Return what the model says about each image, in their order.

        An image that cannot be read has an `error`, and the others are labelled all the same.

        Args:
            images: Paths, gs:// URIs, or the bytes of image files; one alone is a list of one. They are all answered
                at once: for very many, see `predict_to`.

        Example:
            >>> model = graftwork.open_model("graftwork-run/model")
            >>> first, second = model.predict(["a.jpg", Path("b.jpg").read_bytes()])
            >>> first.label in model.classes, 0 <= first.score <= 1, second.image
            (True, True, 'image 2')
        """
        from graftwork.data.sources import Row
        from graftwork.prediction.predict import answers

        given = [images] if isinstance(images, (str, bytes, os.PathLike)) else images
        rows = [
            Row(f"image {number}", None, content=image) if isinstance(image, bytes) else Row(os.fspath(image), None)
            for number, image in enumerate(given, start=1)
        ]
        predictions = []
        for image, said, error in answers(self._served, rows):
            if said is None:
                predictions.append(Prediction(image, error=error))
                continue
            best, probabilities = int(said.argmax()), dict(zip(self.classes, map(float, said), strict=True))
            predictions.append(Prediction(image, self.classes[best], float(said[best]), probabilities))
        return predictions

    def predict_to(
        self, data: str | os.PathLike[str], file: str | os.PathLike[str], shard: str = "1/1", quiet: bool = False
    ) -> "Labelled":
        """Write what the model says about many images to a parquet file; memory does not grow with their number.

        Args:
            data: A folder of images, with its sub-folders, or a .csv, .jsonl or .parquet table with a column image; a
                path or gs:// URI.
            file: Path or gs:// URI; it appears when it is whole. Its columns are image, label, score, probabilities
                (in the order of `classes` in the file's metadata) and error.
            shard: Which share of the images, as in 2/4.
            quiet: Whether to say nothing of how far it is.

        Returns:
            How many `images` were labelled, and how many are `unreadable`.

        Raises:
            UserError: The data does not exist or is empty, or the file cannot be written.

        Example:
            >>> graftwork.open_model("graftwork-run").predict_to("photos", "labels.parquet", quiet=True)
            Labelled(images=60, unreadable=0)
        """
        from graftwork.data import sources
        from graftwork.data.shards import Shard
        from graftwork.prediction import batch
        from graftwork.prediction.predict import answers

        share = Shard.parse(shard)
        with storage.written(os.fspath(file)) as path:
            numbered = enumerate(sources.rows(os.fspath(data), labelled=False))
            rows = (row for number, row in numbered if share.deals(number))
            return batch.write(path, answers(self._served, rows), self.classes, self.uri, quiet)

    def __repr__(self) -> str:
        height, width = self._folder.input_size
        return f"<Model {self.uri}: {len(self.classes)} classes, {height} x {width} pixels>"

    @cached_property
    def _served(self) -> "Served":
        from graftwork.prediction.served import Served

        return Served(self.path)


def open_model(model: str | os.PathLike[str]) -> Model:
    """Open a finished model, wherever it lies.

    Args:
        model: The output of a run, a model folder, or REGISTRY/NAME for the champion of a model in a registry: a path
            or gs:// URI.

    Returns:
        The model; what lies in a bucket is copied here.

    Raises:
        UserError: There is no such model, it has no champion, or it is a base without a head.

    Example:
        >>> model = graftwork.open_model("graftwork-run")
        >>> prediction = model.predict("a.jpg")[0]
        >>> sorted(prediction.probabilities)
        ['blue', 'green', 'red']
    """
    uri = model_uri(os.fspath(model))
    need_everything("a model that answers here")
    from graftwork.artifacts.model import read_classifier  # TensorFlow, only now that there is a model

    with ExitStack() as copy:
        folder = read_classifier(copy.enter_context(storage.fetched(uri)))
        return Model(folder, storage.absolute(uri), copy.pop_all())
