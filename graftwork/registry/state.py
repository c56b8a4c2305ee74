"""What a registry knows of one model: the content of registry.json, and how it may change.

Changes are plain functions from one state to the next; `registry.Registry` writes the next one, whole, and only if
nobody else has written meanwhile. Nothing here is decided by comparing times: clocks differ, and go backwards.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from graftwork.errors import UserError, in_one_line

SCHEMA = "graftwork.registry/1"
FILE = "registry.json"
CHAMPION, PREVIOUS = "champion", "previous"
_LOOKS = 30


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Shown(BaseModel):
    """What people are shown of something that may hold more."""

    model_config = ConfigDict(strict=True)


class _Metrics(_Shown):
    accuracy: float = Field(0.0, allow_inf_nan=False)
    accuracy_interval: tuple[float, float] = Field((0.0, 0.0), strict=False)  # a list, in JSON
    n: int = 0

    @field_validator("accuracy_interval", mode="before")
    @classmethod
    def _are_numbers(cls, interval: Any) -> Any:
        if not isinstance(interval, list | tuple) or not all(isinstance(bound, int | float) for bound in interval):
            raise ValueError("not two numbers")
        return interval


class _Rule(_Shown):
    rule: str
    passed: bool
    says: str


class _Verdict(_Shown):
    rules: list[_Rule] = []


class Version(_Part):
    """A model that was registered.

    Attributes:
        registered: When, ISO 8601 in UTC.
        classes: What it tells apart.
        metrics: What it reached on its own test images, as in accuracy, accuracy_interval, n.
        data: What it was trained on: source, and the fingerprints of what the source held and of the images.
        base: What it was made from.
        verdict: What the gate said, rule by rule; None where no gate was asked.
    """

    registered: str
    classes: tuple[str, ...] = ()
    metrics: dict[str, Any] = {}
    data: dict[str, Any] = {}
    base: dict[str, Any] = {}
    verdict: dict[str, Any] | None = None

    @field_validator("metrics")
    @classmethod
    def _are_numbers(cls, metrics: dict[str, Any]) -> dict[str, Any]:
        _Metrics.model_validate(metrics)
        return metrics

    @field_validator("verdict")
    @classmethod
    def _has_rules(cls, verdict: dict[str, Any] | None) -> dict[str, Any] | None:
        _Verdict.model_validate(verdict or {})
        return verdict


class Event(_Part):
    """Something that was done, by whom, when and why.

    Attributes:
        id: No other event has it.
        at: When, ISO 8601 in UTC, by the clock of whoever did it; the order of events is that of the list.
        by: Who.
        action: register, promote, rollback, prune; or keep, when a challenger was not promoted.
        versions: Which versions it was about; of a rollback, the one that came back and the one that went; of keep, the
            champion that a challenger was compared with.
        champion: Which version was the champion afterwards.
        why: In the words of whoever did it, or of the gate.
        run: Of a pipeline, by its ID there; "" if a person did it.
        inputs: One value for everything that the challenger of that run was made of.
        report: The folder with the pages of that run.
    """

    id: str
    at: str
    by: str
    action: str
    versions: tuple[int, ...]
    champion: int | None
    why: str = ""
    run: str = ""
    inputs: str = ""
    report: str = ""


class Look(_Part):
    """A retraining has looked whether anything is new.

    Attributes:
        run: Of the pipeline, by its ID there.
        at: When, ISO 8601 in UTC, by the clock of whoever did it.
        news: Whether anything was.
    """

    run: str
    at: str
    news: bool


class State(_Part):
    """The content of registry.json.

    Attributes:
        name: Of the model.
        writing: No other writing of the file has it: two that say the same are two all the same.
        next_version: The number that comes next; none is ever given twice.
        aliases: "champion" is the version that serves, "previous" the one that served before it.
        earlier: Those that served before these two, the latest last.
        arriving: Numbers given to versions whose folders are being written, and since when.
        leaving: Numbers of versions that were pruned, and whose folders may still be there.
        versions: Every version whose folder is there and whole.
        history: Everything that was done, the latest last.
        looks: The last times that a retraining has looked for news, the latest last.
    """

    name: str
    writing: str = ""
    next_version: int = Field(1, ge=1)
    aliases: dict[str, int] = {}
    earlier: tuple[int, ...] = ()
    arriving: dict[int, str] = {}
    leaving: tuple[int, ...] = ()
    versions: dict[int, Version] = {}
    history: tuple[Event, ...] = ()
    looks: tuple[Look, ...] = ()

    @model_validator(mode="after")
    def _hold_together(self) -> Self:
        for alias, number in self.aliases.items():
            if alias not in (CHAMPION, PREVIOUS):
                raise ValueError(f"there is no alias {alias!r}")
            if number not in self.versions:
                raise ValueError(f"{alias} is version {number}, which is not among the versions")
        if self.previous is not None and self.champion in (None, self.previous):
            raise ValueError(f"previous is version {self.previous}, champion is {_named(self.champion)}")
        if lost := set(self.earlier) - set(self.versions):
            raise ValueError(f"earlier names version {min(lost)}, which is not among the versions")
        if both := set(self.leaving) & {*self.versions, *self.arriving}:
            raise ValueError(f"version {min(both)} is leaving, but it is among the versions or arriving")
        highest = max([0, *self.versions, *self.arriving])
        if self.next_version <= highest:
            raise ValueError(f"next_version is {self.next_version}, but version {highest} is there")
        return self

    @property
    def champion(self) -> int | None:
        """The version that serves."""
        return self.aliases.get(CHAMPION)

    @property
    def previous(self) -> int | None:
        """The version that served before the champion."""
        return self.aliases.get(PREVIOUS)

    @property
    def forgotten(self) -> bool:
        """Whether there are versions, and what would say which of them served is lost: registry.json was removed."""
        return self.champion is None and any(self.last(number, "register") is None for number in self.versions)

    def alias_of(self, number: int) -> str:
        """Return "champion", "previous" or ""."""
        return next((alias for alias, version in self.aliases.items() if version == number), "")

    def last(self, number: int, *actions: str) -> Event | None:
        """Return the latest event of some kinds that was about a version."""
        return next((e for e in reversed(self.history) if e.action in actions and number in e.versions), None)


Change = Callable[[State], State]


def parse(content: bytes, where: str) -> State:
    """Read registry.json.

    Raises:
        UserError: It was made by another version of graftwork, or is not what it should be: says where.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _nonsense(where, f"not JSON: {error}") from None
    schema = found.pop("schema", None) if isinstance(found, dict) else None
    if schema != SCHEMA and str(schema).startswith("graftwork.registry/"):
        next = "use that version; nothing was changed, and the champion serves on"
        facts = {"file": where, "schema": schema, "expected": SCHEMA}
        raise UserError("the registry was made by another version of graftwork", facts, next)
    if schema != SCHEMA:
        raise _nonsense(where, f'its "schema" is {schema!r}, expected {SCHEMA!r}')
    try:
        return State.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        reason = in_one_line(first["msg"].removeprefix("Value error, "))
        raise _nonsense(where, f"{place}: {reason}" if place else reason) from None


def written(state: State) -> bytes:
    """Return a state as the bytes of registry.json."""
    content = {"schema": SCHEMA, **state.model_dump(mode="json")}
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def number_given(state: State, present: Sequence[int], at: str) -> tuple[State, int]:
    """Give out a number that no version has, had or is getting.

    Args:
        state: Before.
        present: Version folders that are there, whether the state knows them or not.
        at: The time.
    """
    number = max([state.next_version, *(other + 1 for other in present)])
    return state.model_copy(update={"next_version": number + 1, "arriving": {**state.arriving, number: at}}), number


def registered(state: State, number: int, version: Version, event: Event) -> State:
    """Add a version whose folder has arrived.

    Raises:
        UserError: Its number was given up meanwhile.
    """
    if number not in state.arriving:
        next = "register it again; it gets another number"
        raise UserError(f"version {number} took too long to arrive and was given up", {"model": state.name}, next)
    arriving = {other: since for other, since in state.arriving.items() if other != number}
    return _with(state, event, arriving=arriving, versions={**state.versions, number: version})


def promoted(state: State, number: int, instead_of: int | None, event: Event) -> State:
    """Make a version the champion.

    Args:
        state: Before.
        number: The version.
        instead_of: The champion it was compared with, None for none: it must be the champion still.
        event: What to write into the history.

    Raises:
        UserError: There is no such version, it is the champion already, or another one was promoted meanwhile.
    """
    if number not in state.versions:
        raise no_version(state, number)
    if state.champion == number:
        raise UserError(f"version {number} is the champion already", {"model": state.name})
    if state.champion != instead_of:
        facts = {"model": state.name, "compared with": _named(instead_of), "champion now": _named(state.champion)}
        next = "compare it with the champion of now, and promote it again if it is better"
        raise UserError(f"version {number} was not promoted: the champion is another one by now", facts, next)
    aliases, earlier = {CHAMPION: number}, state.earlier
    if state.champion is not None:
        aliases[PREVIOUS] = state.champion
    if state.previous is not None:
        earlier = (*earlier, state.previous)
    return _with(state, event, aliases=aliases, earlier=earlier)


def rolled_back(state: State, event: Event) -> State:
    """Make the previous champion the champion again, and the one before it the previous one.

    Raises:
        UserError: There is none.
    """
    if state.champion is None or state.previous is None:
        facts = {"model": state.name, "champion": _named(state.champion)}
        next = "promote the version that should serve:  graftwork models promote VERSION"
        raise UserError("there is no previous champion to go back to", facts, next)
    aliases, earlier = {CHAMPION: state.previous}, list(state.earlier)
    while earlier and earlier[-1] == state.previous:  # what served in between was pruned
        earlier.pop()
    if earlier:
        aliases[PREVIOUS] = earlier.pop()
    return _with(state, event, aliases=aliases, earlier=tuple(earlier))


def kept(state: State, event: Event) -> State:
    """Note that a challenger was not promoted."""
    return _with(state, event)


def looked(state: State, look: Look) -> State:
    """Note that a retraining has looked for news; tried again, its step finds what it noted before."""
    others = [other for other in state.looks if other.run != look.run]
    return state.model_copy(update={"looks": (*others, look)[-_LOOKS:]})


def pruned(state: State, numbers: Sequence[int], given_up: Sequence[int], event: Event) -> State:
    """Take versions out; their folders are to be removed afterwards.

    Args:
        state: Before.
        numbers: Versions without an alias.
        given_up: Numbers that were given to versions which never arrived.
        event: What to write into the history.
    """
    gone = {*numbers, *given_up}
    return _with(
        state,
        event,
        versions={number: version for number, version in state.versions.items() if number not in gone},
        arriving={number: since for number, since in state.arriving.items() if number not in gone},
        leaving=tuple(sorted({*state.leaving, *gone})),
        earlier=tuple(number for number in state.earlier if number not in gone),
    )


def removed(state: State, numbers: Sequence[int]) -> State:
    """Forget versions whose folders are gone."""
    return state.model_copy(update={"leaving": tuple(number for number in state.leaving if number not in numbers)})


def expendable(state: State, keep: int) -> list[int]:
    """Return the versions that neither are among the last `keep` nor have an alias, the oldest first."""
    kept = {*sorted(state.versions)[max(0, len(state.versions) - keep) :], *state.aliases.values()}
    return [number for number in sorted(state.versions) if number not in kept]


def no_version(state: State, number: int) -> UserError:
    """Return the error for a version that is not there."""
    there = ", ".join(map(str, sorted(state.versions))) or "none"
    return UserError(f"there is no version {number}", {"model": state.name, "versions": there})


def no_champion(state: State) -> UserError:
    """Return the error for a model of which no version serves, or nobody knows which one."""
    problem = "the registry has lost which version is the champion" if state.forgotten else "no version is the champion"
    there = ", ".join(map(str, sorted(state.versions))) or "none"
    facts = {"model": state.name, "versions": there} | ({"missing": FILE} if state.forgotten else {})
    next = ["let the version serve that should:", "graftwork models promote VERSION"]
    if state.forgotten:
        next[0] = f"bring {FILE} back from a copy, or let the version serve that did, see models.config:"
    return UserError(problem, facts, next)


def _with(state: State, event: Event, **changes: Any) -> State:
    after = state.model_copy(update=changes)
    noted = event.model_copy(update={"champion": after.champion})
    return after.model_copy(update={"history": (*after.history, noted)})


def _named(number: int | None) -> str:
    return "none" if number is None else f"version {number}"


def _nonsense(where: str, why: str) -> UserError:
    return UserError(
        "the registry cannot be read",
        {"file": where, "why": why},
        [
            "nothing was changed, and the champion serves on; mend the file, or bring back an earlier copy of it;",
            "or remove it, and let the version serve again that did:  graftwork models promote VERSION",
        ],
    )
