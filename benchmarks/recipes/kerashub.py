"""KerasHub's ImageClassifier around the same backbone, trained as its documentation shows."""

from pathlib import Path
from typing import Any

import keras
import keras_hub

from . import arrays, networks
from .inputs import Inputs
from .processes import Evaluate


def image_classifier(inputs: Inputs, scratch: Path, epochs: int) -> Evaluate:
    """Frozen backbone, pooling, one dense layer; everything else as `ImageClassifier` has it.

    Its defaults: average pooling, logits, no dropout, Adam at 5e-5, sparse categorical cross-entropy. Its examples
    freeze the backbone with `classifier.backbone.trainable = False` and compile after that. They fit arrays two images
    at a time, because they are two images; its guide to classification takes batches of 32.
    """
    keras.utils.set_random_seed(inputs.seed)
    backbone = networks.base(inputs.network, inputs.keras_file)
    classifier = keras_hub.models.ImageClassifier(backbone=backbone, num_classes=networks.CLASSES, preprocessor=None)
    classifier.backbone.trainable = False
    classifier.compile()
    side = backbone.input_shape[1]
    x_train, y_train = arrays.load(inputs.images, "train", side)
    validation = arrays.load(inputs.images, "validation", side)
    classifier.fit(x=x_train, y=y_train, validation_data=validation, epochs=epochs, batch_size=32, verbose=0)

    def evaluate() -> dict[str, Any]:
        x_test, y_test = arrays.load(inputs.images, "test", side)
        return networks.score(classifier.predict(x_test, verbose=0), y_test)

    return evaluate
