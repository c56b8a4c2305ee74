"""What the networks of keras.applications need, and a test of each of them."""

import functools
from collections.abc import Iterable

import keras
import numpy as np
import pytest

from graftwork.base_models.architectures.applications import application_names
from graftwork.networks.layers import take_weights

# What each family's preprocess_input does. Those that have "none" preprocess inside.
PREPROCESSING = {
    "ConvNeXt": "none",
    "DenseNet": "imagenet-torch",
    "EfficientNet": "none",
    "InceptionResNetV2": "rescale-pm1",
    "InceptionV3": "rescale-pm1",
    "MobileNetV3": "none",
    "MobileNet": "rescale-pm1",
    "NASNet": "rescale-pm1",
    "ResNet": "imagenet-caffe",
    "VGG": "imagenet-caffe",
    "Xception": "rescale-pm1",
}


def each(names: Iterable[str]) -> pytest.MarkDecorator:
    """Run a test for every one of these networks, all the tests of one network in the same process, see `built`."""
    return pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in names])


each_network = each(application_names())


@functools.lru_cache(maxsize=1)
def built(name: str) -> keras.Model:
    """Return a network whose biases and statistics are not those of a fresh one, so that a lost one shows.

    Tests that come one after the other get the same one, as building takes seconds: they leave it as it is.
    """
    keras.utils.clear_session()  # the one before may go
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None)
    random = np.random.default_rng(0)
    moved = [w + random.uniform(0, 0.02, w.shape).astype(w.dtype) if w.ndim == 1 else w for w in model.get_weights()]
    take_weights(model, moved)
    return model
