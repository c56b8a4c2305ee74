"""A base model as it was found, with what is known of where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import keras

from graftwork.artifacts.model import leaf_layers

EXPECTED = "a Keras model (.keras, .h5 or a SavedModel folder; a path or gs:// URI), or a keras.applications name"


@dataclass(frozen=True)
class Conversion:
    """How a model of Keras 2 became one of Keras 3.

    Attributes:
        changes: What is different in the new model, in words.
        difference: Largest absolute difference between the outputs of both, over the largest output.
    """

    changes: tuple[str, ...]
    difference: float


@dataclass(frozen=True)
class OpenedModel:
    """A base model as it was saved.

    Attributes:
        model: Functional or Sequential.
        uri: What the user gave.
        kind: What it is, for people, with the version that saved it if that is known.
        sha256: Of the file or folder, "" for a keras.applications model.
        conversion: None if Keras 3 opened it as it is.
        renamed: Layers whose names TensorFlow cannot export, as new name -> name in the file.
    """

    model: keras.Model
    uri: str
    kind: str
    sha256: str
    conversion: Conversion | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)

    def renamed_to(self, name: str) -> str:
        """Return the name that a layer of the file has now."""
        return next((new for new, old in self.renamed.items() if old == name), name)

    @property
    def summary(self) -> str:
        """The model in one line."""
        layers, parameters = len(leaf_layers(self.model)), self.model.count_params()
        return f"{self.uri} ({self.kind}, {layers} layers, {parameters:,} parameters)"
