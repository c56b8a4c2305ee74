"""Reads settings: a YAML file, assignments laid over it, and in plain words what is wrong with them."""

import difflib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from graftwork.config.base import Settings
from graftwork.config.settings import Config, keys
from graftwork.errors import UserError, in_one_line

S = TypeVar("S", bound=Settings)


def load(file: str | Path | None, overrides: Mapping[str, Any]) -> Config:
    """Read a configuration file and lay overrides over it.

    Args:
        file: A YAML file, None for no file.
        overrides: Dotted keys and their values, as in {"fine_tune.layers": 0}.

    Raises:
        UserError: The file cannot be read, a key is unknown, a value is not what it should be.
    """
    return validated(Config, merged(read_yaml(file) if file else {}, overrides), str(file or "the command line"))


def settings_of(
    config: str | os.PathLike[str] | Config | None,
    named: Mapping[str, str | os.PathLike[str] | None],
    settings: Mapping[str, Any],
) -> "Config":
    """Return what a configuration says with a call's arguments laid over it.

    Args:
        config: A YAML file or a Config; None for neither.
        named: Settings with an argument of their own; None for what is not given.
        settings: All others; of a group of settings, a mapping lies over that group.

    Raises:
        UserError: A setting is unknown or wrong.
    """
    given = {**{key: value for key, value in named.items() if value is not None}, **settings}
    if isinstance(config, Config):
        if not given:
            return config
        base, where = config.model_dump(exclude_unset=True), "the arguments"
    else:
        base, where = (read_yaml(Path(config)), os.fspath(config)) if config else ({}, "the arguments")
    groups = {key.partition(".")[0] for key in keys() if "." in key}
    overrides: dict[str, Any] = {}
    for key, value in given.items():
        if key in groups and isinstance(value, Mapping):
            overrides |= {f"{key}.{entry}": each for entry, each in value.items()}
        else:
            overrides[key] = os.fspath(value) if isinstance(value, os.PathLike) else value
    return validated(Config, merged(base, overrides), where)


def read_yaml(file: str | Path) -> dict[str, Any]:
    """Read a YAML mapping."""
    try:
        content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError("the configuration cannot be read", {"file": file, "why": reason}) from None
    except yaml.YAMLError as error:
        raise UserError("the configuration is not YAML", {"file": file, "why": in_one_line(error)}) from None
    if not isinstance(content, dict):
        raise UserError("the configuration is not a mapping", {"file": file, "expected": "lines such as  data: photos"})
    return content


def merged(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings with dotted overrides laid over them."""
    result = json.loads(json.dumps(base, default=str))
    for dotted, value in overrides.items():
        *parents, last = dotted.split(".")
        place = result
        for parent in parents:
            inner = place.get(parent)
            place[parent] = inner if isinstance(inner, dict) else {}
            place = place[parent]
        place[last] = value
    return result


def parse_override(text: str) -> tuple[str, Any]:
    """Split "fine_tune.layers=0" into its dotted key and its value, which is read as YAML."""
    key, equals, value = text.partition("=")
    if not key.strip() or not equals:
        raise UserError(f"--set {text!r} is not an assignment", next="write it as  --set fine_tune.layers=0")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        return key.strip(), value


def validated(kind: type[S], values: Mapping[str, Any], where: str) -> S:
    """Return settings of the given kind, or raise a UserError that names each wrong key and value.

    Args:
        kind: Config or one of its parts.
        values: Nested settings.
        where: Where the values come from, for the message.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise _in_plain_words(kind, error, where) from None


def _in_plain_words(kind: type[Settings], error: ValidationError, where: str) -> UserError:
    known = list(keys(kind))
    facts: dict[str, str] = {}
    suggestions = []
    for problem in error.errors():
        # Pydantic appends the tried member of a union to the location; those are not keys.
        key = ".".join(str(part) for part in problem["loc"] if _is_key(part)) or "settings"
        if problem["type"] == "extra_forbidden":
            facts[key] = "unknown key"
            nearest = _nearest(key, known)
            if nearest:
                suggestions.append(f"did you mean {nearest} instead of {key}?")
        elif problem["type"] == "missing":
            facts[key] = "missing"
            suggestions.append(f"give it in the configuration, or as  --{key.replace('_', '-')} ...")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            message = message[:1].lower() + message[1:]
            if problem["type"] == "string_pattern_mismatch":  # the one pattern there is
                message = "expected an amount as Kubernetes writes them, such as 20Gi, 500M or 4"
            given = problem["input"]
            shown = "" if isinstance(given, dict) else f"{given!r}: "
            # Of a union, each member says why it does not fit.
            facts[key] = f"{facts[key]}, or {message}" if key in facts else shown + message
    plural = "settings are" if len(facts) > 1 else "setting is"
    return UserError(f"{len(facts)} {plural} wrong in {where}", facts, next=suggestions or None)


def _is_key(part: str | int) -> bool:
    return isinstance(part, int) or (part.isidentifier() and part not in ("int", "str", "float", "ScaleOffset"))


def _nearest(key: str, known: list[str]) -> str | None:
    by_leaf = {name.rpartition(".")[2]: name for name in reversed(known)}
    leaf = key.rpartition(".")[2]
    close = [by_leaf[leaf]] if leaf in by_leaf else difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if close:
        return close[0]
    close = difflib.get_close_matches(leaf, by_leaf, n=1, cutoff=0.6)
    return by_leaf[close[0]] if close else None
