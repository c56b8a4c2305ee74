"""A challenger for the champion of a registry, on this machine."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graftwork.errors import UserError, need_everything
from graftwork.reporting.shown import Shown
from graftwork.running import kfp_internals, local
from graftwork.running.run import Place, display_of, image_for, on_this_machine

if TYPE_CHECKING:
    from rich.console import Console

    from graftwork.config import Config


@dataclass(frozen=True, repr=False)
class Outcome(Shown):
    """How a retraining has ended; at the prompt, in print and in a notebook in the words of the command.

    Attributes:
        outcome: "promoted": the challenger serves now. "kept": the champion stays. "unchanged": there was nothing new.
        why: In one line.
        champion: The version that serves now; None if there is none.
        report: The folder of this run's pages in the registry, verdict.html and drift.html; "" where nothing was
            trained.
        model: The model's name in the registry.
        registry: The registry: a folder or gs:// URI.
        run: The ID of the run.
        at: When it ended, in UTC, as ISO 8601.

    Example:
        >>> graftwork.Outcome("kept", "not better", 3, "", "shelf", "models", "1", "2026-07-01T02:00:00+00:00")
        shelf: kept; version 3 serves
        not better
    """

    outcome: str
    why: str
    champion: int | None
    report: str
    model: str
    registry: str
    run: str
    at: str

    def show(self, console: "Console") -> None:
        """Print how it has ended, and where its pages are."""
        from graftwork.reporting.display import show_outcome

        show_outcome(console, asdict(self))


def retrain(
    data: Place | None = None,
    base_model: Place | None = None,
    output: Place | None = None,
    *,
    registry: Place | None = None,
    name: str | None = None,
    config: "Place | Config | None" = None,
    runner: str = "subprocess",
    image: str | None = None,
    mounts: Sequence[Place] = (),
    quiet: bool = False,
    **settings: Any,
) -> Outcome:
    """Train a challenger if anything has changed, and let it serve if it is better than the champion.

    Args:
        data: As in `run`.
        base_model: As in `run`.
        output: As in `run`; the steps' own outputs lie there, the model in the registry.
        registry: A folder or gs:// URI; it need not be there yet.
        name: Of the model in it.
        config: As in `run`.
        runner: As in `run`.
        image: As in `run`.
        mounts: As in `run`.
        quiet: As in `run`.
        settings: As in `run`; `gate`, `drift` and `retraining` say when a challenger is promoted.

    Returns:
        What became of it.

    Raises:
        UserError: A setting is unknown, wrong or missing, or a step says that something given is.
        StepError: A step crashed or was killed.

    Example:
        >>> outcome = graftwork.retrain(
        ...     "photos", "shelf-2021.keras", registry="models", name="shelf", quiet=True,
        ...     head={"kind": "linear"}, fine_tune={"layers": 0},
        ... )
        >>> outcome.outcome, outcome.champion
        ('promoted', 1)
    """
    from graftwork.config import settings_of

    need_everything("retraining on this machine")
    named = {"data": data, "base_model": base_model, "output": output, "registry": registry, "name": name}
    given = settings_of(config, named, settings)
    if not given.registry:
        raise UserError("no registry is named", next="--registry URI")
    if not given.name:
        raise UserError("the model in the registry is not named", next="--name NAME")
    in_image = image_for(runner, image, mounts)
    chosen, parameters, steps = on_this_machine("retraining", given)
    display = display_of(steps[:-1], quiet)  # where nothing has changed, the last step follows the first ones
    with (
        display.running(),
        local.executed(chosen, parameters, Path(given.output), display, in_image, mounts) as done,
    ):
        outcome = kfp_internals.output_of(done.steps, "report_outcome", "outcome")
        content = json.loads(outcome.read_text(encoding="utf-8"))
    return Outcome(**{field: content[field] for field in Outcome.__dataclass_fields__})
