"""The registry: what is in it, many writers at once, and writers that die."""

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftwork.errors import UserError
from graftwork.registry import registry as registries
from graftwork.registry import state as states
from graftwork.registry.registry import Author, Registry, author
from graftwork.registry.resolve import model_uri
from graftwork.registry.state import Event, State, Version
from graftwork.registry.stores import models, only_name
from graftwork.storage import buckets

from exported_models import ANN, FILES, exported, register
from fake_buckets import FakeBuckets, fake_buckets


@pytest.fixture
def server() -> Iterator[FakeBuckets]:
    with fake_buckets() as running:
        yield running


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A registry's URI: a folder that is not there yet, or a prefix in a bucket."""
    if request.param == "folder":
        yield str(tmp_path / "models")
    else:
        request.getfixturevalue("server")
        yield "gs://shelf/models"


def whole(registry: Registry, number: int) -> bool:
    """Return whether a version holds exactly the files of one export."""
    from graftwork import storage

    uri = storage.join(registry.uri, str(number))
    try:
        contents = {storage.read(storage.join(uri, file)).decode().partition(" ")[0] for file in FILES}
    except FileNotFoundError:
        return False
    return len(contents) == 1


def test_a_version_is_laid_out_as_tensorflow_serving_reads_it(place: str, tmp_path: Path) -> None:
    registry = Registry(place, "shelf")
    assert register(registry, tmp_path, "one") == 1
    assert register(registry, tmp_path, "two") == 2
    assert whole(registry, 1)
    assert whole(registry, 2)
    assert registry.folder(2) == f"{place}/shelf/2"
    known = registry.state()
    assert sorted(known.versions) == [1, 2]
    assert known.champion is None
    assert known.versions[2].metrics["accuracy"] == 0.9
    assert known.versions[2].data == {"source": "photos", "fingerprint": "two"}
    assert [event.action for event in known.history] == ["register", "register"]


def test_promoting_and_going_back(place: str, tmp_path: Path) -> None:
    registry = Registry(place, "shelf")
    for number, content in enumerate(("one", "two", "three"), start=1):
        champion = registry.state().champion
        registry.promote(register(registry, tmp_path, content), champion, ANN)
        assert registry.state().champion == number
    assert registry.state().aliases == {"champion": 3, "previous": 2}
    registry.rollback(Author("bob", "3 is slow"))
    assert registry.state().aliases == {"champion": 2, "previous": 1}
    registry.rollback(ANN)
    assert registry.state().aliases == {"champion": 1}
    with pytest.raises(UserError, match="no previous champion"):
        registry.rollback(ANN)
    last = registry.state().history[-2]
    assert (last.by, last.action, last.champion, last.why) == ("bob", "rollback", 2, "3 is slow")


def test_the_server_is_told_about_the_champion(place: str, tmp_path: Path) -> None:
    from graftwork import storage

    registry = Registry(place, "shelf")
    for content in ("one", "two"):
        registry.promote(register(registry, tmp_path, content), registry.state().champion, ANN)
        config = storage.read(f"{place}/shelf/models.config").decode()
        assert f'base_path: "{place}/shelf"' in config
        assert f"versions: {registry.state().champion} " in config
    registry.rollback(ANN)
    assert "versions: 1 " in storage.read(f"{place}/shelf/models.config").decode()


def test_where_the_server_sees_the_registry_stays_what_it_was(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "models"), "shelf")
    for content in ("one", "two"):
        registry.promote(register(registry, tmp_path, content), registry.state().champion, ANN)
    (tmp_path / "elsewhere").symlink_to(tmp_path / "models")  # as a person has mounted it
    config = tmp_path / "models/shelf/models.config"
    before = config.read_text()
    Registry(str(tmp_path / "elsewhere"), "shelf").rollback(ANN)
    assert config.read_text() == before.replace("versions: 2 ", "versions: 1 ")
    config.write_text("nonsense")
    registry.promote(2, 1, ANN)
    assert config.read_text() == before


def test_a_version_is_not_promoted_over_one_that_it_was_not_compared_with(place: str, tmp_path: Path) -> None:
    registry = Registry(place, "shelf")
    first, second, third = (register(registry, tmp_path, content) for content in ("one", "two", "three"))
    registry.promote(first, None, ANN)
    registry.promote(second, first, ANN)
    with pytest.raises(UserError, match=r"version 3 was not promoted[\s\S]*compared with +version 1[\s\S]*version 2"):
        registry.promote(third, first, ANN)
    assert registry.state().champion == second
    with pytest.raises(UserError, match="champion already"):
        registry.promote(second, second, ANN)
    with pytest.raises(UserError, match=r"no version 9[\s\S]*1, 2, 3"):
        registry.promote(9, second, ANN)


def test_pruning_keeps_the_last_ones_and_every_alias(place: str, tmp_path: Path) -> None:
    registry = Registry(place, "shelf")
    for content in "abcdef":
        register(registry, tmp_path, content)
    registry.promote(1, None, ANN)
    registry.promote(3, 1, ANN)
    registry.promote(2, 3, ANN)
    assert registry.prune(1, ANN) == [1, 4, 5]
    assert sorted(registry.state().versions) == [2, 3, 6]
    assert [number for number in range(1, 7) if whole(registry, number)] == [2, 3, 6]
    assert registry.prune(1, ANN) == []
    registry.rollback(ANN)
    assert registry.state().aliases == {"champion": 3}  # the one before was pruned
    assert register(registry, tmp_path, "g") == 7


def test_numbers_are_never_given_twice(place: str, tmp_path: Path) -> None:
    registry = Registry(place, "shelf")
    for content in "abc":
        register(registry, tmp_path, content)
    registry.promote(1, None, ANN)
    assert registry.prune(1, ANN) == [2]
    registry.promote(3, 1, ANN)
    registry.promote(1, 3, ANN)
    assert register(registry, tmp_path, "d") == 4


def test_versions_without_a_registry_are_found_by_their_folders(place: str, tmp_path: Path) -> None:
    registry = Registry(place, "shelf")
    for content in ("one", "two"):
        register(registry, tmp_path, content)
    remove(registry, "registry.json")
    known = registry.state()
    assert sorted(known.versions) == [1, 2]
    assert known.versions[1].metrics["accuracy"] == 0.9
    for asked in (registry.champion, lambda: model_uri(registry.uri), lambda: registry.prune(1, ANN)):
        with pytest.raises(UserError, match=r"lost which version is the champion[\s\S]*1, 2"):
            asked()
    registry.promote(2, None, ANN)
    assert registry.champion() == model_uri(registry.uri) == f"{place}/shelf/2"
    assert registry.state().champion == 2
    assert register(registry, tmp_path, "three") == 3


def test_what_is_meant_by_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(str(tmp_path / "models"), "shelf")
    register(registry, tmp_path, "one")
    with pytest.raises(UserError, match="no version is the champion"):
        model_uri(registry.uri)
    registry.promote(1, None, ANN)
    exported(tmp_path / "output/model")
    assert model_uri(str(tmp_path / "output")) == str(tmp_path / "output/model")
    for folder in ("models/shelf/1", "output/model"):
        assert model_uri(str(tmp_path / folder)) == str(tmp_path / folder)
    for folder in ("nothing", "models"):
        with pytest.raises(UserError, match=r"there is no model[\s\S]*REGISTRY/NAME"):
            model_uri(str(tmp_path / folder))
    monkeypatch.chdir(registry.uri)
    assert model_uri(".") == f"{registry.uri}/1"
    monkeypatch.chdir(tmp_path / "output/model")
    assert model_uri(".") == "."


def test_a_registry_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "models"), "shelf")
    register(registry, tmp_path, "one")
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    Path(registry.uri).chmod(0o000)

    def refused() -> None:
        if os.geteuid() == 0:  # whom nothing is refused
            os.seteuid(65534)
        asked = (registry.state, registry._store.versions, lambda: models(str(tmp_path / "models")))
        for ask in (*asked, lambda: model_uri(registry.uri)):
            with pytest.raises(UserError, match=r"cannot be read[\s\S]*Permission denied"):
                ask()

    try:
        assert os.waitpid(forked(refused), 0)[1] == 0
    finally:
        Path(registry.uri).chmod(0o755)


def test_models_are_told_apart(place: str, tmp_path: Path) -> None:
    assert models(place) == []
    for name in ("shelf", "floor"):
        register(Registry(place, name), tmp_path, name)
    assert models(place) == ["floor", "shelf"]
    assert only_name(place, "floor") == "floor"
    with pytest.raises(UserError, match=r"several models[\s\S]*floor, shelf"):
        only_name(place, None)
    with pytest.raises(UserError, match="no model 'roof'"):
        only_name(place, "roof")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-x", "shelf photos"])
def test_a_name_is_one_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no name for a model"):
        Registry(str(tmp_path), name)


def test_what_is_no_model_is_not_registered(place: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no SavedModel"):
        Registry(place, "shelf").register(tmp_path, {}, ANN)
    assert models(place) == []


def test_a_model_describes_itself_where_the_registry_looks() -> None:
    from graftwork.artifacts import model

    assert (str(model.DESCRIPTION), model.SCHEMA) == (registries.DESCRIPTION, registries.SCHEMA)


def test_an_author_has_a_name() -> None:
    assert author("", "why").by
    assert author("ann").by == "ann"


# Many at once


def test_of_fifty_promotions_at_once_one_wins(place: str, tmp_path: Path) -> None:
    registry = Registry(place, "shelf")
    for number in range(50):
        assert register(registry, tmp_path, f"{number:02}") == number + 1
    unreadable: list[Exception] = []
    done = threading.Event()

    def read_all_the_time() -> None:
        while not done.wait(0.01):
            try:
                known = registry.state()
                assert known.champion is None or whole(registry, known.champion)
            except Exception as error:
                unreadable.append(error)
                return

    reader = threading.Thread(target=read_all_the_time)
    reader.start()
    try:
        for _ in range(3):
            champion = registry.state().champion
            contenders = [number for number in registry.state().versions if number != champion]
            together = threading.Barrier(len(contenders))

            def compete(number: int, champion: int | None = champion, together: threading.Barrier = together) -> str:
                own = Registry(place, "shelf")
                together.wait()
                try:
                    own.promote(number, champion, Author(str(number)))
                except UserError as refusal:
                    return str(refusal)
                return "won"

            with ThreadPoolExecutor(len(contenders)) as pool:
                outcomes = dict(zip(contenders, pool.map(compete, contenders), strict=True))
            known = registry.state()
            assert [number for number, outcome in outcomes.items() if outcome == "won"] == [known.champion]
            assert all(
                outcome == "won" or "the champion is another one by now" in outcome for outcome in outcomes.values()
            )
            assert known.previous == champion
    finally:
        done.set()
        reader.join()
    assert not unreadable
    known = registry.state()
    assert sorted(known.versions) == list(range(1, 51))
    assert all(whole(registry, number) for number in known.versions)
    assert [event.action for event in known.history] == ["register"] * 50 + ["promote"] * 3


def test_versions_registered_at_once_get_numbers_of_their_own(place: str, tmp_path: Path) -> None:
    contents = [str(number) for number in range(8)]
    for content in contents:
        exported(tmp_path / f"export-{content}", content)
    with ThreadPoolExecutor(len(contents)) as pool:
        numbers = list(pool.map(lambda content: register(Registry(place, "shelf"), tmp_path, content), contents))
    known = Registry(place, "shelf").state()
    assert sorted(numbers) == sorted(known.versions) == list(range(1, 9))
    assert not known.arriving
    assert [known.versions[number].data["fingerprint"] for number in numbers] == contents


def test_processes_exclude_each_other_too(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "models"), "shelf")
    for number in range(8):
        exported(tmp_path / f"export-{number}", str(number))
    children = [forked(lambda number=number: register(registry, tmp_path, str(number))) for number in range(8)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    assert sorted(registry.state().versions) == list(range(1, 9))


def test_a_lost_answer_is_not_a_lost_race(server: FakeBuckets, tmp_path: Path) -> None:
    registry = Registry("gs://shelf/models", "shelf")
    number = register(registry, tmp_path, "one")
    lost = []

    def lose_the_first(moment: str) -> None:
        if moment == "after" and not lost:
            lost.append(moment)
            raise ConnectionAbortedError

    server.on_write = lose_the_first
    registry.promote(number, None, ANN)
    assert lost
    assert [event.action for event in registry.state().history] == ["register", "promote"]


def test_a_lost_answer_and_another_writer_are_not_a_lost_race(server: FakeBuckets, tmp_path: Path) -> None:
    registry, other = prepared("gs://shelf/models", tmp_path), Registry("gs://shelf/models", "shelf")
    lost: list[str] = []

    def lose_the_first(moment: str) -> None:
        if moment == "after" and not lost:
            lost.append(moment)
            other.note_look(str(len(other.state().looks)), news=True)
            raise ConnectionAbortedError

    server.on_write = lose_the_first
    registry.rollback(ANN)
    assert registry.state().aliases == {"champion": 2, "previous": 1}
    lost.clear()
    registry.promote(3, 2, ANN)
    lost.clear()
    registry.keep(3, ANN)
    assert [event.action for event in registry.state().history[-3:]] == ["rollback", "promote", "keep"]
    lost.append("numbers are reserved without an event")
    assert register(registry, tmp_path, "new") == 4
    assert [look.run for look in registry.state().looks] == ["0", "1", "2"]
    assert b"versions: 3 " in server.objects["shelf", "models/shelf/models.config"][1]


# Writers that die


def forked(do: Callable[[], Any]) -> int:
    """Run a function in a child of this process and return the child's number."""
    child = os.fork()
    if child:
        return child
    try:
        buckets.client.cache_clear()  # its connections belong to the parent
        do()
        os._exit(0)
    finally:
        os._exit(1)


def dies_in_folder(do: Callable[[], Any], folder: str, writes: int) -> bool:
    """Run a function in a child that is killed before its n-th write below a folder; return whether it got so far."""

    def kill_at_last(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal writes
        if event in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir") and folder in str(arguments[0]):
            writes -= 1
            if writes == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def doomed() -> None:
        sys.addaudithook(kill_at_last)
        do()

    return os.waitpid(forked(doomed), 0)[1] == signal.SIGKILL


def dies_in_bucket(do: Callable[[], Any], server: FakeBuckets, writes: int, moment: str) -> bool:
    """The same with writes that a server sees: killed before it does the n-th, or before it answers."""
    lock, ready = threading.Lock(), threading.Event()
    child = 0

    def kill_at_last(now: str) -> None:
        nonlocal writes
        with lock:
            writes -= now == moment
            if writes == 0 and now == moment:
                ready.wait()
                os.kill(child, signal.SIGKILL)
                raise ConnectionAbortedError

    server.on_write = kill_at_last
    child = forked(do)
    ready.set()
    died = os.waitpid(child, 0)[1] == signal.SIGKILL
    server.on_write = lambda now: None
    return died


def prepared(place: str, tmp_path: Path) -> Registry:
    registry = Registry(place, "shelf")
    for number, content in enumerate("abc", start=1):
        register(registry, tmp_path, content)
        registry.promote(number, number - 1 or None, ANN)
    exported(tmp_path / "export-new", "new")
    return registry


def retrain(registry: Registry, tmp_path: Path) -> None:
    """Write what a night writes."""
    registry.note_look("r1", news=True)
    registry.keep_pages("r1", {"verdict.html": b"promote", "drift.html": b"none"})
    registry.promote(register(registry, tmp_path, "new"), 3, ANN)


def sound(registry: Registry, champions: set[int]) -> None:
    """Readers see the old state or the new one, and every version they see is whole."""
    known = registry.state()
    assert known.champion in champions
    assert all(whole(registry, number) for number in known.versions)


CHANGES: dict[str, tuple[Callable[[Registry, Path], Any], set[int]]] = {
    "retrain": (retrain, {3, 4}),
    "rollback": (lambda registry, tmp_path: registry.rollback(ANN), {3, 2}),
    "prune": (lambda registry, tmp_path: registry.prune(1, ANN), {3}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_writer_may_die_at_any_write_into_a_folder(change: str, tmp_path: Path) -> None:
    do, champions = CHANGES[change]
    prepared(str(tmp_path / "origin"), tmp_path)
    for writes in range(1, 1000):
        place = tmp_path / "models"
        shutil.copytree(tmp_path / "origin", place)
        registry = Registry(str(place), "shelf")
        died = dies_in_folder(lambda registry=registry: do(registry, tmp_path), str(place), writes)
        sound(registry, champions)
        goes_on(registry, tmp_path)
        shutil.rmtree(place)
        if not died:
            break
    assert writes > 5


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_writer_may_die_at_any_write_into_a_bucket(
    change: str, moment: str, server: FakeBuckets, tmp_path: Path
) -> None:
    do, champions = CHANGES[change]
    registry = prepared("gs://shelf/models", tmp_path)
    before = dict(server.objects)
    for writes in range(1, 1000):
        server.objects = dict(before)
        died = dies_in_bucket(lambda: do(registry, tmp_path), server, writes, moment)
        sound(registry, champions)
        goes_on(registry, tmp_path)
        if not died:
            break
    assert writes > 2


def goes_on(registry: Registry, tmp_path: Path) -> None:
    """Whatever was left by the dead: the next one works."""
    from graftwork import storage

    champion = registry.state().champion
    number = register(registry, tmp_path, "new")
    registry.promote(number, champion, ANN)
    sound(registry, {number})
    assert f"versions: {number} " in storage.read(storage.join(registry.uri, "models.config")).decode()
    registry.prune(1, ANN)
    sound(registry, {number})
    assert not registry.state().leaving


# What people and time do to it


def remove(registry: Registry, name: str) -> None:
    if registry.uri.startswith("gs://"):
        buckets.bucket(registry.uri).blob(f"{buckets.split(registry.uri)[1]}/{name}").delete()
    else:
        (Path(registry.uri) / name).unlink()


def test_a_registry_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    registry = prepared(str(tmp_path / "models"), tmp_path)
    file = Path(registry.uri) / "registry.json"
    content = file.read_text().replace("graftwork.registry/1", "graftwork.registry/2")
    file.write_text(content)
    for do in (registry.state, lambda: registry.rollback(ANN), lambda: retrain(registry, tmp_path)):
        with pytest.raises(UserError, match=r"another version of graftwork[\s\S]*champion serves on"):
            do()
    assert file.read_text() == content
    assert sorted(path.name for path in Path(registry.uri).iterdir() if path.name.isdecimal()) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"champion": 3', '"champion": 7', "champion is version 7, which is not among the versions"),
        ('"champion": 3', '"champion": "best"', "aliases.champion"),
        ('"champion": 3', '"winner": 3', "no alias 'winner'"),
        ('"next_version": 4', '"next_version": 2', "next_version is 2, but version 3 is there"),
        ('"versions": {', '"versions": [', "not JSON"),
        ('"name": "shelf",', "", "name: Field required"),
        ('"leaving": []', '"leaving": [], "note": "hello"', "note"),
        ('"schema": "graftwork.registry/1"', '"schema": "mine"', "schema"),
        ('"previous": 2', '"previous": 3', "previous is version 3, champion is version 3"),
        ('"earlier": [', '"earlier": [99, ', "earlier names version 99"),
        ('"leaving": []', '"leaving": [3]', "version 3 is leaving, but it is among the versions"),
        ('"accuracy": 0.9', '"accuracy": "0.9"', "accuracy"),
        ('"accuracy_interval": [', '"accuracy_interval": ["0.1", ', "accuracy_interval"),
        ('"n": 100', '"n": "100"', "n: Input should be a valid integer"),
        ('"verdict": null', '"verdict": {"rules": ["x"]}', "verdict"),
        ('"verdict": null', '"verdict": {"rules": null}', "verdict"),
        ('"schema":', "[" * 200_000, "not JSON"),
    ],
)
def test_a_registry_edited_by_hand_into_nonsense(old: str, new: str, why: str, tmp_path: Path) -> None:
    registry = prepared(str(tmp_path / "models"), tmp_path)
    file = Path(registry.uri) / "registry.json"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=r"the registry cannot be read") as caught:
        registry.promote(1, 3, ANN)
    assert why in str(caught.value)
    assert str(file) in str(caught.value)
    assert "champion serves on" in str(caught.value)


def test_a_folder_that_says_nothing_sensible_is_a_version_all_the_same(tmp_path: Path) -> None:
    registry = prepared(str(tmp_path / "models"), tmp_path)
    remove(registry, "registry.json")
    for number, content in ((1, "[]"), (2, '{"classes": 7}'), (3, '{"metrics": [1]}')):
        (Path(registry.uri) / f"{number}/assets.extra/graftwork.json").write_text(content)
    assert sorted(registry.state().versions) == [1, 2, 3]


@given(
    st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda x: json.dumps(x).encode())
)
def test_whatever_is_in_the_file_the_error_is_in_plain_words(content: bytes) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        states.parse(content, "registry.json")


def test_the_folder_of_the_champion_was_deleted(place: str, tmp_path: Path) -> None:
    registry = prepared(place, tmp_path)
    for file in (*FILES, "assets.extra/graftwork.json"):
        remove(registry, f"3/{file}")
    with pytest.raises(UserError, match=r"folder of version 3, the champion, is gone[\s\S]*let another version serve"):
        registry.folder(3)
    registry.rollback(ANN)
    assert registry.state().champion == 2
    with pytest.raises(UserError, match="folder of version 3 is gone"):
        registry.promote(3, 2, ANN)


def test_a_clock_that_goes_backwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = prepared(str(tmp_path / "models"), tmp_path)
    monkeypatch.setattr(registries, "_now", lambda: "1999-12-31T23:59:59+00:00")
    retrain(registry, tmp_path)
    assert registry.state().champion == 4
    assert registry.state().history[-1].champion == 4
    registry.rollback(ANN)
    assert registry.state().champion == 3
    registry.prune(1, ANN)
    assert sorted(registry.state().versions) == [2, 3, 4]


def test_what_never_arrived_is_given_up_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = prepared(str(tmp_path / "models"), tmp_path)
    monkeypatch.setattr(registries, "_now", lambda: "1999-12-31T23:59:59+00:00")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry._store, "publish", lambda folder, number: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            retrain(registry, tmp_path)
    assert list(registry.state().arriving) == [4]
    registry.prune(3, ANN)
    assert not registry.state().arriving
    assert register(registry, tmp_path, "new") == 5


# The changes themselves

EVENT = Event(id="0", at="", by="ann", action="promote", versions=(1,), champion=None)
STATES = st.integers(1, 8).flatmap(
    lambda count: st.lists(st.integers(1, count), max_size=12).map(lambda steps: walked(count, steps))
)


def walked(count: int, steps: list[int]) -> State:
    """Return the state of `count` versions after promoting some in turn."""
    state = State(name="m", next_version=count + 1, versions={n: Version(registered="") for n in range(1, count + 1)})
    for number in steps:
        if number != state.champion:
            state = states.promoted(state, number, state.champion, EVENT)
    return state


@given(STATES)
def test_what_is_written_is_read_again(state: State) -> None:
    assert states.parse(states.written(state), "here") == state


@given(STATES, st.data())
def test_rolling_back_undoes_promoting(state: State, data: st.DataObject) -> None:
    others = [number for number in state.versions if number != state.champion]
    if state.champion is None or not others:
        return
    after = states.promoted(state, data.draw(st.sampled_from(others)), state.champion, EVENT)
    back = states.rolled_back(after, EVENT)
    assert (back.aliases, back.earlier) == (state.aliases, state.earlier)


@given(STATES, st.lists(st.integers(1, 8), max_size=6))
def test_whatever_is_done_can_be_read_again(state: State, steps: list[int]) -> None:
    for step in steps:  # rolling back, pruning to a few, promoting
        if step > 5 and state.previous is not None:
            state = states.rolled_back(state, EVENT)
        elif step > 2:
            state = states.pruned(state, states.expendable(state, step - 2), [], EVENT)
        elif step in state.versions and step != state.champion:
            state = states.promoted(state, step, state.champion, EVENT)
        assert states.parse(states.written(state), "here") == state


def test_going_back_past_what_was_pruned() -> None:
    state = walked(3, [2, 1, 2, 3])
    state = states.rolled_back(states.pruned(state, [1], [], EVENT), EVENT)
    assert state.aliases == {"champion": 2}


@given(STATES, st.integers(1, 8))
def test_pruning_leaves_what_is_needed(state: State, keep: int) -> None:
    gone = states.expendable(state, keep)
    after = states.pruned(state, gone, [], EVENT)
    assert after.aliases == state.aliases
    assert len(after.versions) >= min(keep, len(state.versions))
    assert set(after.earlier) <= set(after.versions)
    assert set(after.leaving) == set(gone)
    states.parse(states.written(after), "here")
