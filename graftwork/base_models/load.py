"""Open a saved model, find where to cut it and how to preprocess for it, and write it as a base."""

import dataclasses
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from graftwork import storage
from graftwork.artifacts import model as model_artifact
from graftwork.artifacts.code import NO_CODE, Code
from graftwork.base_models.applications import open_application
from graftwork.base_models.backbone import backbone
from graftwork.base_models.cut import cut, require_image_input
from graftwork.base_models.open import open_file, open_preset
from graftwork.base_models.opened import AUTO, EXPECTED, OpenedModel, Request
from graftwork.base_models.preprocessing import find_preprocessing
from graftwork.base_models.rebuild import at_input_size
from graftwork.config import HUB, ScaleOffset
from graftwork.data import imaging
from graftwork.errors import UserError
from graftwork.reporting import metering, progress


@dataclass(frozen=True)
class Base:
    """The part of an opened model that becomes the base.

    Attributes:
        model: float32 (n, height, width, 3 or 1) to features, without preprocessing and pooling.
        feature_layer: The layer it ends with.
    """

    model: keras.Model
    feature_layer: str


def load_base_model(
    uri: str,
    path: str | os.PathLike[str],
    preprocessing: str | ScaleOffset | None = None,
    input_size: int | None = None,
    feature_layer: str = AUTO,
    architecture: str = "",
    code: Code = NO_CODE,
    start: str = "",
) -> model_artifact.ModelFolder:
    """Make a base from a saved model.

    Args:
        uri: See `opened.EXPECTED`.
        path: The model artifact to write, a base: pixels in [0, 255] to features (n, d).
        preprocessing: See config; None finds it.
        input_size: Height and width in pixels; None keeps the size the model was saved with.
        feature_layer: See `cut`.
        architecture: Of a file with weights only, the name of its keras.applications model.
        code: What may run to open the model.
        start: What to call it where several bases compete; "" where it is the only one.

    Raises:
        UserError: The model does not exist, cannot be opened, takes no image, or cannot be cut or rebuilt as asked.
    """
    meter = metering.Meter()
    request = Request(uri, input_size, feature_layer, architecture, code)
    opened = open_base(request)
    chosen, how = find_preprocessing(opened, preprocessing)
    base = base_of(opened, request)
    height, width = base.model.input_shape[1:3]
    named = chosen if isinstance(chosen, str) else chosen.model_dump()
    description: dict[str, Any] = {
        "stored_size": imaging.stored_size_for(max(height, width)),
        "preprocessing": {"value": named, "found": how},
        "feature_layer": base.feature_layer,
        **opened.report,
        **({"start": start} if start else {}),
    }
    # A head fits the features it was trained on, and no others.
    kept = opened.head if base.feature_layer == opened.feature_layer else None
    if kept is not None:
        description["kept_classes"] = list(opened.classes)
    for finding in opened.findings:
        progress.note(finding)
    shape = base.model.output_shape[1:]
    progress.note(f"cut at {base.feature_layer} {shape}, {height} x {width} pixels, preprocessing: {named}, {how}")
    made = backbone(base.model, chosen)
    return model_artifact.write(
        path,
        made,
        "base",
        description,
        opened.code,
        kept,
        lambda: {"load_base_model": meter.profile()},
        opened.trained_on,
    )


def open_base(request: Request) -> OpenedModel:
    """Open a base model, whatever it was given as.

    Raises:
        UserError: It does not exist, cannot be opened, or takes no image.
    """
    opened = _open(request)
    require_image_input(opened)
    return opened


def base_of(opened: OpenedModel, request: Request) -> Base:
    """Return the part of a model that becomes the base, at the size it was asked for.

    Raises:
        UserError: It cannot be cut or rebuilt as asked.
    """
    size = request.input_size
    base, cut_at = cut(opened, opened.renamed_to(request.feature_layer))
    if size and base.input_shape[1:3] != (size, size):
        base = at_input_size(base, size, opened)
    if None in base.input_shape[1:3]:
        facts = {"model": opened.summary, "its input": base.input_shape}
        raise UserError(
            "the base model takes images of any size", facts, next="pass the size to use: --set input_size=224"
        )
    return Base(base, cut_at)


def _open(request: Request) -> OpenedModel:
    uri = request.uri
    if uri.startswith(HUB):
        opened = open_preset(uri.removeprefix(HUB))
        return dataclasses.replace(opened, uri=uri, kind="KerasHub preset")
    if not storage.is_remote(uri) and not Path(uri).exists():
        if Path(uri).suffix or os.sep in uri:
            raise UserError("the base model does not exist", {"base_model": uri, "expected": EXPECTED})
        return open_application(uri, request.input_size)
    with tempfile.TemporaryDirectory(prefix="graftwork-") as folder:
        return open_file(storage.local_copy(uri, Path(folder)), request)
