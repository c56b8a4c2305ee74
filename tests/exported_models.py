"""Folders that look like exported models, without a network: registries do not look inside."""

import json
from pathlib import Path

from graftwork.registry.registry import Author, Registry, described

ANN = Author("ann", "better")
FILES = ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001")


def exported(folder: Path, content: str = "one") -> Path:
    """Write a folder with the files of a SavedModel that graftwork made."""
    for file in FILES:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(f"{content} {file}")
    description = {
        "schema": "graftwork.model/1",
        "classes": ["blue", "red"],
        "data": {"source": "photos", "fingerprint": content},
        "base": {"uri": "base.keras"},
        "metrics": {"test": {"accuracy": 0.9, "accuracy_interval": [0.85, 0.95], "n": 100}},
    }
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra/graftwork.json").write_text(json.dumps(description))
    return folder


def register(registry: Registry, tmp_path: Path, content: str) -> int:
    folder = tmp_path / f"export-{content}"
    if not folder.is_dir():
        exported(folder, content)
    return registry.register(folder, described(folder), ANN)
