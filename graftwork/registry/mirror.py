"""Kubeflow Model Registry, following a registry: its versions, where they are, and which of them serves.

The registry itself stays where it is. Kubeflow Model Registry keeps no files, and has no way of writing a thing only if
nobody else has: of two promotions at once both would win.
"""

import asyncio
import json
from typing import Any

from graftwork.errors import UserError, in_one_line
from graftwork.registry.registry import Registry
from graftwork.registry.state import State, Version, no_champion

_FORMAT, _FORMAT_VERSION = "tensorflow", "2"
_LIVE, _ARCHIVED = "LIVE", "ARCHIVED"


def follow(url: str, registry: Registry, author: str) -> None:
    """Make Kubeflow Model Registry say of a model what its registry says.

    Every version becomes a ModelVersion with its URI; its alias, metrics and fingerprints are custom properties. What
    was pruned is archived. The same call again changes nothing, and makes up for one that was interrupted.

    Args:
        url: Of the service, with its scheme and port.
        registry: Of the model.
        author: Who is asking.

    Raises:
        UserError: Its client is not installed, the service does not answer, or nobody knows which version serves.
    """
    try:
        import model_registry
    except ImportError:
        next = 'pip install "graftwork[model-registry]"'
        raise UserError("Kubeflow Model Registry needs its client", next=next) from None
    known = registry.state()
    if known.forgotten:  # it would take the alias from the version that serves
        raise no_champion(known)
    if not known.versions:
        return
    try:
        client = model_registry.ModelRegistry(url, author=author, async_runner=asyncio.run)
        _register_new(client, registry, known, author)
        _update(client, registry.name, known)
    except Exception as error:  # the client raises whatever its own libraries do
        raise UserError(
            "Kubeflow Model Registry could not be told",
            {"url": url, "model": registry.name, "reason": in_one_line(error)},
            "the registry itself is right; the next command, or this one again, makes up for it",
        ) from None


def _register_new(client: Any, registry: Registry, known: State, author: str) -> None:
    there = {version.name for version in _versions(client, registry.name)}
    for number, version in sorted(known.versions.items()):
        if str(number) not in there:
            event = known.last(number, "register")
            client.register_model(
                registry.name,
                f"{registry.address}/{number}",
                model_format_name=_FORMAT,
                model_format_version=_FORMAT_VERSION,
                version=str(number),
                author=event.by if event else author,
                version_description=event.why if event else "",
                metadata=_properties(known, number, version),
            )


def _update(client: Any, name: str, known: State) -> None:
    for found in _versions(client, name):
        number = int(found.name) if found.name.isdecimal() else None
        version = known.versions.get(number) if number else None
        state = _LIVE if version else _ARCHIVED
        wanted = _properties(known, number, version) if number and version else dict(found.custom_properties or {})
        if found.state != state or dict(found.custom_properties or {}) != wanted:
            found.state, found.custom_properties = state, wanted
            client.update(found)


def _versions(client: Any, name: str) -> list[Any]:
    return list(client.get_model_versions(name)) if client.get_registered_model(name) else []


def _properties(known: State, number: int, version: Version) -> dict[str, Any]:
    """Return what a version says besides its URI, as plain values."""
    numbers = {key: float(value) for key, value in version.metrics.items() if isinstance(value, int | float)}
    texts = {f"data_{key}": str(value) for key, value in version.data.items()}
    return {"alias": known.alias_of(number), "classes": json.dumps(version.classes), **numbers, **texts}
