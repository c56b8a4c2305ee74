"""The commands that run a pipeline on this machine: run, retrain, demo."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import graftwork
from graftwork.cli.kubeflow import Image, Sets
from graftwork.cli.options import Architecture, CustomObjects, TrustCode

if TYPE_CHECKING:
    from graftwork.config import Config

ConfigFile = Annotated[str | None, typer.Argument(metavar="[CONFIG.yaml]", help="See examples/.")]
Data = Annotated[str | None, typer.Option(help="A folder per class, or a .csv, .jsonl or .parquet table.")]
BaseModel = Annotated[str | None, typer.Option(help="A .keras, .h5 or SavedModel, or a keras.applications name.")]
Output = Annotated[str | None, typer.Option(help="Folder for what comes out.")]
Runner = Annotated[str, typer.Option(help="subprocess, or docker for a container per step.")]
Mounts = Annotated[
    list[str] | None,
    typer.Option(metavar="PATH", help="Let containers read more than data and base model; may be repeated."),
]


def run(
    config_file: ConfigFile = None,
    data: Data = None,
    base_model: BaseModel = None,
    preprocessing: Annotated[str | None, typer.Option(help="What the base's pixels need, if it is not found.")] = None,
    architecture: Architecture = "",
    custom_objects: CustomObjects = "",
    trust_code: TrustCode = False,
    output: Output = None,
    pipeline: Annotated[str, typer.Option(help="transfer_learning, or sweep to compare ways of fine-tuning.")] = (
        "transfer_learning"
    ),
    set_: Sets = None,
    runner: Runner = "subprocess",
    image: Image = None,
    mount: Mounts = None,
) -> None:
    """Train, evaluate and select a classifier on this machine."""
    options: dict[str, Any] = {"data": data, "base_model": base_model, "preprocessing": preprocessing, "output": output}
    opening = {"architecture": architecture, "custom_objects": custom_objects, "trust_code": trust_code}
    options |= {key: value or None for key, value in opening.items()}
    settings = _settings(config_file, options, set_)
    with _in_plain_words():
        finished = graftwork.run(config=settings, pipeline=pipeline, runner=runner, image=image, mounts=mount or ())
    _print(finished)


def retrain(
    config_file: ConfigFile = None,
    registry: Annotated[str | None, typer.Option(metavar="URI", help="A folder or gs:// URI.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the model in the registry.")] = None,
    data: Data = None,
    base_model: BaseModel = None,
    output: Output = None,
    set_: Sets = None,
    runner: Runner = "subprocess",
    image: Image = None,
    mount: Mounts = None,
) -> None:
    """Train a challenger if anything has changed, and let it serve if it is better than the champion."""
    options = {"data": data, "base_model": base_model, "output": output, "registry": registry, "name": name}
    settings = _settings(config_file, options, set_)
    with _in_plain_words():
        outcome = graftwork.retrain(config=settings, runner=runner, image=image, mounts=mount or ())
    _print(outcome)


def demo(
    output: Annotated[str, typer.Option(help="Folder for everything.")] = "graftwork-demo",
    set_: Sets = None,
    runner: Runner = "subprocess",
    image: Image = None,
) -> None:
    """Run on embedded weights (EfficientNet-Lite0) and images (5,000 handwritten digits)."""
    from graftwork import config
    from graftwork.demo import CONFIG
    from graftwork.demo.assets import materialize
    from graftwork.reporting.quiet import without_native_log
    from graftwork.running.run import image_for

    image_for(runner, image)  # what is wrong with it is said before the work
    with without_native_log():
        digits, base = materialize(Path(output) / "source")
    overrides: dict[str, Any] = {"data": str(digits), "base_model": str(base), "output": output}
    overrides |= dict(config.parse_override(text) for text in set_ or [])
    settings = config.validated(config.Config, config.merged(CONFIG, overrides), "the demo")
    with _in_plain_words():
        finished = graftwork.run(config=settings, runner=runner, image=image)
    _print(finished)


def _settings(file: str | None, options: dict[str, Any], sets: list[str] | None) -> "Config":
    """Return what the file says, under the options, under what --set says."""
    from graftwork import config

    overrides = {key: value for key, value in options.items() if value is not None}
    return config.load(file, overrides | dict(config.parse_override(text) for text in sets or []))


def _print(result: "graftwork.Run | graftwork.Outcome") -> None:
    from rich.console import Console

    result.show(Console(file=sys.stdout, highlight=False))


@contextlib.contextmanager
def _in_plain_words() -> Iterator[None]:
    """Say how a run ended that did not end well."""
    try:
        yield
    except graftwork.StepError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        print("interrupted; what has finished is kept, the same command goes on from there", file=sys.stderr)
        raise typer.Exit(130) from None
