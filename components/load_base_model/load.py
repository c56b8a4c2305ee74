"""Open a saved model, find where to cut it and how to preprocess for it, and write it as a base."""

import os
from typing import Any

from graftwork.artifacts import model as model_artifact
from graftwork.artifacts.code import NO_CODE, CustomCode
from graftwork.base_models.backbone import backbone
from graftwork.base_models.cut import base_of
from graftwork.base_models.open import open_base
from graftwork.base_models.opened import AUTO, Request
from graftwork.base_models.preprocessing import find_preprocessing
from graftwork.config import ScaleOffset
from graftwork.data import imaging
from graftwork.reporting import metering, progress


def load_base_model(
    uri: str,
    path: str | os.PathLike[str],
    preprocessing: str | ScaleOffset | None = None,
    input_size: int | None = None,
    feature_layer: str = AUTO,
    architecture: str = "",
    code: CustomCode = NO_CODE,
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
    base, cut_at = base_of(opened, request)
    height, width = base.input_shape[1:3]
    named = chosen if isinstance(chosen, str) else chosen.model_dump()
    description: dict[str, Any] = {
        "stored_size": imaging.stored_size_for(max(height, width)),
        "preprocessing": {"value": named, "found": how},
        "feature_layer": cut_at,
        **opened.report,
        **({"start": start} if start else {}),
    }
    # A head fits the features it was trained on, and no others.
    kept = opened.head if cut_at == opened.feature_layer else None
    if kept is not None:
        description["kept_classes"] = list(opened.classes)
    for finding in opened.findings:
        progress.note(finding)
    shape = base.output_shape[1:]
    progress.note(f"cut at {cut_at} {shape}, {height} x {width} pixels, preprocessing: {named}, {how}")
    made = backbone(base, chosen)
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
