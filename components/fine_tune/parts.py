"""The classifier as training sees it: a frozen trunk that runs in inference, and a suffix that is trained."""

from dataclasses import dataclass, replace

import keras

from graftwork.artifacts.model import BACKBONE, HEAD
from graftwork.config import Precision
from graftwork.networks import devices
from graftwork.networks.depthwise import with_fast_gradients
from graftwork.networks.frozen import Frozen, frozen
from graftwork.networks.graph import unrolled
from graftwork.networks.precision import for_training, resolved
from graftwork.networks.split import Split, split


@dataclass(frozen=True)
class Parts:
    """A classifier in two parts, see networks.split.

    Attributes:
        split: Where it is cut; the suffix ends in logits, its gradients are those that are quick to compute here.
        trunk: The part below the cut, compiled: pixels to the tensors that cross.
        precision: What the suffix computes in while it is trained.
    """

    split: Split
    trunk: Frozen
    precision: str


def parts(classifier: keras.Model, precision: Precision) -> Parts:
    """Split a classifier below its trained layers.

    Args:
        classifier: A backbone, frozen but for the layers to train, and a head, see artifacts.model.
        precision: What they compute in, see networks.precision.
    """
    cut = split(unrolled(_ending_in_logits(classifier)))
    trained_in = for_training(precision, cut.suffix)
    fast = trained_in == "float32" and not devices.on_gpu()
    if fast:
        cut = replace(cut, suffix=with_fast_gradients(cut.suffix))
    return Parts(cut, frozen(cut.trunk, resolved(precision)), trained_in)


def _ending_in_logits(classifier: keras.Model) -> keras.Model:
    """Return the same layers without the softmax, which is kinder to gradients inside the loss."""
    outputs = classifier.get_layer(BACKBONE)(classifier.inputs[0])
    for layer in classifier.get_layer(HEAD).layers[1:-1]:
        outputs = layer(outputs)
    return keras.Model(classifier.inputs[0], outputs)
