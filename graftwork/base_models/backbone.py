"""The backbone: from pixels in [0, 255] to one flat feature vector, whatever network is inside."""

import keras

from graftwork.artifacts.model import BACKBONE
from graftwork.config import ScaleOffset
from graftwork.errors import UserError

# Means and standard deviations of ImageNet's training images, per channel, as keras.applications.imagenet_utils has
# them: RGB in [0, 1] for the torch convention, BGR in [0, 255] for the caffe convention.
_TORCH_MEAN, _TORCH_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CAFFE_MEAN = (103.939, 116.779, 123.68)

_Numbers = float | tuple[float, ...]
_SCALES: dict[str, tuple[_Numbers, _Numbers]] = {
    "none": (1.0, 0.0),
    "rescale-0-1": (1 / 255, 0.0),
    "rescale-pm1": (1 / 127.5, -1.0),
    "imagenet-caffe": (1.0, tuple(-mean for mean in _CAFFE_MEAN)),
    "imagenet-torch": (
        tuple(1 / (255 * std) for std in _TORCH_STD),
        tuple(-mean / std for mean, std in zip(_TORCH_MEAN, _TORCH_STD, strict=True)),
    ),
}
"""Scale and offset of every preprocessing that has a name."""


def backbone(base: keras.Model, preprocessing: str | ScaleOffset) -> keras.Model:
    """Put preprocessing before a base and pooling behind it.

    Args:
        base: float32 (n, height, width, 3), or (n, height, width, 1) for grey, to a feature map (n, h, w, d), tokens
            (n, t, d) or a flat feature (n, d).
        preprocessing: One of config.PREPROCESSING_NAMES, or scale and offset. A grey base sees the luma of the pixels.

    Returns:
        A model from RGB pixels in [0, 255] to features (n, d).

    Raises:
        UserError: A preprocessing per colour channel, for a base that sees none.
    """
    height, width, channels = base.input_shape[1:]
    pixels = keras.Input((height, width, 3), name="pixels")
    seen = pixels
    if channels == 1:
        _require_scalar(preprocessing)
        seen = keras.ops.image.rgb_to_grayscale(pixels, data_format="channels_last")
    features = base(_preprocess(seen, preprocessing))
    if len(features.shape) == 4:
        features = keras.layers.GlobalAveragePooling2D(name="pool")(features)
    elif len(features.shape) == 3:
        features = keras.layers.GlobalAveragePooling1D(name="pool")(features)
    return keras.Model(pixels, features, name=BACKBONE)


def _preprocess(pixels: keras.KerasTensor, preprocessing: str | ScaleOffset) -> keras.KerasTensor:
    if preprocessing == "none":
        return pixels
    if preprocessing == "imagenet-caffe":
        pixels = keras.ops.flip(pixels, axis=-1)  # RGB to BGR
    scale, offset = _scale_and_offset(preprocessing)
    return keras.layers.Rescaling(scale, offset, name="preprocessing")(pixels)


def _require_scalar(preprocessing: str | ScaleOffset) -> None:
    if any(isinstance(value, tuple) for value in _scale_and_offset(preprocessing)):
        facts = {"preprocessing": str(preprocessing), "the base's input": "one channel, grey"}
        next = "pass none, rescale-0-1, rescale-pm1, or one number each for scale and offset"
        raise UserError("the preprocessing is for colours, but the base sees none", facts, next)


def _scale_and_offset(preprocessing: str | ScaleOffset) -> tuple[_Numbers, _Numbers]:
    if isinstance(preprocessing, ScaleOffset):
        return preprocessing.scale, preprocessing.offset
    return _SCALES[preprocessing]
