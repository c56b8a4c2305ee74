"""The report's pictures, as SVG text whose colours are those of the page, light or dark."""

import io
import warnings
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

INK, ACCENT, SECOND, FAINT = "#44506a", "#2f6fde", "#d97a1e", "#c9d1e0"
_PAGE_COLOURS = {INK: "var(--soft)", ACCENT: "var(--accent)", SECOND: "var(--second)", FAINT: "var(--faint)"}
_STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a class may be named $x$
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "graftwork",
}
_MOST_NUMBERED = 25
_MOST_NAMED = 60
_LONGEST_NAME = 18


def is_wide(classes: list[str]) -> bool:
    """Say whether a confusion matrix of these classes needs the width of the page."""
    return len(classes) > 10 or (len(classes) > 5 and max(map(len, classes)) > 10)


def confusion(matrix: list[list[int]], classes: list[str]) -> str:
    """Draw a confusion matrix: rows are true classes, numbers are images.

    Right answers have one colour, wrong ones another. Its depth is the square root of the share of the row, so that a
    confusion of one in a hundred can be seen.
    """
    counts = np.asarray(matrix)
    depth = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    count = len(classes)
    side = min(10.0, 3.2 + 0.26 * count) if is_wide(classes) else 4.4
    shades = np.empty((count, count, 4))
    shades[..., :3] = np.where(np.eye(count, dtype=bool)[..., None], to_rgb(ACCENT), to_rgb(SECOND))
    shades[..., 3] = np.where(counts > 0, 0.08 + 0.92 * depth, 0.0)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.subplots()
        axes.imshow(shades, interpolation="none")
        axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
        axes.grid(which="minor", color=FAINT, lw=0.5 if count <= _MOST_NUMBERED else 0.2)
        if count <= _MOST_NUMBERED:
            for row, column in np.argwhere(counts):
                colour = "white" if depth[row, column] > 0.6 else INK
                axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour, size=8)
        if count <= _MOST_NAMED:
            names = [_shortened(name) for name in classes]
            size = 9 if count <= _MOST_NUMBERED else 7
            axes.set_xticks(range(count), names, rotation=90 if max(map(len, names)) > 3 else 0, size=size)
            axes.set_yticks(range(count), names, size=size)
        axes.set(xlabel="predicted", ylabel="true")
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)
        return _svg(figure)


def curves(epochs: list[dict[str, float]]) -> str:
    """Draw loss and accuracy by epoch; training where it is known, validation, and the best epoch."""
    best = max(epochs, key=lambda epoch: (epoch["validation_accuracy"], -epoch["validation_loss"]))
    numbers = [epoch["epoch"] for epoch in epochs]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(8, 2.6), layout="constrained")
        for axes, metric in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
            if metric in epochs[0]:
                axes.plot(numbers, [epoch[metric] for epoch in epochs], color=FAINT, marker="o", ms=3, label="training")
            values = [epoch[f"validation_{metric}"] for epoch in epochs]
            axes.plot(numbers, values, color=ACCENT, marker="o", ms=3, label="validation")
            axes.axvline(best["epoch"], color=SECOND, lw=1, ls=":", label="kept")
            axes.set(xlabel="epoch", title=metric, xlim=(0.5, max(numbers[-1], 2) + 0.5))
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.legend(frameon=False)
        return _svg(figure)


def sweep(points: list[dict[str, Any]], head: float | None) -> str:
    """Draw validation accuracy by learning rate, a line for each depth.

    Args:
        points: Of each candidate "layers", how many were trained, "learning_rate", "accuracy" on validation, and
            whether it is "selected".
        head: Validation accuracy of the head alone, None if it is not among the candidates.
    """
    depths = sorted({point["layers"] for point in points})
    rates = sorted({point["learning_rate"] for point in points})
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(8, 2.8), layout="constrained")
        axes: Axes = figure.subplots()
        if head is not None:
            axes.axhline(head, color=FAINT, lw=1, label="the head alone")
        for number, depth in enumerate(depths):
            line = sorted((point["learning_rate"], point["accuracy"]) for point in points if point["layers"] == depth)
            colour, dashes = (ACCENT, INK)[number % 2], ("-", "--", ":")[number // 2 % 3]
            label = f"{depth} layer{'' if depth == 1 else 's'}"
            axes.plot(*zip(*line, strict=True), marker="o", ms=4, label=label, color=colour, ls=dashes)
        for point in points:
            if point["selected"]:
                axes.plot(
                    point["learning_rate"], point["accuracy"], "o", ms=9, mfc="none", mec=SECOND, label="selected"
                )
        axes.set_xscale("log")
        axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
        axes.minorticks_off()
        axes.set(xlabel="learning rate", ylabel="validation accuracy")
        figure.legend(loc="outside right center", frameon=False)
        return _svg(figure)


def reliability(bins: list[dict[str, Any]]) -> str:
    """Draw accuracy against confidence; on the diagonal a model is as often right as it claims."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(3.6, 3.4), layout="constrained")
        axes: Axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=FAINT, lw=1)
        largest = max(bin["count"] for bin in bins)
        sizes = [12 + 140 * bin["count"] / largest for bin in bins]
        confidences, accuracies = ([bin[key] for bin in bins] for key in ("confidence", "accuracy"))
        axes.scatter(confidences, accuracies, s=sizes, color=ACCENT, alpha=0.75, lw=0)
        axes.set(xlim=(0, 1.03), ylim=(0, 1.03), xlabel="confidence", ylabel="accuracy")
        return _svg(figure)


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _svg(figure: Figure) -> str:
    file = io.StringIO()
    with warnings.catch_warnings():
        # The text stays text and is drawn with the reader's fonts; what is missing in matplotlib's does not matter.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    for colour, variable in _PAGE_COLOURS.items():
        text = text.replace(colour, variable)
    return text[text.index("<svg") :]
