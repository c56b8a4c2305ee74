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
        preprocessing: What pixels need, by name or as {"scale": ..., "offset": ...}; empty: found in the base, never
            guessed.
        input_size: Height and width in pixels at which the base runs, with the same weights; 0: as it was saved.
        feature_layer: Where the base is cut: a layer's name, an output's of a SavedModel without layers, "penultimate",
            or "auto" for the last output with height and width.
        architecture: Of a base that is a file with weights only, the name of its keras.applications model.
        custom_objects: A module, or a .py file (a path or gs:// URI), that registers the classes the base needs.
        trust_code: Whether Python code in the base's file (Lambda layers) may run.
        instead: A model that graftwork made, to load in place of this one, at its own size and cut: its URI, a # and
            whatever changes when its content does; "" for none.

    Returns:
        size: The larger of the base's input height and width, in pixels.
    """
    from graftwork.components.load_base_model.step import run

    return run(uri, model, preprocessing, input_size, feature_layer, architecture, custom_objects, trust_code, instead)
