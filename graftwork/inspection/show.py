"""What a person sees of an inspection."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from graftwork.config import ScaleOffset
from graftwork.inspection.describe import Description
from graftwork.inspection.evidence import Evidence, Trial

_MARK = "<- features"


def show(console: Console, description: Description) -> None:
    """Print what a model is, its blocks, and what to do about what is not known."""
    opened = description.opened
    channels = opened.model.input_shape[-1]
    height, width = description.input_size
    size = f"{height} x {width} pixels" if height and width else "any size: pass --input-size"
    facts = {"model": opened.uri, "kind": opened.kind}
    base = opened.report["base"]
    facts["size"] = f"{base['layers']} layer{'s' if base['layers'] > 1 else ''}, {base['parameters']:,} parameters"
    facts |= {("opened" if n == 0 else " " * n): text for n, text in enumerate(opened.findings[1:])}
    if opened.sha256:
        facts["sha256"] = opened.sha256
    facts["input"] = f"{size}, {'grey' if channels == 1 else 'RGB'}"
    facts["architecture"] = description.architecture or "none that is known"
    value = description.preprocessing
    facts["preprocessing"] = (
        f"{name_of(value)}, {description.preprocessing_found}"
        if value is not None
        else (f"not known; looked at {description.preprocessing_found}")
    )
    if description.feature_layer:
        facts["feature layer"] = f"{description.feature_layer} {_shape(description.features)}"
        count = description.fine_tuned
        able = f"up to {count} layer{'s' if count > 1 else ''}" if count else "no layer has weights to train"
        facts["fine-tuning"] = able if not opened.frozen else f"no: {opened.frozen}"
    else:
        facts["feature layer"] = f"none: {description.cannot_cut}"
    if opened.classes:
        facts["head"] = f"for {len(opened.classes)} classes: {', '.join(opened.classes[:8])}"
    _facts(console, facts)
    console.print()
    console.print(_blocks(description))
    if value is None:
        console.print()
        _say(console, f"next: graftwork inspect {opened.uri} --data DIR  to find the preprocessing by trying")


def show_evidence(console: Console, description: Description, evidence: Evidence) -> None:
    """Print both rankings, and what they say."""
    about = f"{evidence.images} images, {evidence.classes} classes; accuracy of a 5-fold linear probe"
    if evidence.preprocessings[0].divergence is not None:
        about += ", divergence from what the network's batch normalisation recorded in training"
    left_out = f"; {evidence.left_out}" if evidence.left_out else ""
    console.print()
    _say(console, f"evidence: {about}{left_out}")
    known = None if description.preprocessing is None else name_of(description.preprocessing)
    console.print(_ranking("preprocessing", evidence.preprocessings, known))
    console.print()
    console.print(_ranking("feature layer", evidence.feature_layers, description.feature_layer))
    console.print()
    for line in verdict(description, evidence):
        _say(console, line)


def verdict(description: Description, evidence: Evidence) -> list[str]:
    """Return what the evidence says, a line each."""
    first = evidence.preprocessings[0]
    as_good = [trial.name for trial in evidence.preprocessings if trial.may_be_best]
    known = None if description.preprocessing is None else name_of(description.preprocessing)
    lines = []
    if len(evidence.preprocessings) == 1:
        lines.append("preprocessing: inside the model, nothing to choose")
    elif len(as_good) == 1:
        why = "tells the classes apart best" if first.divergence is None else "fits best what the network recorded"
        lines.append(f"preprocessing: {first.name} {why}:  --preprocessing {first.name}")
    else:
        lines.append(f"preprocessing: {', '.join(as_good)} cannot be told apart; more images may (--images)")
    if known and known not in as_good and "given" not in as_good:
        lines.append(f"  but {known} was {description.preprocessing_found}: ask where the model is from")
    layers = [trial.name for trial in evidence.feature_layers if trial.may_be_best]
    if description.feature_layer in layers:
        lines.append(f"feature layer: none is better than {description.feature_layer}, the proposed one")
    else:
        lines.append(f"feature layer: {layers[0]} is better:  --set feature_layer={layers[0]}")
    return lines


def name_of(value: str | ScaleOffset) -> str:
    """Return a preprocessing in words."""
    return value if isinstance(value, str) else f"pixels * {value.scale} + {value.offset}"


def _facts(console: Console, facts: dict[str, str]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in facts.items():
        table.add_row(label.strip(), Text(text))
    console.print(table)


def _blocks(description: Description) -> Table:
    table = _table("block ends with", "layers", "parameters", "output", "")
    for block in description.blocks:
        chosen = block.last == description.feature_layer
        cells = [block.last, f"{block.layers}", f"{block.parameters:,}", _shape(block.output), _MARK if chosen else ""]
        table.add_row(*map(Text, cells), style="bold" if chosen else None)
    return table


def _ranking(what: str, trials: Sequence[Trial], known: str | None) -> Table:
    recorded = trials[0].divergence is not None
    table = _table(what, *(["divergence"] if recorded else []), "accuracy", "behind", "")
    for trial in trials:
        difference, error = trial.behind
        cells = [trial.name]
        if trial.divergence is not None:
            cells.append(f"{trial.divergence[0]:,.3g}")
        cells.append(f"{trial.accuracy:.3f} ± {trial.error:.3f}")
        cells.append(f"{difference:.3f} ± {error:.3f}" if difference or error else "")
        cells.append("as found" if trial.name == known else "")
        table.add_row(*map(Text, cells), style="bold" if trial.may_be_best else None)
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim", pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number in (0, len(headings) - 1) else "right", no_wrap=number > 0)
    return table


def _say(console: Console, text: str) -> None:
    console.print(Text(text), soft_wrap=True)


def _shape(shape: Sequence[Any]) -> str:
    return " x ".join("any" if side is None else str(side) for side in shape)
