"""The command that says what a saved model is."""

import sys
from typing import Annotated

import typer

import graftwork
from graftwork.cli.help import SETTING
from graftwork.cli.options import Architecture, CustomObjects, Preprocessing, TrustCode
from graftwork.cli.output import Json, print_json
from graftwork.reporting.shown import console


def inspect(
    model: Annotated[str, typer.Argument(help="What a base model can be: a file, a folder, a gs:// URI, or a name.")],
    data: Annotated[
        str | None, typer.Option(help="Labelled images, to find out by trying what suits the model.")
    ] = None,
    images: Annotated[int, typer.Option(min=20, help="How many of them to try.")] = 300,
    preprocessing: Preprocessing = None,
    input_size: Annotated[int | None, typer.Option(min=8, help=SETTING)] = None,
    feature_layer: Annotated[str, typer.Option(help=SETTING)] = "auto",
    architecture: Architecture = "",
    custom_objects: CustomObjects = "",
    trust_code: TrustCode = False,
    json_: Json = False,
) -> None:
    """Say what a saved model is, where it would be cut, and what its pixels need."""
    from graftwork.reporting.quiet import without_native_log

    answers, progress = console(sys.stdout), console(sys.stderr)
    with without_native_log():
        description = graftwork.inspect(
            model,
            preprocessing=preprocessing,
            input_size=input_size,
            feature_layer=feature_layer,
            architecture=architecture,
            custom_objects=custom_objects,
            trust_code=trust_code,
        )
        if not json_:
            description.show(answers)  # before the images are tried, which takes a while
        if data:
            from graftwork.inspection.inspect import tried
            from graftwork.inspection.show import show_evidence

            description = tried(description, data, images, say=lambda text: progress.print(text, style="dim"))
    if json_:
        print_json(description.as_json())
    elif description.evidence:
        show_evidence(answers, description, description.evidence)
