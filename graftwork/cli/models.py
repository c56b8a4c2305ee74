"""The commands for a registry: list its versions, look at one, promote, roll back, prune."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from graftwork.cli.completion import offers
from graftwork.cli.help import SETTING, Commands
from graftwork.cli.output import Json, answering, print_json
from graftwork.errors import UserError

if TYPE_CHECKING:
    from graftwork.registry.registry import Registry
    from graftwork.registry.state import State, Version

Uri = Annotated[str, typer.Option("--registry", metavar="URI", help=SETTING)]
Name = Annotated[str | None, typer.Option(help="Of the model, where the registry holds several.")]
Why = Annotated[str, typer.Option(help="For the history, in one line.")]
By = Annotated[str, typer.Option(help="For the history. Else: the user of this machine.")]
_FORMATS = ("kserve", "tensorflow-serving")

models = typer.Typer(
    cls=Commands, help="The versions of a model in a registry, and which of them serves.", no_args_is_help=True
)


@models.command("list")
def list_(registry: Uri, name: Name = None, json_: Json = False) -> None:
    """List the versions of a model; of all models, if none is named."""
    from graftwork.registry import stores
    from graftwork.registry.registry import Registry
    from graftwork.registry.stores import only_name

    chosen = [only_name(registry, name)] if name else stores.models(registry)
    states = {each: Registry(registry, each).state() for each in chosen}
    if json_:
        print_json({each: state.model_dump(mode="json", exclude={"history"}) for each, state in states.items()})
        return
    if not states:
        raise UserError("there are no models in the registry", {"registry": registry})
    for each, state in states.items():
        _print_versions(each, state)


@models.command()
def show(
    registry: Uri,
    version: Annotated[int | None, typer.Argument(metavar="[VERSION]", help="Else: the champion.")] = None,
    name: Name = None,
    json_: Json = False,
) -> None:
    """Say everything that is known about a version, and what was done with it."""
    from graftwork.registry.state import no_champion, no_version

    opened = _open(registry, name)
    state = opened.state()
    number = state.champion if version is None else version
    if number is None:
        raise no_champion(state)
    if number not in state.versions:
        raise no_version(state, number)
    entry, events = state.versions[number], [event for event in state.history if number in event.versions]
    if json_:
        content = {"version": number, "alias": state.alias_of(number), **entry.model_dump(mode="json")}
        print_json({**content, "history": [event.model_dump(mode="json") for event in events]})
        return
    _print_facts(f"{opened.uri.rstrip('/')}/{number}", state.alias_of(number), entry)
    if report := next((event.report for event in reversed(events) if event.report and event.action != "keep"), ""):
        print(f"{'pages':<12}{report}")
    for event in events:
        print(f"{event.at:<26}{event.action:<10}{event.by}{f': {event.why}' if event.why else ''}")


@models.command()
def promote(
    registry: Uri,
    what: Annotated[
        str,
        typer.Argument(
            metavar="VERSION|MODEL",
            help="A version; or a run's output, a model folder, REGISTRY/NAME. ./7 is a folder.",
        ),
    ],
    name: Name = None,
    why: Why = "",
    by: By = "",
    json_: Json = False,
) -> None:
    """Let a version serve, without asking the gate. A model from elsewhere becomes a version first."""
    from graftwork import storage
    from graftwork.registry.registry import Registry, author, described
    from graftwork.registry.resolve import model_uri

    who = author(by, why)
    if what.isdecimal():
        opened, number = _open(registry, name), int(what)
        champion = opened.state().champion
    else:
        opened = Registry(registry, name) if name else _open(registry, None)  # a first version makes its model
        champion = opened.state().champion
        with storage.fetched(model_uri(what)) as folder:
            number = opened.register(folder, described(folder), who)
    after = opened.promote(number, champion, who)
    _tell_champion(opened.name, after.champion, "is the champion", champion, json_)


@models.command()
def rollback(registry: Uri, name: Name = None, why: Why = "", by: By = "", json_: Json = False) -> None:
    """Let the previous champion serve again."""
    from graftwork.registry.registry import author

    opened = _open(registry, name)
    withdrawn = opened.state().champion
    after = opened.rollback(author(by, why))
    _tell_champion(opened.name, after.champion, "is the champion again", withdrawn, json_)


@models.command()
def prune(
    registry: Uri,
    keep: Annotated[int, typer.Option(min=1, help="How many of the last versions stay, besides the two champions.")],
    name: Name = None,
    by: By = "",
    json_: Json = False,
) -> None:
    """Remove old versions; the champion and the previous one always stay."""
    from graftwork.registry.registry import author

    opened = _open(registry, name)
    gone = opened.prune(keep, author(by, f"keep {keep}"))
    left = sorted(opened.state().versions)
    with answering(json_) as answer:
        said = f"removed {', '.join(map(str, gone)) or 'nothing'}; there are {', '.join(map(str, left))}"
        answer.say(f"{opened.name}: {said}", model=opened.name, removed=gone, left=left)


@models.command()
def mirror(
    registry: Uri,
    model_registry: Annotated[str, typer.Option(metavar="URL", help="Of Kubeflow Model Registry, with its port.")],
    name: Name = None,
    by: By = "",
    json_: Json = False,
) -> None:
    """Make Kubeflow Model Registry say of a model what its registry says."""
    from graftwork.registry import mirror as following
    from graftwork.registry.registry import author

    opened = _open(registry, name)
    following.follow(model_registry, opened, author(by).by)
    with answering(json_) as answer:
        said = f"{model_registry} says what {registry} says"
        answer.say(f"{opened.name}: {said}", model=opened.name, registry=registry, model_registry=model_registry)


def serve_manifest(
    registry: Uri,
    name: Name = None,
    format: Annotated[
        str, typer.Option(help="kserve, or tensorflow-serving.", autocompletion=offers(*_FORMATS))
    ] = "kserve",
    serve_from: Annotated[
        str | None,
        typer.Option(metavar="URI", help="Where the server sees the registry, if not where it is seen here."),
    ] = None,
) -> None:
    """Print what a server has to be told to serve the champion."""
    from graftwork.registry import serving

    opened = _open(registry, name)
    champion = int(opened.champion().rpartition("/")[2])
    formats = dict(zip(_FORMATS, (serving.inference_service, serving.model_config), strict=True))
    if format not in formats:
        raise UserError(f"there is no format {format!r}", {"formats": ", ".join(formats)})
    uri = f"{serve_from.rstrip('/')}/{opened.name}" if serve_from else opened.address
    print(formats[format](opened.name, uri, champion), end="")


def _open(uri: str, name: str | None) -> "Registry":
    from graftwork.registry.registry import Registry
    from graftwork.registry.stores import only_name

    return Registry(uri, only_name(uri, name))


def _tell_champion(model: str, champion: int | None, done: str, before: int | None, as_json: bool) -> None:
    with answering(as_json) as answer:
        instead = "" if before is None else f", instead of {before}"
        said = f"{model}: version {champion} {done}{instead}"
        answer.say(said, model=model, champion=champion, instead_of=before)


def _print_versions(name: str, state: "State") -> None:
    rows = [(name, "registered", "test accuracy", "95 % interval", "images", "", "")]
    for number in sorted(state.versions, reverse=True):
        entry, alias, standing = state.versions[number], state.alias_of(number), _standing(state, number)
        images = f"{entry.metrics['n']:,}" if "n" in entry.metrics else ""
        accuracy, interval = _accuracy(entry), _interval(entry)
        rows.append((str(number), _minute(entry.registered), accuracy, interval, images, alias, standing))
    for number, since in sorted(state.arriving.items()):
        rows.append((str(number), _minute(since), "", "", "", "arriving", ""))
    looked = state.looks[-1] if state.looks else None
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    if state.forgotten:
        print("registry.json was lost: nobody knows which of these is the champion")
    if looked:
        print(f"last look for news {_minute(looked.at)}: {'there was some' if looked.news else 'nothing'}")


def _standing(state: "State", number: int) -> str:
    """Return how a version came to serve, or came to serve no more, in one line."""
    event = state.last(number, "promote", "rollback")
    if event is None:
        return ""
    done = "promoted" if event.action == "promote" else "back" if event.versions[0] == number else "taken back"
    return f"{done} by {event.by}{f': {event.why}' if event.why else ''}"


def _minute(at: str) -> str:
    return at[:16].replace("T", " ")


def _print_facts(uri: str, alias: str, entry: "Version") -> None:
    facts: dict[str, Any] = {
        "folder": uri,
        "alias": alias or "none",
        "registered": entry.registered,
        "classes": ", ".join(entry.classes),
        "test": f"accuracy {_accuracy(entry)} (95 % {_interval(entry)}), {entry.metrics.get('n', '?')} images",
        "data": entry.data.get("source", ""),
        "made from": entry.base.get("uri", ""),
    }
    for label, fact in facts.items():
        print(f"{label:<12}{fact}")
    for rule in (entry.verdict or {}).get("rules", ()):
        print(f"{'gate':<12}{'pass' if rule['passed'] else 'FAIL'}  {rule['rule']}: {rule['says']}")


def _accuracy(entry: "Version") -> str:
    return f"{entry.metrics['accuracy']:.4f}" if "accuracy" in entry.metrics else ""


def _interval(entry: "Version") -> str:
    low, high = entry.metrics.get("accuracy_interval", (None, None))
    return "" if low is None else f"{low:.4f} to {high:.4f}"
