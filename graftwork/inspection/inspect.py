"""What a saved model is, and what images say about it, in one call."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from graftwork.artifacts import code
from graftwork.base_models.opened import Request
from graftwork.config import ScaleOffset, parse_preprocessing
from graftwork.inspection.describe import Description, describe
from graftwork.inspection.evidence import Say, weigh

IMAGES = 300
"""So many are tried unless asked otherwise."""


def inspect(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str] | None = None,
    *,
    images: int = IMAGES,
    preprocessing: str | ScaleOffset | Mapping[str, Any] | None = None,
    input_size: int | None = None,
    feature_layer: str = "auto",
    architecture: str = "",
    custom_objects: str = "",
    trust_code: bool = False,
) -> Description:
    """Say what a saved model is, where it would be cut, and what its pixels need.

    Args:
        model: What a base model can be: a .keras, .h5 or SavedModel (a path or gs:// URI), or a name.
        data: Labelled images, to find out by trying which preprocessing and which feature layer suit the model.
        images: How many of them to try, 20 or more.
        preprocessing: What the model's pixels need, if it is not found: a name, or scale and offset.
        input_size: Height and width in pixels; None as it was saved.
        feature_layer: Where to cut: a layer's name, "penultimate" or "auto"; of a SavedModel, one of its outputs.
        architecture: Of a file with weights only, its keras.applications model.
        custom_objects: A module or a .py file that registers classes the model needs.
        trust_code: Whether Python code in the model's file may run.

    Returns:
        The description. Its `evidence` is what the images say.

    Raises:
        UserError: It cannot be opened, or there are too few images to compare anything.

    Example:
        >>> description = graftwork.inspect("shelf-2021.keras", data="photos", images=30)
        >>> description.architecture, description.fine_tuned
        ('', 3)
        >>> [trial.name for trial in description.evidence.preprocessings]
        ['none']
    """
    request = Request(
        os.fspath(model), input_size, feature_layer, architecture, code.requested(custom_objects, trust_code)
    )
    description = describe(request, parse_preprocessing(preprocessing))
    return tried(description, data, images) if data else description


def tried(
    description: Description, data: str | os.PathLike[str], images: int = IMAGES, say: Say = lambda text: None
) -> Description:
    """Return a description with the evidence of labelled images, see `inspect`.

    Args:
        description: Of the model.
        data: Where they are.
        images: How many to try.
        say: Is told what is being tried.

    Raises:
        UserError: The model cannot be cut, or there are too few images.
    """
    return dataclasses.replace(description, evidence=weigh(description, os.fspath(data), images, say=say))
