"""What a saved model is, and what graftwork would make of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graftwork.base_models.architectures.recognition import recognise
from graftwork.base_models.cut import base_of
from graftwork.base_models.open import open_base
from graftwork.base_models.opened import OpenedModel, Request
from graftwork.base_models.preprocessing import find_preprocessing
from graftwork.components.fine_tune.layers import trainable_layers
from graftwork.config import ScaleOffset
from graftwork.errors import UserError
from graftwork.inspection.blocks import Block, blocks
from graftwork.reporting.shown import Shown

if TYPE_CHECKING:
    from rich.console import Console

    from graftwork.inspection.evidence import Evidence


@dataclass(frozen=True, repr=False)
class Description(Shown):
    """A saved model, described; at the prompt, in print and in a notebook it reads as `graftwork inspect` prints it.

    Attributes:
        opened: The model.
        request: What was asked for.
        architecture: What it is known as, "" if it is not.
        preprocessing: What its pixels need; None if that is not known.
        preprocessing_found: How that was found, or what was looked at.
        feature_layer: Where it would be cut, "" if it cannot be; then `cannot_cut` says why.
        input_size: (height, width) in pixels, None where any will do.
        features: Shape of the features there, without the batch.
        fine_tuned: How many layers of the base could be fine-tuned.
        blocks: The network, from input to output.
        evidence: What images say about preprocessing and feature layer; None if none were asked.

    Example:
        >>> description = graftwork.inspect("shelf-2021.keras")
        >>> description.feature_layer, description.preprocessing, description.input_size
        ('third', 'none', (24, 24))
    """

    opened: OpenedModel
    request: Request
    architecture: str
    preprocessing: str | ScaleOffset | None
    preprocessing_found: str
    feature_layer: str
    cannot_cut: str
    input_size: tuple[int | None, int | None]
    features: tuple[int | None, ...]
    fine_tuned: int
    blocks: tuple[Block, ...]
    evidence: "Evidence | None" = None

    def show(self, console: "Console") -> None:
        """Print what the model is, its blocks, what to do about what is not known, and what images say about it."""
        from graftwork.inspection.show import show, show_evidence

        show(console, self)
        if self.evidence:
            show_evidence(console, self, self.evidence)

    def as_json(self) -> dict[str, Any]:
        """Return the description for machines; its parts are those of `graftwork inspect --json`."""
        preprocessing = self.preprocessing
        return {
            **self.opened.report,
            "architecture": self.architecture or None,
            "input": [*self.input_size, self.opened.model.input_shape[-1]],
            "outputs": [list(tensor.shape[1:]) for tensor in self.opened.model.outputs],
            "preprocessing": {
                "value": preprocessing.model_dump() if isinstance(preprocessing, ScaleOffset) else preprocessing,
                "found": self.preprocessing_found,
            },
            "feature_layer": {
                "name": self.feature_layer or None,
                "output": list(self.features),
                "why_not": self.cannot_cut or None,
            },
            "fine_tuning": {"layers": self.fine_tuned, "why_not": self.opened.frozen or None},
            "blocks": [{**vars(block), "output": list(block.output)} for block in self.blocks],
            **({"evidence": self.evidence.as_json()} if self.evidence else {}),
        }


def describe(request: Request, preprocessing: str | ScaleOffset | None) -> Description:
    """Open a model and find out what would be made of it.

    Args:
        request: What to open, and how.
        preprocessing: What the user says of it; None to find it.

    Raises:
        UserError: It cannot be opened.
    """
    opened = open_base(request)
    try:
        value, found = find_preprocessing(opened, preprocessing)
    except UserError as error:
        value, found = None, error.facts.get("looked at", error.problem)
    known = recognise(opened.model)
    size, features, feature_layer, cannot_cut, fine_tuned = opened.model.input_shape[1:3], (), "", "", 0
    try:
        base, feature_layer = base_of(opened, request)
        size, features = base.input_shape[1:3], base.output_shape[1:]
        fine_tuned = 0 if opened.frozen else len(trainable_layers(base))
    except UserError as error:
        cannot_cut = "; ".join([error.problem, *error.next])
    return Description(
        opened=opened,
        request=request,
        architecture="" if known is None else str(known),
        preprocessing=value,
        preprocessing_found=found,
        feature_layer=feature_layer,
        cannot_cut=cannot_cut,
        input_size=(size[0], size[1]),
        features=tuple(features),
        fine_tuned=fine_tuned,
        blocks=tuple(blocks(opened.model)),
    )


def feature_layers(description: Description, most: int = 4) -> list[str]:
    """Return places where the base could be cut, the proposed one first, then the ends of the last blocks before it."""
    ends = [block.last for block in description.blocks if len(block.output) in (1, 2, 3)][:-1]
    before = ends[: ends.index(description.feature_layer)] if description.feature_layer in ends else ends
    return [description.feature_layer, *reversed(before)][:most]
