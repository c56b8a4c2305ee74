"""The command `graftwork`. Whatever is slow to import is imported by the command that needs it."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graftwork import __version__
from graftwork.cli import kubeflow, models, schedules
from graftwork.cli.kubeflow import Image, Sets
from graftwork.errors import EXIT_CODE, UserError
from graftwork.reporting.levels import VARIABLE, Level

if TYPE_CHECKING:
    from graftwork.config import Config

_RUNNERS = ("subprocess", "docker")
Runner = Annotated[str, typer.Option(help="subprocess, or docker for a container per step.")]
Mounts = Annotated[
    list[str] | None,
    typer.Option(metavar="PATH", help="Let containers read more than data and base model; may be repeated."),
]

Data = Annotated[str | None, typer.Option(help="A folder per class, or a .csv, .jsonl or .parquet table.")]
BaseModel = Annotated[str | None, typer.Option(help="A .keras, .h5 or SavedModel, or a keras.applications name.")]
Output = Annotated[str | None, typer.Option(help="Folder for what comes out.")]
Architecture = Annotated[str, typer.Option(help="Of a file with weights only, its keras.applications model.")]
CustomObjects = Annotated[
    str, typer.Option(metavar="MODULE", help="A module or a .py file that registers classes the base needs.")
]
TrustCode = Annotated[bool, typer.Option("--trust-code", help="Run Python code that the base's file contains.")]

app = typer.Typer(
    name="graftwork",
    help="Transfer learning from any saved Keras model, as Kubeflow pipelines.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line; the user's mistakes end with exit code 2 and a message."""
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_CODE)


@app.command()
def run(
    config_file: Annotated[str | None, typer.Argument(metavar="[CONFIG.yaml]", help="See examples/.")] = None,
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
    runner: Runner = _RUNNERS[0],
    image: Image = None,
    mount: Mounts = None,
) -> None:
    """Train, evaluate and select a classifier on this machine."""
    from graftwork import config

    options: dict[str, Any] = {"data": data, "base_model": base_model, "preprocessing": preprocessing, "output": output}
    opening = {"architecture": architecture, "custom_objects": custom_objects, "trust_code": trust_code}
    options |= {key: value or None for key, value in opening.items()}
    overrides = {key: value for key, value in options.items() if value is not None}
    overrides |= dict(config.parse_override(text) for text in set_ or [])
    _run(config.load(config_file, overrides), pipeline, _image(runner, image, mount), mount)


@app.command()
def retrain(
    config_file: Annotated[str | None, typer.Argument(metavar="[CONFIG.yaml]", help="See examples/.")] = None,
    registry: Annotated[str | None, typer.Option(metavar="URI", help="A folder or gs:// URI.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the model in the registry.")] = None,
    data: Data = None,
    base_model: BaseModel = None,
    output: Output = None,
    set_: Sets = None,
    runner: Runner = _RUNNERS[0],
    image: Image = None,
    mount: Mounts = None,
) -> None:
    """Train a challenger if anything has changed, and let it serve if it is better than the champion."""
    from graftwork import config

    options = {"data": data, "base_model": base_model, "output": output, "registry": registry, "name": name}
    overrides: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    overrides |= dict(config.parse_override(text) for text in set_ or [])
    settings = config.load(config_file, overrides)
    for key in ("registry", "name"):
        if not getattr(settings, key):
            problem = {"registry": "no registry is named", "name": "the model in the registry is not named"}[key]
            raise UserError(problem, next=f"--{key} {'URI' if key == 'registry' else 'NAME'}")
    _retrain(settings, _image(runner, image, mount), mount)


@app.command()
def inspect(
    model: Annotated[str, typer.Argument(help="What a base model can be: a file, a folder, a gs:// URI, or a name.")],
    data: Annotated[
        str | None, typer.Option(help="Labelled images, to find out by trying what suits the model.")
    ] = None,
    images: Annotated[int, typer.Option(min=20, help="How many of them to try.")] = 300,
    preprocessing: Annotated[str | None, typer.Option(help="What its pixels need, if it is not found.")] = None,
    input_size: Annotated[int | None, typer.Option(min=8, help="Height and width in pixels.")] = None,
    feature_layer: Annotated[str, typer.Option(help="Where to cut; of a SavedModel, one of its outputs.")] = "auto",
    architecture: Architecture = "",
    custom_objects: CustomObjects = "",
    trust_code: TrustCode = False,
    json_: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Say what a saved model is, where it would be cut, and what its pixels need."""
    from rich.console import Console

    from graftwork.reporting.quiet import without_native_log

    console, progress = Console(file=sys.stdout, highlight=False), Console(stderr=True, highlight=False)
    with without_native_log():
        from graftwork import config
        from graftwork.artifacts import code
        from graftwork.base_models.opened import Request
        from graftwork.inspection import describe as describing
        from graftwork.inspection import evidence as weighing
        from graftwork.inspection import show

        allowed = code.given(custom_objects, trust_code)
        request = Request(model, input_size, feature_layer, architecture, allowed)
        description = describing.describe(request, config.parse_preprocessing(preprocessing or ""))
        if not json_:
            show.show(console, description)
        evidence = (
            weighing.weigh(description, data, images, say=lambda text: progress.print(text, style="dim"))
            if data
            else None
        )
    if json_:
        print(json.dumps({**description.as_json(), **({"evidence": evidence.as_json()} if evidence else {})}, indent=2))
    elif evidence:
        show.show_evidence(console, description, evidence)


@app.command()
def demo(
    output: Annotated[str, typer.Option(help="Folder for everything.")] = "graftwork-demo",
    set_: Sets = None,
    runner: Runner = _RUNNERS[0],
    image: Image = None,
) -> None:
    """Run on embedded weights (EfficientNet-Lite0) and images (5,000 handwritten digits)."""
    from graftwork import config
    from graftwork.demo import CONFIG
    from graftwork.demo.assets import materialize
    from graftwork.reporting.quiet import without_native_log

    in_image = _image(runner, image)
    with without_native_log():
        digits, base = materialize(Path(output) / "source")
    overrides: dict[str, Any] = {"data": str(digits), "base_model": str(base), "output": output}
    overrides |= dict(config.parse_override(text) for text in set_ or [])
    _run(config.validated(config.Config, config.merged(CONFIG, overrides), "the demo"), image=in_image)


@app.command()
def predict(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A run's output, a model folder, or REGISTRY/NAME for its champion.")
    ],
    images: Annotated[list[str] | None, typer.Argument(metavar="IMAGE", help="Image files.")] = None,
    data: Annotated[str | None, typer.Option(help="Many images: a folder, or a table with a column image.")] = None,
    output: Annotated[str | None, typer.Option(metavar="FILE.parquet", help="For the answers about many.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object per image, with all probabilities.")] = False,
) -> None:
    """Print the label and its score for each image; of many images, write them to a file."""
    from graftwork.prediction.predict import predict as label
    from graftwork.reporting.quiet import without_native_log

    if bool(images) == bool(data) or bool(data) != bool(output):
        raise UserError(
            "what shall be labelled?",
            next=["graftwork predict MODEL IMAGE...", "graftwork predict MODEL --data DATA --output FILE.parquet"],
        )
    if data and output:
        _predict_many(model, data, output)
        return
    images = images or []
    width = max(len(image) for image in images)
    failed = {}
    with without_native_log():
        predictions = list(label(model, images))
    for prediction in predictions:
        if prediction.error:
            failed[prediction.image] = prediction.error
        elif json_:
            keys = ("image", "label", "score", "probabilities")
            print(json.dumps({key: getattr(prediction, key) for key in keys}, ensure_ascii=False))
        else:
            print(f"{prediction.image:<{width}}  {prediction.score:.4f}  {prediction.label}")
    if failed:
        plural = "image" if len(failed) == 1 else "images"
        raise UserError(f"{len(failed)} {plural} cannot be read", failed)


def _predict_many(model: str, data: str, output: str) -> None:
    from graftwork import storage
    from graftwork.reporting.quiet import without_native_log

    with (
        without_native_log(),
        contextlib.redirect_stdout(sys.stderr),  # how far it is
        storage.written(output) as file,
    ):
        from graftwork.prediction.batch import predict_with

        done = predict_with(model, data, file)
    print(f"{output}  {done.images:,} images labelled, {done.unreadable:,} could not be read")


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
    log_level: Annotated[
        Level, typer.Option(envvar=VARIABLE, case_sensitive=False, help="How much is said besides results and errors.")
    ] = Level.INFO,
) -> None:
    """Transfer learning from any saved Keras model, as Kubeflow pipelines."""
    if version:
        print(f"graftwork {__version__}")
        raise typer.Exit
    os.environ[VARIABLE] = log_level


def _image(runner: str, image: str | None, mounts: list[str] | None = None) -> str | None:
    """Return the image in which the steps run, None for processes."""
    if runner not in _RUNNERS:
        raise UserError(f"there is no runner {runner!r}", {"runners": ", ".join(_RUNNERS)})
    if runner == "docker":
        from graftwork.components import IMAGE

        return image or IMAGE
    if image or mounts:
        given = "--image" if image else "--mount"
        raise UserError(f"{given} says nothing to a run without containers", next="add  --runner docker")
    return None


def _run(
    settings: "Config",
    pipeline: str = "transfer_learning",
    image: str | None = None,
    mounts: list[str] | None = None,
) -> None:
    from rich.console import Console

    from graftwork.cli.display import Display, show_results
    from graftwork.running import local

    chosen, parameters, steps = _on_this_machine(pipeline, settings)
    # Made now, while standard output is the terminal: the run redirects it.
    console = Console(file=sys.stdout, highlight=False)
    display = Display(console, steps)
    with _in_plain_words(), display.running():
        results = local.run(chosen, parameters, Path(settings.output), display, image, mounts or ())
    display.finish()
    show_results(console, json.loads(results.metrics.read_text(encoding="utf-8")), results)


def _retrain(settings: "Config", image: str | None = None, mounts: list[str] | None = None) -> None:
    from rich.console import Console

    from graftwork.cli.display import Display, show_outcome
    from graftwork.running import local

    chosen, parameters, steps = _on_this_machine("retraining", settings)
    console = Console(file=sys.stdout, highlight=False)
    display = Display(console, steps[:-1])  # where nothing has changed, the last step follows the first ones
    with (
        _in_plain_words(),
        display.running(),
        local.executed(chosen, parameters, Path(settings.output), display, image, mounts or ()) as done,
    ):
        outcome = json.loads(done.output_of("report_outcome", "outcome").read_text(encoding="utf-8"))
    show_outcome(console, outcome)


def _on_this_machine(pipeline: str, settings: "Config") -> tuple[Any, dict[str, Any], list[str]]:
    """Return a pipeline, its parameters and its steps."""
    from graftwork import config, pipelines

    chosen = pipelines.load(pipeline)
    names = set(pipelines.parameters(chosen)) - set(config.ON_CLUSTERS)
    return chosen, config.as_parameters(settings, names), list(pipelines.steps(pipeline))


@contextlib.contextmanager
def _in_plain_words() -> Iterator[None]:
    """Say how a run ended that did not end well."""
    from graftwork.running import local

    try:
        yield
    except local.StepError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        print("interrupted; what has finished is kept, the same command goes on from there", file=sys.stderr)
        raise typer.Exit(130) from None


kubeflow.register(app)
schedules.register(app)
models.register(app)

if __name__ == "__main__":
    main()
