"""The command `graftwork`. Whatever is slow to import is imported by the command that needs it."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graftwork import __version__, cli_kubeflow
from graftwork.cli_kubeflow import Image, Sets
from graftwork.errors import EXIT_CODE, UserError

if TYPE_CHECKING:
    from graftwork.config import Config

_RUNNERS = ("subprocess", "docker")
Runner = Annotated[str, typer.Option(help="subprocess, or docker for a container per step.")]
Mounts = Annotated[
    list[str] | None,
    typer.Option(metavar="PATH", help="Let containers read more than data and base model; may be repeated."),
]

Architecture = Annotated[str, typer.Option(help="Of a file with weights only, its keras.applications model.")]
CustomObjects = Annotated[
    str, typer.Option(metavar="MODULE", help="A module or a .py file that registers classes the base needs.")
]
TrustCode = Annotated[bool, typer.Option("--trust-code", help="Run Python code that the base's file contains.")]

app = typer.Typer(
    name="graftwork",
    help="Transfer learning from any saved Keras model, as Kubeflow pipelines.",
    no_args_is_help=True,
    add_completion=False,
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
    data: Annotated[str | None, typer.Option(help="A folder per class, or a .csv, .jsonl or .parquet table.")] = None,
    base_model: Annotated[
        str | None, typer.Option(help="A .keras, .h5 or SavedModel, or a keras.applications name.")
    ] = None,
    preprocessing: Annotated[str | None, typer.Option(help="What the base's pixels need, if it is not found.")] = None,
    architecture: Architecture = "",
    custom_objects: CustomObjects = "",
    trust_code: TrustCode = False,
    output: Annotated[str | None, typer.Option(help="Folder for model, report and metrics.")] = None,
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

    from graftwork.quiet import without_native_log

    console, progress = Console(file=sys.stdout, highlight=False), Console(stderr=True, highlight=False)
    with without_native_log():
        from graftwork import config
        from graftwork.artifacts import code
        from graftwork.components.load_base_model.opened import Request
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
    from graftwork.quiet import without_native_log

    in_image = _image(runner, image)
    with without_native_log():
        digits, base = materialize(Path(output) / "source")
    overrides: dict[str, Any] = {"data": str(digits), "base_model": str(base), "output": output}
    overrides |= dict(config.parse_override(text) for text in set_ or [])
    _run(config.validated(config.Config, config.merged(CONFIG, overrides), "the demo"), image=in_image)


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="A run's output folder, or its model folder.")],
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Image files.")],
    json_: Annotated[bool, typer.Option("--json", help="One JSON object per image, with all probabilities.")] = False,
) -> None:
    """Print the label and its score for each image."""
    from graftwork.predict import predict as label
    from graftwork.quiet import without_native_log

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


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    """Transfer learning from any saved Keras model, as Kubeflow pipelines."""
    if version:
        print(f"graftwork {__version__}")
        raise typer.Exit


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

    from graftwork import config, local, pipelines
    from graftwork.display import Display, show_results

    chosen = pipelines.load(pipeline)
    from graftwork.pipelines.grafting import STEPS

    parameters = config.as_parameters(settings, set(pipelines.parameters(chosen)) - set(config.ON_CLUSTERS))
    # Made now, while standard output is the terminal: the run redirects it.
    console = Console(file=sys.stdout, highlight=False)
    display = Display(console, list(STEPS))
    try:
        with display.running():
            results = local.run(chosen, parameters, Path(settings.output), display, image, mounts or ())
    except local.StepError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        print("interrupted; what has finished is kept, the same command goes on from there", file=sys.stderr)
        raise typer.Exit(130) from None
    display.finish()
    show_results(console, json.loads(results.metrics.read_text(encoding="utf-8")), results)


cli_kubeflow.register(app)

if __name__ == "__main__":
    main()
