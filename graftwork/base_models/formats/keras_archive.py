"""Archives in which Keras keeps a whole model (`.keras`), of Keras 3 and of late versions of Keras 2."""

import json
import zipfile
from pathlib import Path
from typing import Any

from graftwork.base_models.formats.keras3.open import open_keras
from graftwork.base_models.formats.kind import Kind
from graftwork.base_models.safety.files import check_archive


def is_archive(path: Path) -> bool:
    """Return whether a path is an archive in which Keras keeps a model."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return "config.json" in archive.namelist()


def version(path: Path) -> str:
    """Return what saved an archive, as in "Keras 3.5.0"."""
    with zipfile.ZipFile(path) as archive:
        return f"Keras {json.loads(archive.read('metadata.json')).get('keras_version', '')}".strip()


def configuration(path: Path) -> Any:
    """Return what Keras saved of a model's structure."""
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


KIND = Kind(
    "Keras archive", is_archive, open_keras, ".keras", version, check_archive, lambda path: [configuration(path)]
)
