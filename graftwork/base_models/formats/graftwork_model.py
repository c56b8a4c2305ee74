"""Model folders that graftwork made, as the base of the next model: its network, and its head to keep or replace."""

from pathlib import Path

import keras

from graftwork.artifacts import model as model_artifact
from graftwork.artifacts.model import BACKBONE, BASE, HEAD
from graftwork.base_models.formats import keras_archive
from graftwork.base_models.formats.keras2.open import classes_of_keras2
from graftwork.base_models.formats.kind import Kind
from graftwork.base_models.opened import OpenedModel, Request
from graftwork.base_models.safety import configuration as safety
from graftwork.base_models.safety.files import check_archive
from graftwork.base_models.safety.operations import check_saved_model
from graftwork.config import ScaleOffset
from graftwork.errors import UserError

_AS_MADE = "as the model was made: "


def is_graftwork_model(path: Path) -> bool:
    """Return whether a folder is a model artifact."""
    return (path / model_artifact.DESCRIPTION).is_file()


def model_in_run(path: Path) -> Path:
    """Return the model folder in the output folder of a run, any other path as it is."""
    return path / "model" if not is_graftwork_model(path) and is_graftwork_model(path / "model") else path


def open_graftwork_model(path: Path, request: Request, saved_by: str) -> OpenedModel:
    """Open a model artifact, a base or a classifier.

    Raises:
        UserError: It is damaged, or needs code that the user has not allowed.
    """
    folder = model_artifact.read(path)
    code = folder.code if request.code.trusted and folder.code else request.code
    if folder.code and not code:
        needs = ", ".join([*folder.code.modules, *(["Python code of its own"] if folder.code.source else [])])
        next = "if you trust whoever made it:  --trust-code"
        raise UserError("the model needs code to be opened", {"needs": needs or "lambdas"}, next)
    code.run()
    for file in (model_artifact.KERAS_MODEL, model_artifact.KEPT_HEAD):
        if (path / file).is_file():
            check_archive(path / file, code)
            configuration = keras_archive.configuration(path / file)
            safety.check(configuration, classes_of_keras2(), safety.registered("Keras 3"), code)
    whole = folder.keras_model(code)
    is_classifier = folder.description["role"] == "classifier"
    backbone = whole.get_layer(BACKBONE) if is_classifier else whole
    found = folder.description["preprocessing"]
    value = found["value"] if isinstance(found["value"], str) else ScaleOffset(**found["value"])
    return OpenedModel(
        _network(backbone, path),
        frozen=folder.description.get("frozen", ""),
        preprocessing=(value, _AS_MADE + found["found"].removeprefix(_AS_MADE)),
        feature_layer=folder.description["feature_layer"],
        head=whole.get_layer(HEAD) if is_classifier else folder.kept_head(),
        classes=tuple(folder.description.get("classes") or folder.description.get("kept_classes", ())),
        code=code,
        made_from=folder.description["base"],
        trained_on=folder.trained_on,
    )


def _network(backbone: keras.Model, path: Path) -> keras.Model:
    """Return the network between preprocessing and pooling."""
    try:
        return backbone.get_layer(BASE)
    except ValueError:
        raise UserError("the model has no base inside", {"file": path / model_artifact.KERAS_MODEL}) from None


KIND = Kind("graftwork model", is_graftwork_model, open_graftwork_model, check=check_saved_model)
