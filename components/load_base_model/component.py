"""The interface of the step to KFP."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Model, Output

from graftwork.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def load_base_model(
    uri: str,
    fingerprint: str,
    model: Output[Model],
    preprocessing: str = "",
    input_size: int = 0,
    feature_layer: str = "auto",
    architecture: str = "",
    custom_objects: str = "",
    trust_code: bool = False,
    instead: str = "",
) -> NamedTuple("Sizes", [("size", int)]):  # type: ignore[valid-type]
    """Open a saved Keras model and cut it into a base that turns images into features.

    Args:
        uri: A .keras, .h5 or SavedModel (a path or gs:// URI), the name of a keras.applications model, or hub: and that
            of a KerasHub preset.
        fingerprint: What the file held when the run began; a changed file is loaded anew.
        model: The base: a SavedModel that embeds images, and its Keras model.
        preprocessing: What its pixels need, by name or as JSON with scale and offset; empty to find it.
        input_size: Height and width in pixels; 0 for the size the model was saved with.
        feature_layer: Where to cut: a layer's name, "penultimate", or "auto".
        architecture: Of a file with weights only, the name of its keras.applications model.
        custom_objects: A module, or a .py file, that registers the classes the model needs.
        trust_code: Whether Python code in the model's file may run.
        instead: A model that graftwork made, to load in place of this one, at its own size and cut: its URI, a # and
            whatever changes when its content does; "" for none.

    Returns:
        size: The larger of the base's input height and width, in pixels.
    """
    from graftwork.components.load_base_model.step import run

    return run(uri, model, preprocessing, input_size, feature_layer, architecture, custom_objects, trust_code, instead)
