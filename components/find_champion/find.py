"""Look into the registry: who is the champion, what was it made of, what was tried already."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graftwork import storage
from graftwork.artifacts.model_files import DESCRIPTION, HEAD_ON_BASE, TRAINED_ON, without_record
from graftwork.errors import UserError
from graftwork.registry.registry import Registry
from graftwork.registry.state import Event, State, no_champion
from graftwork.reporting import progress
from graftwork.storage import whole

_PRINT = 16
"""Characters that are enough to tell what is meant from all else."""


@dataclass(frozen=True)
class Found:
    """What a retraining begins with; see the component."""

    changed: bool
    version: int
    starts: list[str]
    inputs: str
    stored_size: int


def inputs_fingerprint(network: Sequence[Any], others: Sequence[Any]) -> str:
    """Return one value for everything that makes a challenger what it is; before the dash is one for the network.

    Args:
        network: What makes the base model's network what it is, as JSON values.
        others: Data and settings.
    """
    return f"{_hash(network)[:_PRINT]}-{_hash([*network, *others])}"


def find(registry: str, name: str, path: str | os.PathLike[str], inputs: str, warm_start: str, run: str) -> Found:
    """Fetch the champion, and say whether there is anything new to train on.

    Args:
        registry: A folder or gs:// URI.
        name: Of the model.
        path: Where the champion goes; a folder with a note if there is none, or nothing is new.
        inputs: Of a challenger made now, see `inputs_fingerprint`.
        warm_start: "base", "champion" or "both".
        run: Of the pipeline, by its ID.

    Raises:
        UserError: No registry or model is named, the registry cannot be read or has lost who is the champion, the
            champion's folder is gone, or it does not say what it was trained on.
    """
    if not registry or not name:
        next = "graftwork retrain CONFIG.yaml --registry URI --name NAME"
        raise UserError(f"no {'registry' if not registry else 'model in the registry'} is named", next=next)
    opened = Registry(registry, name)
    known = opened.state()
    if known.forgotten:  # tonight's challenger would serve without having been compared with anything
        raise no_champion(known)
    changed = inputs not in _tried(known)
    uri = "" if known.champion is None else opened.folder(known.champion)
    if uri:
        opened.tell_servers()  # should a run have died before it could
    with whole.folder(path) as folder:
        if uri and changed:
            with storage.fetched(uri) as version:
                shutil.copytree(version, folder, dirs_exist_ok=True)
            if not (folder / TRAINED_ON).is_file():  # now, not when a challenger has been trained for nothing
                raise without_record("champion", uri)
        else:  # a bucket has no empty folders
            (folder / "none.txt").write_text("there is no champion, or nothing to compare it with\n")
        stored_size = _stored_size(folder)
        starts = _starts(folder, uri if changed else "", _inputs_of_champion(known), inputs, warm_start)
    opened.note_look(run, changed)
    progress.note(f"the champion is version {known.champion}" if known.champion else "there is no champion yet")
    if not changed:
        progress.note("data, base model and settings are as they were: nothing to do")
    return Found(changed, known.champion or 0, starts, inputs, stored_size)


def _tried(known: State) -> set[str]:
    """Return what the champion was made of, every challenger kept beside it, and what a person took back."""
    champion = () if known.champion is None else (known.champion,)
    beside = (event.inputs for event in known.history if event.action == "keep" and event.versions == champion)
    return {_inputs_of_champion(known), *beside, *_taken_back(known.history)} - {""}


def _taken_back(history: Iterable[Event]) -> Iterator[str]:
    """Yield what champions were made of that a person let another version serve instead of."""
    made_of: dict[int, str] = {}
    champion = None
    for event in history:
        if event.action == "rollback" or (event.action == "promote" and not event.run):
            yield made_of.get(champion or 0, "")
        if event.action in ("register", "promote") and event.inputs:
            made_of[event.versions[0]] = event.inputs
        champion = event.champion


def _inputs_of_champion(known: State) -> str:
    return str(known.versions[known.champion].data.get("inputs", "")) if known.champion else ""


def _starts(champion: Path, uri: str, made_of: str, inputs: str, warm_start: str) -> list[str]:
    """Return what to start from. A champion that is a head on the base model as it is now would only repeat that."""
    if not uri or warm_start == "base":
        return [""]
    # In another registry at the same place the same version is another model; what KFP remembers of it must not serve.
    start = f"{uri}#{_content(champion)[:_PRINT]}"
    if warm_start == "champion":
        return [start]
    same = made_of[:_PRINT] == inputs[:_PRINT] and _description(champion).get("candidate") == HEAD_ON_BASE
    return [""] if same else ["", start]


def _content(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest.update(f"{path.relative_to(folder)} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def _stored_size(model: Path) -> int:
    try:
        return int(_description(model).get("stored_size", 0))
    except (ValueError, TypeError, OverflowError):  # damaged: whoever opens the model says so
        return 0


def _description(model: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((model / DESCRIPTION).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # there is none, or graftwork did not make it
        return {}


def _hash(values: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(list(values), sort_keys=True).encode()).hexdigest()
