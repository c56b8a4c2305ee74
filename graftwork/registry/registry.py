"""A registry: versions of a model, the champion among them, and everything that was done, in a folder or bucket.

    URI/NAME/VERSION/saved_model.pb ...   a version, a model artifact; as TensorFlow Serving lays models out
    URI/NAME/registry.json                what is known about them, see `state`
    URI/NAME/models.config                what TensorFlow Serving is to serve: the champion
    URI/NAME/reports/RUN/verdict.html     for people: why a run of the pipeline has promoted a model, or has not

The folder of a version comes first, then its entry; so every entry has a folder. An entry, an alias and what the
history says of it change in one writing of registry.json.
"""

import getpass
import json
import os
import random
import re
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from graftwork import storage
from graftwork.artifacts.folder import not_an_artifact, read_description
from graftwork.artifacts.model_files import DESCRIPTION, SCHEMA, without_head
from graftwork.errors import UserError, in_one_line
from graftwork.registry import serving, state, stores
from graftwork.registry.state import FILE, Change, Event, Look, State, Version

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PATIENCE_SECONDS = 120.0
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.02, 2.0
_ARRIVAL = timedelta(days=1)
"""A version whose folder takes longer to arrive has been given up."""


@dataclass(frozen=True)
class Author:
    """Who changes a registry, and why.

    Attributes:
        by: A person, or a pipeline.
        why: In one line.
        run, inputs, report: Of a pipeline, see `state.Event`.
    """

    by: str
    why: str = ""
    run: str = ""
    inputs: str = ""
    report: str = ""


def author(by: str = "", why: str = "", **run: str) -> Author:
    """Return an author; without a name, the user of this machine."""
    return Author(by or _user(), why, **run)


class Registry:
    """The versions of one model.

    Attributes:
        name: Of the model.
        uri: Where its versions lie: the registry's URI and the name.

    Example:
        >>> registry = graftwork.Registry("models", "shelf")
        >>> registry.champion()
        'models/shelf/1'
        >>> sorted(registry.state().versions)
        [1]
    """

    def __init__(self, uri: str | os.PathLike[str], name: str | None = None) -> None:
        """Open a registry; it need not be there yet.

        Args:
            uri: A folder or gs:// URI.
            name: Of the model: letters, digits, dots, dashes and underscores. None where it is the only one.

        Raises:
            UserError: It is no such name, or no such URI; without a name, there is no model, or there are several.
        """
        if name is None:
            name = stores.only_name(os.fspath(uri), None)
        if not _NAME.fullmatch(name):
            expected = "letters, digits, dots, dashes and underscores, as in shelf-photos"
            raise UserError(f"{name!r} is no name for a model", {"expected": expected})
        self.name, self.uri = name, storage.join(os.fspath(uri), name)
        self._store = stores.store(self.uri)

    def __repr__(self) -> str:
        return f"<Registry {self.uri}>"

    @property
    def address(self) -> str:
        """Where the versions lie, whatever the current folder is."""
        return storage.absolute(self.uri)

    def state(self) -> State:
        """Return what is known of the model; without a registry.json, the versions that are there.

        Raises:
            UserError: The registry cannot be read, or is not what it should be.
        """
        return self._read()[0]

    def folder(self, number: int) -> str:
        """Return the path or URI of a version.

        Raises:
            UserError: It is not there, though the registry knows it; or the registry does not know it.
        """
        known = self.state()
        if number not in known.versions:
            raise state.no_version(known, number)
        uri = storage.join(self.uri, str(number))
        if storage.stat(storage.join(uri, stores.WHOLE)) is None:
            who = {state.CHAMPION: ", the champion,", state.PREVIOUS: ", the previous champion,"}
            raise UserError(
                f"the folder of version {number}{who.get(known.alias_of(number), '')} is gone",
                {"folder": uri, "expected": stores.WHOLE},
                ["bring it back from a copy, or let another version serve:", "graftwork models promote VERSION"],
            )
        return uri

    def champion(self) -> str:
        """Return the path or URI of the version that serves.

        Raises:
            UserError: There is none, nobody knows which one it is, or its folder is gone.
        """
        known = self.state()
        if known.champion is None:
            raise state.no_champion(known)
        return self.folder(known.champion)

    def register(self, folder: Path, version: Mapping[str, Any], author: Author) -> int:
        """Copy a model folder into the registry as a version of its own; it does not serve yet.

        Args:
            folder: A SavedModel.
            version: Entries of `state.Version`, as those of `described` and more; `registered` aside.
            author: Who does it.

        Returns:
            The version's number.

        Raises:
            UserError: The folder is no SavedModel, or the registry cannot be written.
        """
        if not (folder / stores.WHOLE).is_file():
            raise UserError("this is no SavedModel", {"folder": folder, "expected": stores.WHOLE})
        number, present = 0, self._store.versions()

        def reserve(before: State) -> State:
            nonlocal number
            after, number = state.number_given(before, present, _now())
            return after

        self._change(reserve)
        self._store.publish(folder, number)
        entry, event = Version(registered=_now(), **version), _event(author, "register", number)
        self._change(lambda before: state.registered(before, number, entry, event), event)
        return number

    def promote(self, number: int, instead_of: int | None, author: Author) -> State:
        """Make a version the champion, if the champion is still the one it was compared with.

        Args:
            number: The version.
            instead_of: The champion it was compared with; None for none.
            author: Who does it.

        Raises:
            UserError: There is no such version, its folder is gone, or another one was promoted meanwhile.
        """
        self.folder(number)
        event = _event(author, "promote", number)
        after = self._change(lambda before: state.promoted(before, number, instead_of, event), event)
        self.tell_servers()
        return after

    def keep(self, beside: int | None, author: Author) -> None:
        """Note that a challenger was not promoted, and why.

        Args:
            beside: The champion it was compared with; None for none.
            author: Who says so.
        """
        event = _event(author, "keep", *([] if beside is None else [beside]))
        self._change(lambda before: state.kept(before, event), event)

    def note_look(self, run: str, news: bool) -> None:
        """Note that a run of the pipeline has looked for news, and whether there were any."""
        look = Look(run=run, at=_now(), news=news)
        self._change(lambda before: state.looked(before, look))

    def keep_pages(self, run: str, pages: Mapping[str, bytes]) -> str:
        """Keep the pages of a pipeline's run, which may not outlive it where they are.

        Args:
            run: Its ID.
            pages: What is in them, by their file names.

        Returns:
            The path or URI of their folder.
        """
        folder = storage.join(storage.join(self.address, "reports"), run)
        for page, content in pages.items():
            storage.write(storage.join(folder, page), content)
        return folder

    def rollback(self, author: Author) -> State:
        """Make the previous champion the champion again.

        Raises:
            UserError: There is none, or its folder is gone.
        """
        previous = self.state().previous
        if previous is not None:
            self.folder(previous)

        event = _event(author, "rollback")

        def back(before: State) -> State:
            if before.previous != previous:
                now = "none" if before.champion is None else f"version {before.champion}"
                facts = {"model": self.name, "champion now": now}
                raise UserError("nothing was rolled back: the champion has changed meanwhile", facts)
            about = [number for number in (previous, before.champion) if number is not None]
            return state.rolled_back(before, event.model_copy(update={"versions": tuple(about)}))

        after = self._change(back, event)
        self.tell_servers()
        return after

    def prune(self, keep: int, author: Author) -> list[int]:
        """Remove all versions but the last ones and those with an alias; also what never arrived.

        Args:
            keep: How many of the last.
            author: Who does it.

        Returns:
            The numbers of the versions that were removed.
        """
        gone, event = list[int](), _event(author, "prune")

        def take_out(before: State) -> State:
            nonlocal gone
            if before.forgotten:  # the one that serves might go
                raise state.no_champion(before)
            gone = state.expendable(before, keep)
            late = [number for number, since in before.arriving.items() if _is_late(since)]
            if not gone and not late:
                return before
            return state.pruned(before, gone, late, event.model_copy(update={"versions": tuple(gone)}))

        leaving = self._change(take_out, event).leaving  # of an earlier call too, if it was interrupted
        for number in leaving:
            self._store.remove(number)
        self._change(lambda before: state.removed(before, leaving))
        return gone

    def tell_servers(self) -> None:
        """Write which version is the champion to where TensorFlow Serving looks; it follows registry.json.

        Whoever changes the champion does this. It is right to do it again where one may have died in between. Of what
        is written already only the version changes: they may see the registry under another path than the server.
        """
        while True:
            found = self._store.read(serving.FILE)  # first: whoever changes the champion now makes the writing fail
            champion = self.state().champion
            if champion is None:
                return
            before = found[0].decode(errors="replace") if found else ""
            wanted = serving.with_version(before, champion) or serving.model_config(self.name, self.address, champion)
            if before == wanted:
                return
            self._store.replace(serving.FILE, wanted.encode(), found and found[1])

    def _read(self) -> tuple[State, str | None]:
        found = self._store.read(FILE)
        if found is not None:
            return state.parse(found[0], storage.join(self.uri, FILE)), found[1]
        numbers = self._store.versions()
        there = {number: self._described(number) for number in numbers}
        return State(name=self.name, next_version=max([0, *numbers]) + 1, versions=there), None

    def _described(self, number: int) -> Version:
        """Return the entry of a version that only its folder tells of."""
        try:
            content = json.loads(storage.read(storage.join(self.uri, f"{number}/{DESCRIPTION}")))
            return Version(registered="", **entries(content))
        except (OSError, ValueError, TypeError, AttributeError):  # damaged, or not made by graftwork: it may be served
            return Version(registered="")

    def _change(self, change: Change, event: Event | None = None) -> State:
        """Apply a change to the latest state, again if somebody else was faster.

        Args:
            change: From one state to the next.
            event: What it writes into the history. Where that stands there already, an earlier attempt has arrived and
                its answer was lost.
        """
        started, wait = time.monotonic(), _FIRST_WAIT_SECONDS
        while True:
            before, generation = self._read()
            if event and any(other.id == event.id for other in before.history):
                return before
            after = change(before)
            if after == before:
                return after
            after = after.model_copy(update={"writing": uuid.uuid4().hex})
            content = state.written(after)
            state.parse(content, storage.join(self.uri, FILE))  # what nobody could read is not written
            if self._store.replace(FILE, content, generation):
                return after
            if time.monotonic() - started > _PATIENCE_SECONDS:
                raise UserError("too many others are writing to the registry", {"model": self.uri}, next="try again")
            time.sleep(wait * random.uniform(0.5, 1.5))
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)


def described(folder: Path) -> dict[str, Any]:
    """Return the entries of a version that its model folder tells.

    Raises:
        UserError: It is no model that graftwork made, or a base without a head.
    """
    description = read_description(folder, DESCRIPTION, SCHEMA)
    if description.get("role") == "base":
        raise without_head(folder)
    try:
        found = entries(description)
        Version(registered="", **found)
    except (ValueError, TypeError, AttributeError) as error:
        raise not_an_artifact("model", folder / DESCRIPTION, in_one_line(error)) from None
    return found


def entries(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a version that the graftwork.json of its model folder tells."""
    found = {name: description[name] for name in ("classes", "data", "base") if name in description}
    return found | {"metrics": description.get("metrics", {}).get("test", {})}


def _event(author: Author, action: str, *versions: int) -> Event:
    identity = uuid.uuid4().hex
    return Event(id=identity, at=_now(), action=action, versions=versions, champion=None, **vars(author))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _is_late(since: str) -> bool:
    try:
        return datetime.now(UTC) - datetime.fromisoformat(since) > _ARRIVAL
    except (ValueError, TypeError):  # edited by hand
        return False


def _user() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # in a container, a user without a name
        return socket.gethostname()
