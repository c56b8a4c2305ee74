"""Open a saved model, find where to cut it and how to preprocess for it, and write it as a base."""

import dataclasses
import os
import tempfile
from pathlib import Path
from typing import Any

from graftwork import imaging, progress, storage
from graftwork.artifacts import model as model_artifact
from graftwork.components.load_base_model import architectures
from graftwork.components.load_base_model.applications import open_application
from graftwork.components.load_base_model.backbone import backbone
from graftwork.components.load_base_model.cut import cut, require_image_input
from graftwork.components.load_base_model.open import open_file
from graftwork.components.load_base_model.opened import EXPECTED, OpenedModel
from graftwork.components.load_base_model.rebuild import at_input_size
from graftwork.config import ScaleOffset
from graftwork.errors import UserError


def load_base_model(
    uri: str,
    path: str | os.PathLike[str],
    preprocessing: str | ScaleOffset | None = None,
    input_size: int | None = None,
    feature_layer: str = "auto",
) -> model_artifact.ModelFolder:
    """Make a base from a saved model.

    Args:
        uri: See `opened.EXPECTED`.
        path: The model artifact to write, a base: pixels in [0, 255] to features (n, d).
        preprocessing: See config; None finds it.
        input_size: Height and width in pixels; None keeps the size the model was saved with.
        feature_layer: See `cut`.

    Raises:
        UserError: The model does not exist, cannot be opened, takes no image, or cannot be cut or rebuilt as asked.
    """
    opened = _open(uri, input_size)
    require_image_input(opened)
    chosen, how = architectures.find_preprocessing(opened, preprocessing)
    base, cut_at = cut(opened, opened.renamed_to(feature_layer))
    if input_size and base.input_shape[1:3] != (input_size, input_size):
        base = at_input_size(base, input_size, opened)
    if None in base.input_shape[1:3]:
        facts = {"model": opened.summary, "its input": base.input_shape}
        raise UserError(
            "the base model takes images of any size", facts, next="pass the size to use: --set input_size=224"
        )
    model = backbone(base, chosen)
    named = chosen if isinstance(chosen, str) else chosen.model_dump()
    description: dict[str, Any] = {
        "stored_size": imaging.stored_size_for(max(base.input_shape[1:3])),
        "preprocessing": {"value": named, "found": how},
        "feature_layer": cut_at,
        "base": {"uri": uri, "kind": opened.kind, "sha256": opened.sha256, "parameters": base.count_params()},
    }
    height, width = base.input_shape[1:3]
    progress.note(f"{opened.summary}")
    if opened.conversion is not None:
        changes = "".join(f", {change}" for change in opened.conversion.changes)
        progress.note(f"rebuilt in Keras 3{changes}; proven on random input: {opened.conversion.difference:.1g} apart")
        description["conversion"] = dataclasses.asdict(opened.conversion)
    if opened.renamed:
        first = ", ".join(f"{old!r} to {new}" for new, old in list(opened.renamed.items())[:3])
        progress.note(f"{len(opened.renamed)} names that TensorFlow cannot export are changed: {first}")
        description["renamed"] = dict(opened.renamed)
    progress.note(f"cut at {cut_at} {base.output_shape[1:]}, {height} x {width} pixels, preprocessing: {named}, {how}")
    return model_artifact.write(path, model, "base", description)


def _open(uri: str, input_size: int | None) -> OpenedModel:
    if not storage.is_remote(uri) and not Path(uri).exists():
        if Path(uri).suffix or os.sep in uri:
            raise UserError("the base model does not exist", {"base_model": uri, "expected": EXPECTED})
        return open_application(uri, input_size)
    with tempfile.TemporaryDirectory(prefix="graftwork-") as folder:
        return open_file(storage.local_copy(uri, Path(folder)), uri)
