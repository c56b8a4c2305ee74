"""The report's pictures, as SVG text."""

import io
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, ACCENT, SECOND, FAINT = "#44506a", "#2f6fde", "#e08a2e", "#c9d1e0"
_STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "graftwork",
}
_MOST_NUMBERED = 15
_MOST_NAMED = 40


def confusion(matrix: list[list[int]], classes: list[str]) -> str:
    """Draw a confusion matrix: rows are true classes, shades are shares of the row, numbers are images."""
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    count = len(classes)
    side = min(8.0, 2.4 + 0.42 * count)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        if count <= _MOST_NUMBERED:
            for row, column in np.ndindex(count, count):
                if counts[row, column]:
                    colour = "white" if shares[row, column] > 0.55 else INK
                    axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour)
        if count <= _MOST_NAMED:
            names = [name if len(name) <= 18 else f"{name[:17]}…" for name in classes]
            crowded = max(map(len, names)) > 3
            axes.set_xticks(range(count), names, rotation=90 if crowded else 0)
            axes.set_yticks(range(count), names)
        axes.set(xlabel="predicted", ylabel="true")
        axes.tick_params(length=0)
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


def _svg(figure: Figure) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]
