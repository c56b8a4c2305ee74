"""graftwork models, as a user calls it."""

import json
from pathlib import Path
from typing import Any

import documented
import pytest

from commands import graftwork
from exported_models import exported


@pytest.fixture
def registry(tmp_path: Path) -> str:
    """A registry with two versions of one model, the second of which serves."""
    place = str(tmp_path / "models")
    for content in ("one", "two"):
        exported(tmp_path / f"run-{content}/model", content)
        done = graftwork("models", "promote", tmp_path / f"run-{content}", "--registry", place, "--name", "shelf")
        assert done.returncode == 0, done.stderr
    return place


def test_a_run_becomes_the_champion(registry: str) -> None:
    done = graftwork("models", "list", "--registry", registry)
    first, second, *_ = done.stdout.splitlines()[1:]
    assert first.split()[0] == "2"
    assert "0.9000" in first
    assert "0.8500 to 0.9500" in first
    assert "champion" in first
    assert "previous" in second


def test_going_back_and_forth(registry: str) -> None:
    done = graftwork("models", "rollback", "--registry", registry, "--why", "too slow", "--by", "ann")
    assert done.stdout == "shelf: version 1 is the champion again, instead of 2\n"
    second, first = graftwork("models", "list", "--registry", registry).stdout.splitlines()[1:]
    assert second.endswith("taken back by ann: too slow")
    assert first.endswith("back by ann: too slow")
    assert "rollback  ann: too slow" in graftwork("models", "show", "2", "--registry", registry).stdout
    done = graftwork("models", "promote", "2", "--registry", registry)
    assert done.stdout == "shelf: version 2 is the champion, instead of 1\n"
    done = graftwork("models", "show", "1", "--registry", registry)
    assert "rollback  ann: too slow" in done.stdout
    assert "photos" in done.stdout


def test_a_number_is_a_version_whatever_lies_in_the_folder(registry: str, tmp_path: Path) -> None:
    exported(tmp_path / "1/model", "another")
    done = graftwork("models", "promote", "1", "--registry", registry, cwd=tmp_path)
    assert done.stdout == "shelf: version 1 is the champion, instead of 2\n"
    done = graftwork("models", "promote", "./1", "--registry", registry, cwd=tmp_path)
    assert done.stdout == "shelf: version 3 is the champion, instead of 1\n"


def test_the_champion_of_another_registry_may_be_promoted(registry: str, tmp_path: Path) -> None:
    done = graftwork("models", "promote", f"{registry}/shelf", "--registry", tmp_path / "production", "--name", "shelf")
    assert done.stdout == "shelf: version 1 is the champion\n"
    assert (tmp_path / "production/shelf/1/saved_model.pb").read_text() == "two saved_model.pb"


def test_a_registry_that_has_lost_its_file(registry: str) -> None:
    (Path(registry) / "shelf/registry.json").unlink()
    for command in (["models", "show"], ["models", "prune", "--keep", "1"], ["serve-manifest"]):
        done = graftwork(*command, "--registry", registry)
        assert done.returncode == 2
        assert "the registry has lost which version is the champion" in done.stderr
    assert "nobody knows which of these" in graftwork("models", "list", "--registry", registry).stdout
    assert graftwork("models", "promote", "2", "--registry", registry).returncode == 0
    done = graftwork("serve-manifest", "--registry", registry, "--format", "tensorflow-serving")
    assert "versions: 2 " in done.stdout


@pytest.mark.parametrize(
    "damage",
    [
        {"metrics": None},
        {"metrics": {"test": {"accuracy": float("nan")}}},
        {"metrics": {"test": {"accuracy": "0.5"}}},
        {"classes": 7},
    ],
)
def test_a_damaged_model_is_not_registered(damage: dict, registry: str, tmp_path: Path) -> None:
    description = exported(tmp_path / "model") / "assets.extra/graftwork.json"
    description.write_text(json.dumps({**json.loads(description.read_text()), **damage}))
    done = graftwork("models", "promote", tmp_path / "model", "--registry", registry)
    assert done.returncode == 2
    assert "not a model artifact, or a damaged one" in done.stderr
    assert sorted(path.name for path in (Path(registry) / "shelf").glob("[0-9]*")) == ["1", "2"]


def test_pruning(registry: str, tmp_path: Path) -> None:
    exported(tmp_path / "run-three/model", "three")
    graftwork("models", "promote", tmp_path / "run-three", "--registry", registry)
    done = graftwork("models", "prune", "--registry", registry, "--keep", "1")
    assert done.stdout == "shelf: removed 1; there are 2, 3\n"


def test_for_machines(registry: str) -> None:
    listed = json.loads(graftwork("models", "list", "--registry", registry, "--json").stdout)
    assert listed["shelf"]["aliases"] == {"champion": 2, "previous": 1}
    shown = json.loads(graftwork("models", "show", "--registry", registry, "--json").stdout)
    assert (shown["version"], shown["alias"]) == (2, "champion")
    assert [event["action"] for event in shown["history"]] == ["register", "promote"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["list"], "Missing option '--registry'"),
        (["list", "--registry", "{empty}"], "there are no models in the registry"),
        (["list", "--registry", "s3://models"], "s3:// is not supported"),
        (["show", "7", "--registry", "{registry}"], "there is no version 7"),
        (["show", "--registry", "{registry}", "--name", "floor"], "there is no model 'floor'"),
        (["promote", "7", "--registry", "{registry}"], "there is no version 7"),
        (["promote", "2", "--registry", "{registry}"], "version 2 is the champion already"),
        (["promote", "{empty}", "--registry", "{registry}"], "there is no model"),
        (["prune", "--registry", "{registry}", "--keep", "0"], "--keep"),
        (["promote", "{base}", "--registry", "{registry}"], "the model is a base without a head"),
    ],
)
def test_mistakes_end_with_code_2_and_a_message(
    arguments: list[str], expected: str, registry: str, tmp_path: Path
) -> None:
    places = {"registry": registry, "empty": tmp_path / "empty", "base": exported(tmp_path / "base")}
    places["empty"].mkdir()
    description = places["base"] / "assets.extra/graftwork.json"
    description.write_text(json.dumps({**json.loads(description.read_text()), "role": "base"}))
    done = graftwork("models", *(text.format(**places) for text in arguments))
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_every_command_answers_machines_too(registry: str) -> None:
    def answered(*command: str) -> dict[str, Any]:
        done = graftwork("models", *command, "--registry", registry, "--json")
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        said = answer["shelf"] if command[0] == "list" else answer
        assert set(said) == documented.keys(f"models {command[0]}")
        return answer

    assert answered("rollback") == {"model": "shelf", "champion": 1, "instead_of": 2}
    assert answered("promote", "2") == {"model": "shelf", "champion": 2, "instead_of": 1}
    assert answered("prune", "--keep", "1") == {"model": "shelf", "removed": [], "left": [1, 2]}
    assert answered("list")["shelf"]["aliases"] == {"champion": 2, "previous": 1}
    assert answered("show")["version"] == 2


def test_what_a_machine_is_told_a_person_may_read_beside_it(registry: str) -> None:
    done = graftwork("models", "rollback", "--registry", registry, "--json")
    assert done.stderr == "shelf: version 1 is the champion again, instead of 2\n"


def test_there_is_no_document_about_a_mistake(registry: str) -> None:
    done = graftwork("models", "promote", "7", "--registry", registry, "--json")
    assert (done.returncode, done.stdout) == (2, "")
