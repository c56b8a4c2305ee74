"""What was asked for, and a base model as it was found, with what is known of where it comes from."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from graftwork.artifacts.code import NO_CODE, CustomCode
from graftwork.artifacts.trained_on import TrainedOn
from graftwork.config import ScaleOffset
from graftwork.networks.layers import leaf_layers

AUTO, PENULTIMATE = "auto", "penultimate"
TOLERANCE = 1e-5
"""Largest difference of an output that a conversion may make, over the largest output: float32 arithmetic in
another order stays below it."""
EXPECTED = (
    "a Keras model (.keras, .h5 or a SavedModel folder; a path or gs:// URI), a keras.applications name, "
    "or hub: and the name of a KerasHub preset"
)


@dataclass(frozen=True)
class Request:
    """What a base model shall be made from, and how.

    Attributes:
        uri: See EXPECTED.
        input_size: Height and width in pixels; None for the size the model was saved with.
        feature_layer: Where to cut; see `cut`. Of a SavedModel without layers, the name of one of its outputs.
        architecture: Of a file with weights only, the name of its keras.applications model; "" if not given.
        code: What may run to open the model.
    """

    uri: str
    input_size: int | None = None
    feature_layer: str = AUTO
    architecture: str = ""
    code: CustomCode = NO_CODE


@dataclass(frozen=True)
class Conversion:
    """How a model of another kind became one of Keras 3.

    Attributes:
        changes: What is different in the new model, in words.
        difference: Largest absolute difference between the outputs of both, over the largest output.
        how: What was done.
        tolerance: The difference that was allowed.
    """

    changes: tuple[str, ...]
    difference: float
    how: str = "rebuilt in Keras 3"
    tolerance: float = TOLERANCE


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
        frozen: Why it cannot be fine-tuned, "" if it can.
        preprocessing: What its pixels need and how that is known, where the file itself says so.
        feature_layer: Where it has been cut already, for a model that is features only.
        head: Of a classifier that graftwork made: features to probabilities.
        classes: What that head tells apart.
        code: What has to run before the model can be opened.
        made_from: Of a model that graftwork made, what its own base was, as `report` says it.
        trained_on: Of a model that graftwork made, what it was trained on, if it says so.
    """

    model: keras.Model
    uri: str = ""
    kind: str = ""
    sha256: str = ""
    conversion: Conversion | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    frozen: str = ""
    preprocessing: tuple[str | ScaleOffset, str] | None = None
    feature_layer: str = ""
    head: keras.Model | None = None
    classes: tuple[str, ...] = ()
    code: CustomCode = NO_CODE
    made_from: Mapping[str, Any] = field(default_factory=dict)
    trained_on: TrainedOn | None = None

    def renamed_to(self, name: str) -> str:
        """Return the name that a layer of the file has now."""
        return next((new for new, old in self.renamed.items() if old == name), name)

    @property
    def summary(self) -> str:
        """The model in one line."""
        layers, parameters = len(leaf_layers(self.model)), self.model.count_params()
        return f"{self.uri} ({self.kind}, {layers} layer{'s' if layers > 1 else ''}, {parameters:,} parameters)"

    @property
    def report(self) -> dict[str, Any]:
        """What the load found, as it is stored with every model made from this one."""
        report: dict[str, Any] = {
            "base": {
                "uri": self.uri,
                "kind": self.kind,
                "sha256": self.sha256,
                "layers": len(leaf_layers(self.model)),
                "parameters": self.model.count_params(),
            }
        }
        if self.made_from:
            # A model may be made from the one before it, night after night: the first one is what it comes from.
            report["base"]["made_from"] = dict(self.made_from.get("made_from", self.made_from))
        if self.conversion is not None:
            report["conversion"] = dataclasses.asdict(self.conversion)
        if self.renamed:
            report["renamed"] = dict(self.renamed)
        if self.frozen:
            report["frozen"] = self.frozen
        return report

    @property
    def findings(self) -> list[str]:
        """The same for people, a line each."""
        lines = [self.summary]
        if self.conversion is not None:
            changes = "".join(f", {change}" for change in self.conversion.changes)
            apart = f"{self.conversion.difference:.1g} of its output" if self.conversion.difference else "nothing"
            coarse = self.conversion.tolerance > TOLERANCE
            allowed = f", where {self.conversion.tolerance:.1g} is allowed" if coarse else ""
            lines.append(
                f"{self.conversion.how}{changes}; proven on random input: {apart} apart from the original{allowed}"
            )
        if self.renamed:
            first = ", ".join(f"{old!r} to {new}" for new, old in list(self.renamed.items())[:3])
            lines.append(f"{len(self.renamed)} names that TensorFlow cannot export are changed: {first}")
        if self.frozen:
            lines.append(f"cannot be fine-tuned: {self.frozen}")
        return lines
