"""The model that serves, and whether there is anything new to compare with it."""

import json
import shutil
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from kfp.dsl import Model

from graftwork import pipelines
from graftwork.artifacts import model
from graftwork.components.find_champion.find import find, inputs_fingerprint
from graftwork.components.find_champion.step import run
from graftwork.errors import UserError
from graftwork.kubeflow import plan
from graftwork.registry.registry import Author, Registry, described
from graftwork.reporting import progress

from champions import champion
from fake_buckets import fake_buckets


def uris(starts: list[str]) -> list[str]:
    return [start.rpartition("#")[0] for start in starts]


def test_without_a_champion_everything_is_new(tmp_path: Path) -> None:
    found = find(
        str(tmp_path / "models"), "m", tmp_path / "champion", inputs_fingerprint(["base"], ["data"]), "both", "r1"
    )
    assert (found.changed, found.version, found.starts) == (True, 0, [""])
    assert not model.is_model(tmp_path / "champion")


def test_the_champion_is_fetched_and_what_was_tried_is_known(flow: Path, tmp_path: Path) -> None:
    with fake_buckets():
        registry = Registry("gs://shelf/models", "m")
        first = find("gs://shelf/models", "m", tmp_path / "none", inputs_fingerprint(["base"], [1]), "both", "r1")
        entry = described(flow / "trained-selected")
        data = {**entry["data"], "inputs": first.inputs}
        number = registry.register(flow / "trained-selected", {**entry, "data": data}, Author("ann"))
        registry.promote(number, None, Author("ann"))
        found = find("gs://shelf/models", "m", tmp_path / "champion", inputs_fingerprint(["base"], [1]), "both", "r1")
        assert (found.changed, found.version) == (False, 1)
        assert not model.is_model(tmp_path / "champion")
        other = find("gs://shelf/models", "m", tmp_path / "again", inputs_fingerprint(["base"], [2]), "champion", "r2")
        assert (first.stored_size, found.stored_size, other.stored_size) == (0, 0, 28)
        assert (other.changed, uris(other.starts)) == (True, ["gs://shelf/models/m/1"])
        assert model.read(tmp_path / "again").description == model.read(flow / "trained-selected").description
        for network in ("another base", "base"):
            again = find("gs://shelf/models", "m", tmp_path / network, inputs_fingerprint([network], [3]), "both", "r1")
            assert uris(again.starts) == (["", "gs://shelf/models/m/1"] if network != "base" else [""])
        registry.keep(1, Author("graftwork", inputs=other.inputs))
        assert not find(
            "gs://shelf/models", "m", tmp_path / "third", inputs_fingerprint(["base"], [2]), "champion", "r2"
        ).changed


def test_a_champion_that_no_challenger_can_be_compared_with(flow: Path, tmp_path: Path) -> None:
    registry, serving = Registry(str(tmp_path / "models"), "m"), champion(flow, tmp_path)
    (serving / model.TRAINED_ON).unlink()
    registry.promote(registry.register(serving, {}, Author("ann")), None, Author("ann"))
    with pytest.raises(UserError, match="does not say which images it was trained on"):
        find(str(tmp_path / "models"), "m", tmp_path / "fetched", inputs_fingerprint([], []), "both", "r1")
    assert not (tmp_path / "fetched").exists()


def test_a_challenger_whose_promotion_was_refused_is_not_judged(flow: Path, tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "models"), "m")
    serving, made_of = champion(flow, tmp_path, "trained"), inputs_fingerprint(["base"], ["data"])
    one, two, mine = (registry.register(serving, {}, Author("ann", inputs=i)) for i in ("", "", made_of))
    registry.promote(one, None, Author("ann"))
    registry.promote(two, one, Author("ann"))
    with pytest.raises(UserError, match="the champion is another one by now"):
        registry.promote(mine, one, Author("graftwork", inputs=made_of))
    assert find(str(tmp_path / "models"), "m", tmp_path / "fetched", made_of, "both", "r1").changed
    registry.promote(mine, two, Author("ann"))  # as the message says
    registry.rollback(Author("ann"))
    assert not find(str(tmp_path / "models"), "m", tmp_path / "fetched", made_of, "both", "r2").changed


def test_what_a_person_took_back_is_not_tried_again_when_the_data_is_as_it_was(flow: Path, tmp_path: Path) -> None:
    registry, serving = Registry(str(tmp_path / "models"), "m"), champion(flow, tmp_path, "trained")
    made_of = {data: inputs_fingerprint(["base"], [data]) for data in ("monday", "tuesday", "wednesday")}
    for version, data in ((None, "friday"), (1, "sunday"), (2, "monday")):
        number = registry.register(serving, {}, Author("graftwork"))
        registry.promote(number, version, Author("graftwork", run=data, inputs=inputs_fingerprint(["base"], [data])))
    restored = find(
        str(tmp_path / "models"), "m", tmp_path / "friday", inputs_fingerprint(["base"], ["friday"]), "both", "r"
    )
    assert restored.changed  # the gate, not a person, has put another version in its place
    registry.rollback(Author("ann", "too slow"))
    registry.keep(2, Author("graftwork", inputs=made_of["tuesday"]))
    registry.keep(3, Author("graftwork", inputs=made_of["wednesday"]))  # compared before the rollback
    changed = {
        data: find(str(tmp_path / "models"), "m", tmp_path / data, made_of[data], "both", data).changed
        for data in made_of
    }
    assert changed == {"monday": False, "tuesday": False, "wednesday": True}
    registry.promote(registry.register(serving, {}, Author("bob")), 2, Author("bob"))
    assert find(str(tmp_path / "models"), "m", tmp_path / "x", made_of["tuesday"], "both", "r").changed


def test_a_registry_that_has_lost_who_is_the_champion_ends_the_night(flow: Path, tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "models"), "m")
    serving = champion(flow, tmp_path, "trained")
    registry.promote(registry.register(serving, described(serving), Author("ann")), None, Author("ann"))
    Path(registry.uri, "registry.json").unlink()
    with pytest.raises(UserError, match=r"lost which version is the champion[\s\S]*models promote VERSION"):
        find(str(tmp_path / "models"), "m", tmp_path / "fetched", inputs_fingerprint([], []), "both", "r1")
    registry.register(serving, described(serving), Author("bob"))  # which writes a registry.json, but does not know
    with pytest.raises(UserError, match="lost which version is the champion"):
        find(str(tmp_path / "models"), "m", tmp_path / "fetched", inputs_fingerprint([], []), "both", "r1")
    registry.promote(1, None, Author("ann"))
    assert (
        find(str(tmp_path / "models"), "m", tmp_path / "fetched", inputs_fingerprint([], []), "both", "r1").version == 1
    )


def test_another_champion_at_the_same_place_is_another_start(flow: Path, tmp_path: Path) -> None:
    starts = set()
    for name in ("untrained", "trained"):
        folder = tmp_path / name
        folder.mkdir()
        serving, registry = champion(flow, folder, name), Registry(str(tmp_path / "models"), "m")
        registry.promote(registry.register(serving, described(serving), Author("ann")), None, Author("ann"))
        found = find(str(tmp_path / "models"), "m", folder / "fetched", inputs_fingerprint([], []), "champion", name)
        starts |= {start.rpartition("#")[::2] for start in found.starts}
        shutil.rmtree(tmp_path / "models")
    assert len(starts) == 2
    assert {uri for uri, _ in starts} == {str(tmp_path / "models/m/1")}


def test_something_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no registry is named"):
        find("", "m", tmp_path / "champion", inputs_fingerprint([], []), "both", "r1")
    with pytest.raises(UserError, match="no model in the registry is named"):
        find("models", "", tmp_path / "champion", inputs_fingerprint([], []), "both", "r1")


def test_the_log_says_what_the_networks_to_start_from_are_called(
    flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(progress.EVENTS_VARIABLE, raising=False)
    uri, fetched = str(tmp_path / "models"), Model(uri=str(tmp_path / "fetched"))
    folder = champion(flow, tmp_path)
    registry = Registry(uri, "m")
    registry.promote(registry.register(folder, described(folder), Author("ann")), None, Author("ann"))
    run(uri, "m", fetched, ["another base"], [1], "both", "r1")
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith(progress.RESULT))
    items = json.loads(line.removeprefix(progress.RESULT))["items"]
    assert list(items.values()) == [["base model", "champion, version 1"]]
    retraining = plan.planned(MessageToDict(pipelines.load("retraining").pipeline_spec))
    assert items.keys() <= {loop.over for step in retraining for loop in step.loops}
