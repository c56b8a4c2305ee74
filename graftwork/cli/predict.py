"""The command that labels images with a finished model."""

import contextlib
import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

import graftwork
from graftwork.cli.output import answering
from graftwork.errors import UserError


def predict(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A run's output, a model folder, or REGISTRY/NAME for its champion.")
    ],
    images: Annotated[list[str] | None, typer.Argument(metavar="IMAGE", help="Image files.")] = None,
    data: Annotated[str | None, typer.Option(help="Many images: a folder, or a table with a column image.")] = None,
    output: Annotated[str | None, typer.Option(metavar="FILE.parquet", help="For the answers about many.")] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="One JSON object per image, with all probabilities; about many, one in all.")
    ] = False,
) -> None:
    """Print the label and its score for each image; of many images, write them to a file."""
    from graftwork.reporting.quiet import without_native_log

    if bool(images) == bool(data) or bool(data) != bool(output):
        raise UserError(
            "what shall be labelled?",
            next=["graftwork predict MODEL IMAGE...", "graftwork predict MODEL --data DATA --output FILE.parquet"],
        )
    if data and output:
        _predict_many(model, data, output, json_)
        return
    images = images or []
    width = max(len(image) for image in images)
    with without_native_log():
        predictions = graftwork.open_model(model).predict(images)
    for prediction in predictions:
        if prediction.error:
            continue
        if json_:
            content = {key: value for key, value in asdict(prediction).items() if key != "error"}
            print(json.dumps(content, ensure_ascii=False))
        else:
            print(f"{prediction.image:<{width}}  {prediction.score:.4f}  {prediction.label}")
    failed = {prediction.image: prediction.error for prediction in predictions if prediction.error}
    if failed:
        plural = "image" if len(failed) == 1 else "images"
        raise UserError(f"{len(failed)} {plural} cannot be read", failed)


def _predict_many(model: str, data: str, output: str, as_json: bool) -> None:
    from graftwork import storage
    from graftwork.reporting.quiet import without_native_log

    with (
        without_native_log(),
        contextlib.redirect_stdout(sys.stderr),  # how far it is
        storage.written(output) as file,  # a place that cannot be written is found before the model is opened
    ):
        done = graftwork.open_model(model).predict_to(data, file)
    with answering(as_json) as answer:
        line = f"{output}  {done.images:,} images labelled, {done.unreadable:,} could not be read"
        answer.say(line, output=output, images=done.images, unreadable=done.unreadable)
