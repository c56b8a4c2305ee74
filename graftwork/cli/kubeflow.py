"""The commands for a cluster: compile, submit, watch, schedule, schedules."""

import functools
import inspect
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graftwork import storage
from graftwork.errors import UserError

if TYPE_CHECKING:
    from graftwork.config import Config
    from graftwork.kubeflow.compiling import Compiled, Site
    from graftwork.kubeflow.connection import Kubeflow
    from graftwork.kubeflow.runs import Version
    from graftwork.kubeflow.schedules import Verb

_COMPILED = "transfer_learning, sweep or retraining; or components, for a file of each step."
Pipeline = Annotated[str, typer.Argument(metavar="PIPELINE", help="transfer_learning, sweep, retraining, or a file.")]
ConfigFile = Annotated[str | None, typer.Argument(metavar="[CONFIG.yaml]", help="See examples/.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set any configuration key; may be repeated.")
]
Image = Annotated[str | None, typer.Option(help="In which every step runs. Else: GRAFTWORK_IMAGE.")]
PullSecret = Annotated[str, typer.Option(help="Kubernetes secret for the image's registry.")]
CredentialsSecret = Annotated[str, typer.Option(help="Kubernetes secret whose credentials.json may read the data.")]
DataVolume = Annotated[str, typer.Option(help="Persistent volume claim with the data, mounted at /data.")]
Host = Annotated[str | None, typer.Option(help="URL of the API. Else: KF_PIPELINES_ENDPOINT, or this cluster's own.")]
Namespace = Annotated[str | None, typer.Option(help="Yours, where Kubeflow has one for each team.")]
TokenFile = Annotated[str | None, typer.Option(help="File with a bearer token. Else: KF_PIPELINES_TOKEN.")]
CaFile = Annotated[str | None, typer.Option(help="Certificates to check the server's against.")]
KubeContext = Annotated[str | None, typer.Option(help="Without a host: context of the Kubernetes configuration.")]
_SITE = {
    "image": (Image, None),
    "image_pull_secret": (PullSecret, ""),
    "credentials_secret": (CredentialsSecret, ""),
    "data_volume": (DataVolume, ""),
}
_ADDRESS = {
    "host": (Host, None),
    "namespace": (Namespace, None),
    "token_file": (TokenFile, None),
    "ca_file": (CaFile, None),
    "kube_context": (KubeContext, None),
}
Command = Callable[..., None]
Experiment = Annotated[str, typer.Option(help="Under which runs are listed; created if it is not there.")]
ServiceAccount = Annotated[str | None, typer.Option(help="Kubernetes service account of the pods.")]


def _takes(name: str, group: dict[str, tuple[Any, Any]]) -> Callable[[Command], Command]:
    """Give a command a group of options; it gets them together, as the argument of that name."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(**given: Any) -> None:
            command(**{name: {key: given.pop(key) for key in group}}, **given)

        signature = inspect.signature(command)
        kept = [parameter for parameter in signature.parameters.values() if parameter.name != name]
        options = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for key, (annotation, default) in group.items()
        ]
        run.__signature__ = signature.replace(parameters=[*kept, *options])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*kept, *options)}
        return run

    return decorate


schedules = typer.Typer(
    help="List the recurring runs of a Kubeflow; or pause, resume or delete one.", invoke_without_command=True
)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (compile_, submit, watch, schedule):
        app.command(name=command.__name__.rstrip("_"))(command)
    app.add_typer(schedules, name="schedules")


@_takes("site", _SITE)
def compile_(
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help=_COMPILED)],
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="To write; for components, a folder.")],
    format: Annotated[str, typer.Option(help="ir, or kubernetes-manifest.")] = "ir",
    namespace: Annotated[str | None, typer.Option(help="Of the resources in a Kubernetes manifest.")] = None,
    *,
    site: dict[str, Any],
) -> None:
    """Write a pipeline as the file that Kubeflow takes, or all steps as components for pipelines of your own."""
    from graftwork.kubeflow import compiling

    if pipeline == "components":
        _write_components(output, site, {"--format": format if format != "ir" else None, "--namespace": namespace})
        return
    if format not in compiling.FORMATS:
        raise UserError(f"there is no format {format!r}", {"formats": ", ".join(compiling.FORMATS)})
    if Path(output).suffix not in (".yaml", ".yml"):
        raise UserError("Kubeflow takes pipelines as YAML files", {"output": output}, next="call it .yaml")
    compiled = compiling.compile_pipeline(
        pipeline, _site(site), "ir" if format == "ir" else "kubernetes-manifest", namespace
    )
    storage.write(output, compiled.text.encode())
    print(f"{output}  {compiled.name} {compiled.version}, image {compiled.image}")


@_takes("address", _ADDRESS)
@_takes("site", _SITE)
def submit(
    pipeline: Pipeline,
    config_file: ConfigFile = None,
    set_: Sets = None,
    *,
    site: dict[str, Any],
    address: dict[str, Any],
    experiment: Experiment = "graftwork",
    run_name: Annotated[str | None, typer.Option(help="What to call the run. Else: pipeline and time.")] = None,
    service_account: ServiceAccount = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Run every step, whatever ran before.")] = False,
    watch_: Annotated[bool, typer.Option("--watch", help="Follow it, and exit as it ends.")] = False,
) -> None:
    """Upload a pipeline to Kubeflow, if it has changed, and start a run."""
    from graftwork.kubeflow import runs

    compiled, parameters = _job(pipeline, config_file, set_, _site(site))
    kubeflow = _connect(address)
    version = _upload(kubeflow, compiled)
    run_id = runs.submit(
        kubeflow,
        version,
        parameters,
        run_name=run_name or f"{compiled.name} {datetime.now():%Y-%m-%d %H:%M:%S}",
        experiment_name=experiment,
        service_account=service_account,
        caching=not no_cache,
    )
    print(f"run       {run_id}")
    print(f"follow    {runs.link_to_run(kubeflow, run_id)}", flush=True)
    if watch_:
        _follow(kubeflow, run_id)


@_takes("address", _ADDRESS)
def watch(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="ID of a run.")],
    address: dict[str, Any],
) -> None:
    """Follow a run on Kubeflow, one line per step, and exit as it ends."""
    _follow(_connect(address), run_id)


@_takes("address", _ADDRESS)
@_takes("site", _SITE)
def schedule(
    pipeline: Pipeline,
    cron: Annotated[str, typer.Option(help='Minute, hour, day, month, weekday: "30 3 * * *" is every night.')],
    config_file: ConfigFile = None,
    set_: Sets = None,
    name: Annotated[str | None, typer.Option(help="Of the schedule. Else: the pipeline's.")] = None,
    no_catchup: Annotated[bool, typer.Option("--no-catchup", help="Do not make up for missed runs.")] = False,
    max_concurrency: Annotated[int, typer.Option(min=1, max=10, help="Runs under way at the same time.")] = 1,
    *,
    site: dict[str, Any],
    address: dict[str, Any],
    experiment: Experiment = "graftwork",
    service_account: ServiceAccount = None,
) -> None:
    """Run a pipeline again and again. The same name again changes the schedule; there is never a second one."""
    from graftwork.kubeflow import schedules as recurring

    when = recurring.Schedule(recurring.parse_cron(cron), max_concurrency, not no_catchup)
    compiled, parameters = _job(pipeline, config_file, set_, _site(site))
    kubeflow = _connect(address)
    version = _upload(kubeflow, compiled)
    what = recurring.schedule(
        kubeflow,
        name or compiled.name,
        version,
        parameters,
        when,
        experiment_name=experiment,
        service_account=service_account,
    )
    print(f"schedule  {name or compiled.name}, {what}")
    times = ", ".join(f"{time:%a %d %b %H:%M}" for time in recurring.next_times(when.cron))
    print(f"due       {times} in {recurring.TIME_ZONE}")


@schedules.callback()
@_takes("address", _ADDRESS)
def list_schedules(context: typer.Context, address: dict[str, Any]) -> None:
    """List the recurring runs of a Kubeflow; or pause, resume or delete one."""
    context.obj = address
    if context.invoked_subcommand:
        return
    from rich.console import Console
    from rich.table import Table

    from graftwork.kubeflow import schedules as recurring

    found = recurring.all_schedules(_connect(address))
    if not found:
        print("no schedules")
        return
    table = Table(box=None, padding=(0, 2), header_style="dim", pad_edge=False)
    for heading in ("schedule", "state", "cron", "next (if in UTC)", "at once", "missed runs"):
        table.add_column(heading)
    for run in sorted(found, key=lambda run: str(run.display_name)):
        cron = (run.trigger.cron_schedule.cron if run.trigger and run.trigger.cron_schedule else None) or ""
        enabled = run.status == "ENABLED"
        next_time = f"{recurring.next_times(cron, 1)[0]:%a %d %b %H:%M}" if cron and enabled else ""
        state = "active" if enabled else "paused"
        missed = "left out" if run.no_catchup else "made up for"
        table.add_row(str(run.display_name), state, cron, next_time, str(run.max_concurrency), missed)
    Console(file=sys.stdout, highlight=False).print(table)


Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the schedule.")]


@schedules.command()
@_takes("address", _ADDRESS)
def pause(context: typer.Context, name: Name, address: dict[str, Any]) -> None:
    """Pause a schedule; what runs goes on."""
    _change("pause", name, context, address)


@schedules.command()
@_takes("address", _ADDRESS)
def resume(context: typer.Context, name: Name, address: dict[str, Any]) -> None:
    """Resume a schedule."""
    _change("resume", name, context, address)


@schedules.command()
@_takes("address", _ADDRESS)
def delete(context: typer.Context, name: Name, address: dict[str, Any]) -> None:
    """Delete a schedule; its runs stay."""
    _change("delete", name, context, address)


def _change(verb: "Verb", name: str, context: typer.Context, given: dict[str, Any]) -> None:
    from graftwork.kubeflow import schedules as recurring

    # The options may stand before the verb or after it.
    kubeflow = _connect({key: given[key] or context.obj[key] for key in given})
    recurring.change(kubeflow, name, verb)
    print(f"{name}: {verb}d")


def _write_components(output: str, site: dict[str, Any], more: dict[str, str | None]) -> None:
    from graftwork.kubeflow import compiling

    given = {**more, **{f"--{key.replace('_', '-')}": site[key] for key in site if key != "image"}}
    if refused := [option for option, value in given.items() if value]:
        facts = {"given": ", ".join(refused), "expected": "nothing but --output and --image"}
        next = "say it in the pipeline that uses the components, of its tasks:  kfp.kubernetes"
        raise UserError("a component cannot have these options", facts, next)
    folder = Path(output)
    if folder.suffix in (".yaml", ".yml") or folder.is_file():
        raise UserError("components are several files", {"output": output}, next="name a folder for them")
    image = _site(site).image
    try:
        files = compiling.write_components(folder, image)
    except OSError as error:
        raise UserError("the files cannot be written", {"output": output, "reason": error.strerror}) from None
    for file in files:
        print(file)
    print(f"{len(files)} components, image {image}")


def _site(options: dict[str, Any]) -> "Site":
    from graftwork.components import IMAGE
    from graftwork.kubeflow.compiling import Site

    return Site(**{**options, "image": options.get("image") or IMAGE})


def _job(
    pipeline: str, config_file: str | None, sets: list[str] | None, site: "Site"
) -> tuple["Compiled", dict[str, Any]]:
    """Return the compiled pipeline and its parameters; whatever can be found wrong with them is found here."""
    from graftwork import config
    from graftwork.kubeflow import compiling, runs

    settings: Config = config.load(config_file, dict(config.parse_override(text) for text in sets or []))
    if Path(pipeline).suffix in (".yaml", ".yml"):
        compiled = compiling.read_compiled(pipeline)
        if site != _site({}):
            problem = "image, secrets and volume of a compiled file are fixed"
            raise UserError(problem, {"file": pipeline}, next="compile it with these options, or name a pipeline here")
    else:
        compiled = compiling.compile_pipeline(pipeline, site)
        if "/" not in compiled.image:
            print(
                f"note: the image {compiled.image} names no registry: every node has to have it already, "
                "or give another one: --image REGISTRY/NAME:TAG",
                file=sys.stderr,
            )
    runs.check_for_cluster(settings, compiled)
    parameters = config.as_parameters(settings, compiled.parameters)
    missing = set(compiled.required) - set(parameters)
    if missing:
        facts = {"pipeline": pipeline, "parameters": ", ".join(sorted(missing))}
        raise UserError("the pipeline wants parameters that graftwork's configuration does not have", facts)
    return compiled, parameters


def _connect(options: dict[str, Any]) -> "Kubeflow":
    from graftwork.kubeflow.connection import Address, Kubeflow

    return Kubeflow(Address(**options))


def _upload(kubeflow: "Kubeflow", compiled: "Compiled") -> "Version":
    from graftwork.kubeflow import runs

    version = runs.upload(kubeflow, compiled)
    print(f"pipeline  {compiled.name} {version.name}{'' if version.new else ', as it was there'}")
    return version


def _follow(kubeflow: "Kubeflow", run_id: str) -> None:
    from graftwork.kubeflow import runs

    try:
        succeeded = runs.watch(kubeflow, run_id, lambda line: print(f"{datetime.now():%H:%M:%S}  {line}", flush=True))
    except KeyboardInterrupt:
        print(f"the run goes on; follow it again: graftwork watch {run_id}", file=sys.stderr)
        raise typer.Exit(130) from None
    if not succeeded:
        raise typer.Exit(1)
