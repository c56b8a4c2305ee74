"""From images and a base model to a finished classifier, on this machine."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graftwork.errors import UserError, need_everything
from graftwork.reporting.shown import Shown, console
from graftwork.running import local

if TYPE_CHECKING:
    from rich.console import Console

    from graftwork.config import Config
    from graftwork.prediction.model import Model
    from graftwork.reporting.display import Display

Place = str | os.PathLike[str]
RUNNERS = ("subprocess", "docker")


class Run(Shown):
    """A finished run, by its output folder; at the prompt, in print and in a notebook it is a table of its candidates.

    Attributes:
        output: The folder with everything.
        metrics: What metrics.json says: of the selected candidate, "test" with its "accuracy", "accuracy_interval"
            (95 %) and "n"; of every one, under "candidates" by its name, "validation" and "test" with all measures.
        report: The page for people, an HTML file.
        log: Everything that the steps have printed.

    Raises:
        UserError: There is no finished run.

    Example:
        >>> run = graftwork.Run("graftwork-run")
        >>> run.selected in run.metrics["candidates"], run.report.name
        (True, 'report.html')
        >>> 0 <= run.metrics["test"]["accuracy"] <= 1
        True
    """

    def __init__(self, output: Place) -> None:
        self.output = Path(output)
        self._results = local.results(self.output)
        try:
            self.metrics: dict[str, Any] = json.loads(self._results.metrics.read_text(encoding="utf-8"))
        except OSError as error:
            facts = {"output": self.output, "reason": error.strerror or error}
            raise UserError("there is no finished run", facts, "graftwork run --data DATA --base-model MODEL") from None
        self.report, self.log = self._results.report, self.output / local.LOG

    @property
    def selected(self) -> str:
        """The name of the candidate that was kept."""
        return str(self.metrics["selected"])

    @cached_property
    def model(self) -> "Model":
        """The finished model."""
        from graftwork.prediction.model import open_model

        return open_model(self._results.model)

    def show(self, console: "Console") -> None:
        """Print the candidates, which of them was selected and why, and where everything is."""
        from graftwork.reporting.display import show_results

        show_results(console, self.metrics, asdict(self._results))


def run(
    data: Place | None = None,
    base_model: Place | None = None,
    output: Place | None = None,
    *,
    pipeline: str = "transfer_learning",
    config: "Place | Config | None" = None,
    runner: str = "subprocess",
    image: str | None = None,
    mounts: Sequence[Place] = (),
    quiet: bool = False,
    **settings: Any,
) -> Run:
    """Train, evaluate and select a classifier on this machine, each step in a process or container of its own.

    The same call again runs only what depends on something that has changed.

    Args:
        data: A folder with one sub-folder per class, or a .csv, .jsonl or .parquet table; a path or gs:// URI.
        base_model: A .keras, .h5 or SavedModel (a path or gs:// URI), the name of a keras.applications model, or hub:
            and that of a KerasHub preset.
        output: Folder for what comes out: "graftwork-run", if neither this nor the configuration says another.
        pipeline: "transfer_learning", or "sweep" to compare ways of fine-tuning.
        config: A YAML file, or a `Config`; everything else that is given here goes before what it says.
        runner: "subprocess", or "docker" for a container per step.
        image: Of those containers, if not this version's.
        mounts: Files and folders that the containers may read besides the data and the base model.
        quiet: Whether to print nothing while it runs.
        settings: Everything else that a configuration says, see `Config`: `seed=7`; of a group of settings a mapping,
            `fine_tune={"layers": 5}`, which leaves the others of that group as they are.

    Returns:
        The run, with its metrics, its report and its model.

    Raises:
        UserError: A setting is unknown or wrong, or a step says that something given is.
        StepError: A step crashed or was killed.

    Example:
        >>> settings = {"head": {"kind": "linear"}, "fine_tune": {"layers": 0}}
        >>> run = graftwork.run("photos", "shelf-2021.keras", quiet=True, **settings)
        >>> run.selected
        'head'
        >>> run.model.predict("a.jpg")[0].label in run.model.classes
        True
    """
    from graftwork.config import settings_of

    if pipeline == "retraining":  # which leaves a version in a registry, and no model in the output folder
        raise UserError("retraining is not run like the others", next=["graftwork retrain", "graftwork.retrain(...)"])
    need_everything("a run on this machine")
    given = settings_of(config, {"data": data, "base_model": base_model, "output": output}, settings)
    in_image = image_for(runner, image, mounts)
    chosen, parameters, steps = on_this_machine(pipeline, given)
    display = display_of(steps, quiet)
    with display.running():
        local.run(chosen, parameters, Path(given.output), display, in_image, mounts)
    display.finish()
    return Run(given.output)


def image_for(runner: str, image: str | None = None, mounts: Sequence[Place] = ()) -> str | None:
    """Return the image in which the steps run, None for processes.

    Raises:
        UserError: There is no such runner, or it has no use for an image or mounts.
    """
    if runner not in RUNNERS:
        raise UserError(f"there is no runner {runner!r}", {"runners": ", ".join(RUNNERS)})
    if runner == "docker":
        from graftwork.components import IMAGE

        return image or IMAGE
    if image or mounts:
        given = "--image" if image else "--mount"
        raise UserError(f"{given} says nothing to a run without containers", next="add  --runner docker")
    return None


def on_this_machine(pipeline: str, settings: "Config") -> tuple[Any, dict[str, Any], list[str]]:
    """Return a pipeline, its parameters and its steps."""
    from graftwork import config, pipelines

    chosen = pipelines.load(pipeline, settings.cluster.one_shard)
    names = set(pipelines.parameters(chosen)) - set(config.ON_CLUSTERS)
    return chosen, config.as_parameters(settings, names), list(pipelines.steps(pipeline))


def display_of(steps: list[str], quiet: bool) -> "Display":
    """Return what shows the steps as they run; made before the run, which redirects standard output."""
    from graftwork.reporting.display import Display

    return Display(console(sys.stdout, quiet), steps)
