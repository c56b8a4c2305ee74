"""The commands that run a pipeline on this machine: run, retrain, demo."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import graftwork
from graftwork.cli.completion import offers
from graftwork.cli.help import SETTING
from graftwork.cli.kubeflow import ConfigFile, Image, Sets
from graftwork.cli.options import Architecture, CustomObjects, Preprocessing, TrustCode
from graftwork.cli.output import FAILED, INTERRUPTED, Json, print_json
from graftwork.errors import need_everything
from graftwork.reporting.shown import console

if TYPE_CHECKING:
    from graftwork.config import Config

Data = Annotated[str | None, typer.Option(help=SETTING)]
BaseModel = Annotated[str | None, typer.Option(help=SETTING)]
Output = Annotated[str | None, typer.Option(help=SETTING)]
Pipeline = Annotated[
    str,
    typer.Option(
        help="transfer_learning, or sweep to compare ways of fine-tuning.",
        autocompletion=offers("transfer_learning", "sweep"),
    ),
]
Runner = Annotated[
    str,
    typer.Option(help="subprocess, or docker for a container per step.", autocompletion=offers("subprocess", "docker")),
]
Mounts = Annotated[
    list[str] | None,
    typer.Option(metavar="PATH", help="Let containers read more than data and base model; may be repeated."),
]


def run(
    config_file: ConfigFile = None,
    data: Data = None,
    base_model: BaseModel = None,
    preprocessing: Preprocessing = None,
    architecture: Architecture = "",
    custom_objects: CustomObjects = "",
    trust_code: TrustCode = False,
    output: Output = None,
    pipeline: Pipeline = "transfer_learning",
    set_: Sets = None,
    runner: Runner = "subprocess",
    image: Image = None,
    mount: Mounts = None,
    json_: Json = False,
) -> None:
    """Train, evaluate and select a classifier on this machine."""
    options: dict[str, Any] = {"data": data, "base_model": base_model, "preprocessing": preprocessing, "output": output}
    opening = {"architecture": architecture, "custom_objects": custom_objects, "trust_code": trust_code}
    options |= {key: value or None for key, value in opening.items()}
    settings = _settings(config_file, options, set_)
    with _in_plain_words(json_):
        finished = graftwork.run(config=settings, pipeline=pipeline, runner=runner, image=image, mounts=mount or ())
    _print(finished, _facts(finished), json_)


def retrain(
    config_file: ConfigFile = None,
    registry: Annotated[str | None, typer.Option(metavar="URI", help=SETTING)] = None,
    name: Annotated[str | None, typer.Option(help=SETTING)] = None,
    data: Data = None,
    base_model: BaseModel = None,
    output: Output = None,
    set_: Sets = None,
    runner: Runner = "subprocess",
    image: Image = None,
    mount: Mounts = None,
    json_: Json = False,
) -> None:
    """Train a challenger if anything has changed, and let it serve if it is better than the champion."""
    options = {"data": data, "base_model": base_model, "output": output, "registry": registry, "name": name}
    settings = _settings(config_file, options, set_)
    with _in_plain_words(json_):
        outcome = graftwork.retrain(config=settings, runner=runner, image=image, mounts=mount or ())
    _print(outcome, asdict(outcome), json_)


def demo(
    output: Annotated[str, typer.Option(help=SETTING)] = "graftwork-demo",
    set_: Sets = None,
    runner: Runner = "subprocess",
    image: Image = None,
    json_: Json = False,
) -> None:
    """Run on embedded weights (EfficientNet-Lite0) and images (5,000 handwritten digits)."""
    from graftwork import config
    from graftwork.demo import CONFIG

    need_everything("the demo")
    from graftwork.demo.assets import materialize
    from graftwork.reporting.quiet import without_native_log
    from graftwork.running.run import image_for

    image_for(runner, image)  # what is wrong with it is said before the work
    with without_native_log():
        digits, base = materialize(Path(output) / "source")
    overrides: dict[str, Any] = {"data": str(digits), "base_model": str(base), "output": output}
    overrides |= dict(config.parse_override(text) for text in set_ or [])
    settings = config.validated(config.Config, config.merged(CONFIG, overrides), "the demo")
    with _in_plain_words(json_):
        finished = graftwork.run(config=settings, runner=runner, image=image)
    _print(finished, _facts(finished), json_)


def _settings(file: str | None, options: dict[str, Any], sets: list[str] | None) -> "Config":
    """Return what the file says, under the options, under what --set says."""
    from graftwork import config

    overrides = {key: value for key, value in options.items() if value is not None}
    return config.load(file, overrides | dict(config.parse_override(text) for text in sets or []))


def _facts(run: "graftwork.Run") -> dict[str, Any]:
    from graftwork.running import local

    model = local.results(run.output).model
    places = {"output": run.output, "model": model, "report": run.report, "log": run.log}
    return {**{name: str(place) for name, place in places.items()}, "metrics": run.metrics}


def _print(result: "graftwork.Run | graftwork.Outcome", facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(facts)
    else:
        result.show(console(sys.stdout))


@contextlib.contextmanager
def _in_plain_words(as_json: bool) -> Iterator[None]:
    """Say how far it is, on standard error if the answer is for machines; and how a run ended that did not end well."""
    try:
        with contextlib.redirect_stdout(sys.stderr if as_json else sys.stdout):
            yield
    except graftwork.StepError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:
        print("interrupted; what has finished is kept, the same command goes on from there", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
