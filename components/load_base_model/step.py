"""The step as a pipeline runs it: parameters as KFP passes them in, metadata out."""

from typing import Any

from graftwork.artifacts import code
from graftwork.artifacts.kfp_metadata import describe
from graftwork.components.load_base_model.load import load_base_model
from graftwork.config import parse_preprocessing
from graftwork.reporting.progress import step


@step("load_base_model")
def run(
    uri: str,
    model: Any,
    preprocessing: str,
    input_size: int,
    feature_layer: str,
    architecture: str,
    custom_objects: str,
    trust_code: bool,
    instead: str,
) -> tuple[int]:
    """Load the base into the KFP artifact `model`; return the larger side of its input in pixels."""
    allowed = code.requested(custom_objects, trust_code)
    instead = instead.rpartition("#")[0]
    if instead:
        base = load_base_model(instead, model.path, code=allowed, start="champion")
    else:
        found = parse_preprocessing(preprocessing)
        base = load_base_model(uri, model.path, found, input_size or None, feature_layer, architecture, allowed)
    describe(model, base_model=instead or uri, feature_layer=base.description["feature_layer"])
    return (max(base.input_size),)
