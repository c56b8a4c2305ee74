"""Open a model that Keras saved whole."""

from pathlib import Path

import keras

from graftwork.base_models.conversion import channels_first
from graftwork.base_models.conversion.equivalence import require_same_outputs
from graftwork.base_models.conversion.layer_names import with_exportable_names
from graftwork.base_models.formats.hdf5 import is_hdf5
from graftwork.base_models.formats.keras2.open import open_keras2
from graftwork.base_models.formats.keras3 import hdf5
from graftwork.base_models.opened import Conversion, OpenedModel, Request
from graftwork.errors import UserError


def open_keras(path: Path, request: Request, saved_by: str) -> OpenedModel:
    """Open a whole model with the Keras of the version that saved it.

    Args:
        path: A `.keras` archive or an `.h5` file. Whoever calls this has looked at its configuration.
        request: What may run.
        saved_by: As in "Keras 3.5.0".

    Raises:
        UserError: It has no graph of layers, or cannot become a model of Keras 3 that takes channels last.
    """
    if not saved_by.startswith("Keras 3"):
        return open_keras2(path, request.code)
    # Safe mode refuses Lambda layers, which would run code from the file. Keras wants the suffix to know the format.
    if is_hdf5(path):
        model = hdf5.load(path, request.code.trusted)
    else:
        model = keras.saving.load_model(path, compile=False, safe_mode=not request.code.trusted)
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        found = {"found": type(model).__name__}
        raise UserError("the base model has no graph of layers", found, "expected a Functional or Sequential model")
    conversion = None
    if channels_first.is_channels_first(model):
        converted = channels_first.to_channels_last(model)
        difference = require_same_outputs(channels_first.run_channels_first(model), converted)
        conversion = Conversion((channels_first.CHANGE,), difference)
        model = converted
    model, renamed = with_exportable_names(model)
    return OpenedModel(model, conversion=conversion, renamed=renamed)
