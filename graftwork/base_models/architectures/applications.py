"""Base models out of keras.applications."""

import difflib
from collections.abc import Mapping

import keras
from keras.src.applications import convnext, inception_resnet_v2

from graftwork.base_models.opened import EXPECTED, OpenedModel
from graftwork.errors import UserError, in_one_line

LAYERS = {
    "CustomScaleLayer": inception_resnet_v2.CustomScaleLayer,
    "LayerScale": convnext.LayerScale,
    "StochasticDepth": convnext.StochasticDepth,
}
"""What keras.applications has for itself: Keras finds them in .keras archives, and not in its older formats."""


def open_application(name: str, input_size: int | None) -> OpenedModel:
    """Build a keras.applications model with its ImageNet weights, without its classifier.

    Args:
        name: As in keras.applications, for example "MobileNetV2".
        input_size: Height and width in pixels; None for the model's own.

    Raises:
        UserError: There is no such model, or its weights cannot be fetched.
    """
    require_known(name, "the base model does not exist", {"base_model": name, "expected": EXPECTED})
    constructor = getattr(keras.applications, name)
    size = input_size or constructor(weights=None).input_shape[1]
    try:
        model = constructor(weights="imagenet", include_top=False, input_shape=(size, size, 3))
    except ValueError as error:
        facts = {"model": name, "input_size": size, "reason": in_one_line(error)}
        raise UserError("keras.applications refuses to build the base model", facts) from error
    except Exception as error:  # the download raises what urllib raises
        facts = {"model": f"keras.applications {name}", "reason": in_one_line(error)}
        advice = ["check the network, or put the weights into ~/.keras/models,", "or give a saved model file instead"]
        raise UserError("the weights of the base model cannot be fetched", facts, advice) from error
    return OpenedModel(model, name, f"keras.applications, Keras {keras.__version__}", "")


def require_known(name: str, problem: str, facts: Mapping[str, str]) -> None:
    """Raise a UserError with this problem and these facts if there is no such model; says which the nearest are."""
    known = application_names()
    if name in known:
        return
    lower = {other.lower(): other for other in known}
    close = [lower[match] for match in difflib.get_close_matches(name.lower(), lower, n=3)]
    next = f"did you mean {' or '.join(close)}?" if close else f"the names are {', '.join(known)}"
    raise UserError(problem, facts, next)


def application_names() -> list[str]:
    """Return the names of the models in keras.applications."""
    return [name for name, value in vars(keras.applications).items() if name[0].isupper() and callable(value)]
