"""The commands that send something to a cluster: compile, submit, watch, schedule."""

import functools
import inspect
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graftwork import pipelines, storage
from graftwork.cli.completion import offers
from graftwork.cli.output import FAILED, INTERRUPTED, Answer, Json, answering
from graftwork.errors import UserError

if TYPE_CHECKING:
    from graftwork.config import Config, StepsConfig
    from graftwork.kubeflow.compiling import Compiled
    from graftwork.kubeflow.connection import Kubeflow
    from graftwork.kubeflow.site import Site
    from graftwork.kubeflow.submitting import Version

_FORMATS = ("ir", "kubernetes-manifest")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
Pipeline = Annotated[
    str,
    typer.Argument(
        metavar="PIPELINE",
        help="transfer_learning, sweep, retraining, or a file.",
        autocompletion=offers(*pipelines.NAMES, files="*.yaml"),
    ),
]
Compilable = Annotated[
    str,
    typer.Argument(
        metavar="PIPELINE",
        help="transfer_learning, sweep or retraining; or components, for a file of each step.",
        autocompletion=offers(*pipelines.NAMES, "components"),
    ),
]
ConfigFile = Annotated[
    str | None, typer.Argument(metavar="[CONFIG.yaml]", help="See examples/.", autocompletion=offers(files="*.yaml"))
]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set any configuration key; may be repeated.")
]
StepSets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set cluster.steps.STEP.cpu, memory, ...; may be repeated."),
]
Image = Annotated[str | None, typer.Option(help="In which every step runs. Else: GRAFTWORK_IMAGE.")]
PullSecret = Annotated[str, typer.Option(help="Kubernetes secret for the image's registry.")]
CredentialsSecret = Annotated[str, typer.Option(help="Kubernetes secret whose credentials.json may read the data.")]
DataVolume = Annotated[str, typer.Option(help="Persistent volume claim with the data, mounted at /data.")]
PullPolicy = Annotated[
    str, typer.Option(help=f"{', '.join(_PULL_POLICIES)}. Else: the cluster's.", autocompletion=offers(*_PULL_POLICIES))
]
Labels = Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Of every pod; may be repeated.")]
Annotations = Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Of every pod; may be repeated.")]
RunAsGroup = Annotated[int | None, typer.Option(min=0, help="ID of the group that may write to the volume. Else: 0.")]
TmpSize = Annotated[str, typer.Option(metavar="AMOUNT", help="What /tmp of a step may hold, as in 50Gi. Else: any.")]
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
    "image_pull_policy": (PullPolicy, ""),
    "label": (Labels, None),
    "annotation": (Annotations, None),
    "run_as_group": (RunAsGroup, None),
    "tmp_size": (TmpSize, ""),
}
ADDRESS = {
    "host": (Host, None),
    "namespace": (Namespace, None),
    "token_file": (TokenFile, None),
    "ca_file": (CaFile, None),
    "kube_context": (KubeContext, None),
}
"""The options that say where Kubeflow is, for `takes`."""
Command = Callable[..., None]
Experiment = Annotated[str, typer.Option(help="Under which runs are listed; created if it is not there.")]
ServiceAccount = Annotated[str | None, typer.Option(help="Kubernetes service account of the pods.")]


def takes(name: str, group: dict[str, tuple[Any, Any]]) -> Callable[[Command], Command]:
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


@takes("site", _SITE)
def compile_(
    pipeline: Compilable,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="To write; for components, a folder.")],
    format: Annotated[str, typer.Option(help="ir, or kubernetes-manifest.", autocompletion=offers(*_FORMATS))] = "ir",
    namespace: Annotated[str | None, typer.Option(help="Of the resources in a Kubernetes manifest.")] = None,
    set_: StepSets = None,
    json_: Json = False,
    *,
    site: dict[str, Any],
) -> None:
    """Write a pipeline as the file that Kubeflow takes, or all steps as components for pipelines of your own."""
    from graftwork.kubeflow import compiling

    if pipeline == "components":
        others = {"--format": format if format != "ir" else None, "--namespace": namespace, "--set": set_}
        _write_components(output, site, others, json_)
        return
    if format not in compiling.FORMATS:
        raise UserError(f"there is no format {format!r}", {"formats": ", ".join(compiling.FORMATS)})
    if Path(output).suffix not in (".yaml", ".yml"):
        raise UserError("Kubeflow takes pipelines as YAML files", {"output": output}, next="call it .yaml")
    compiled = compiling.compile_pipeline(
        pipeline, _site(site, _steps(set_)), "ir" if format == "ir" else "kubernetes-manifest", namespace
    )
    storage.write(output, compiled.text.encode())
    with answering(json_) as answer:
        answer.say(
            f"{output}  {compiled.name} {compiled.version}, image {compiled.image}",
            file=output,
            pipeline=compiled.name,
            version=compiled.version,
            image=compiled.image,
        )


@takes("address", ADDRESS)
@takes("site", _SITE)
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
    json_: Json = False,
) -> None:
    """Upload a pipeline to Kubeflow, if it has changed, and start a run."""
    from graftwork.kubeflow import submitting

    compiled, parameters = _job(pipeline, config_file, set_, site)
    _check_service_account(service_account)
    kubeflow = connect(address)
    with answering(json_) as answer:
        version = _upload(kubeflow, compiled, answer)
        run_id = submitting.submit(
            kubeflow,
            version,
            parameters,
            run_name=run_name or f"{compiled.name} {datetime.now():%Y-%m-%d %H:%M:%S}",
            experiment_name=experiment,
            service_account=service_account,
            caching=not no_cache,
        )
        link = kubeflow.link_to_run(run_id)
        answer.say(f"run       {run_id}", run=run_id)
        answer.say(f"follow    {link}", link=link)
        if watch_:
            _follow(kubeflow, run_id, answer)


@takes("address", ADDRESS)
def watch(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="ID of a run.")],
    address: dict[str, Any],
    json_: Json = False,
) -> None:
    """Follow a run on Kubeflow, one line per step, and exit as it ends."""
    with answering(json_) as answer:
        answer.facts["run"] = run_id
        _follow(connect(address), run_id, answer)


@takes("address", ADDRESS)
@takes("site", _SITE)
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
    json_: Json = False,
) -> None:
    """Run a pipeline again and again. The same name again changes the schedule; there is never a second one."""
    from graftwork.kubeflow import schedules as recurring

    cron = recurring.parse_cron(cron)
    compiled, parameters = _job(pipeline, config_file, set_, site)
    _check_service_account(service_account)
    kubeflow = connect(address)
    name = name or compiled.name
    with answering(json_) as answer:
        what = recurring.schedule(
            kubeflow,
            name,
            _upload(kubeflow, compiled, answer),
            parameters,
            cron,
            max_concurrency=max_concurrency,
            catchup=not no_catchup,
            experiment_name=experiment,
            service_account=service_account,
        )
        due = recurring.next_times(cron)
        answer.say(f"schedule  {name}, {what}", schedule=name, change=what, cron=cron)
        times = ", ".join(f"{time:%a %d %b %H:%M}" for time in due)
        answer.say(f"due       {times} in {recurring.TIME_ZONE}", due=[time.isoformat() for time in due])


def _write_components(output: str, site: dict[str, Any], more: dict[str, Any], as_json: bool) -> None:
    from graftwork.kubeflow import compiling

    given = {**more, **{f"--{key.replace('_', '-')}": site[key] for key in site if key != "image"}}
    if refused := [option for option, value in given.items() if value or value == 0]:
        facts = {"given": ", ".join(refused), "expected": "nothing but --output and --image"}
        next = "say it in the pipeline that uses the components, of its tasks:  kfp.kubernetes"
        raise UserError("a component cannot have these options", facts, next)
    folder = Path(output)
    if folder.suffix in (".yaml", ".yml") or folder.is_file() or storage.is_remote(output):
        raise UserError(
            "components are several files", {"output": output}, next="name a folder for them, on this machine"
        )
    image = _site(site).image
    try:
        files = compiling.write_components(folder, image)
    except OSError as error:
        raise UserError("the files cannot be written", {"output": output, "reason": error.strerror}) from None
    with answering(as_json) as answer:
        for file in files:
            answer.say(str(file))
        answer.say(f"{len(files)} components, image {image}", files=list(map(str, files)), image=image)


def _site(options: dict[str, Any], steps: "StepsConfig | None" = None) -> "Site":
    from graftwork.components import IMAGE
    from graftwork.config import StepsConfig
    from graftwork.kubeflow.site import Site

    given = dict(options)
    labels, annotations = (_pairs(f"--{key}", given.pop(key, None)) for key in ("label", "annotation"))
    image = given.pop("image", None) or IMAGE
    return Site(image=image, labels=labels, annotations=annotations, steps=steps or StepsConfig(), **given)


def _pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UserError(f"{option} {text!r} is no pair", next=f"write it as  {option} KEY=VALUE")
        if key in pairs:
            raise UserError(f"{option} {key} is given twice", {"values": f"{pairs[key]}, {value}"})
        pairs[key] = value
    return pairs


def _steps(sets: list[str] | None) -> "StepsConfig":
    """Return what the steps ask for: all that a pipeline's settings say before it is submitted."""
    from graftwork import config

    given = dict(config.parse_override(text) for text in sets or [])
    if others := [key for key in given if key.split(".")[:2] != ["cluster", "steps"]]:
        facts = {"given": ", ".join(others), "expected": "cluster.steps.STEP.cpu, memory, cpu_limit, memory_limit"}
        raise UserError("this is no setting of a compiled file", facts, next="give it when you submit the file")
    return config.load(None, {"data": "-", "base_model": "-", **given}).cluster.steps


def _job(
    pipeline: str, config_file: str | None, sets: list[str] | None, options: dict[str, Any]
) -> tuple["Compiled", dict[str, Any]]:
    """Return the compiled pipeline and its parameters; whatever can be found wrong with them is found here."""
    from graftwork import config
    from graftwork.kubeflow import compiling, submitting

    settings: Config = config.load(config_file, dict(config.parse_override(text) for text in sets or []))
    site = _site(options, settings.cluster.steps)
    if Path(pipeline).suffix in (".yaml", ".yml"):
        compiled = compiling.read_compiled(pipeline)
        if site != _site({}):
            problem = "what belongs to the site is fixed in a compiled file"
            facts = {"file": pipeline, "fixed": "image, secrets, volume, labels, ... and cluster.steps"}
            raise UserError(problem, facts, next="compile it with these options, or name a pipeline here")
    else:
        compiled = compiling.compile_pipeline(pipeline, site)
        if "/" not in compiled.image:
            print(
                f"note: the image {compiled.image} names no registry: every node has to have it already, "
                "or give another one: --image REGISTRY/NAME:TAG",
                file=sys.stderr,
            )
    submitting.check_for_cluster(settings, compiled)
    parameters = config.as_parameters(settings, compiled.parameters)
    missing = set(compiled.required) - set(parameters)
    if missing:
        facts = {"pipeline": pipeline, "parameters": ", ".join(sorted(missing))}
        raise UserError("the pipeline wants parameters that graftwork's configuration does not have", facts)
    return compiled, parameters


def _check_service_account(name: str | None) -> None:
    from graftwork.kubeflow import names

    if name:
        names.check("the name of the service account", name, names.SUBDOMAIN)


def connect(options: dict[str, Any]) -> "Kubeflow":
    """Connect to the server at an ADDRESS."""
    from graftwork.kubeflow import names
    from graftwork.kubeflow.connection import Kubeflow

    if options.get("namespace"):
        names.check("the name of the namespace", options["namespace"], names.LABEL)
    return Kubeflow(**options)


def _upload(kubeflow: "Kubeflow", compiled: "Compiled", answer: Answer) -> "Version":
    from graftwork.kubeflow import submitting

    version = submitting.upload(kubeflow, compiled)
    line = f"pipeline  {compiled.name} {version.name}{'' if version.new else ', as it was there'}"
    answer.say(line, pipeline=compiled.name, version=version.name, uploaded=version.new)
    return version


def _follow(kubeflow: "Kubeflow", run_id: str, answer: Answer) -> None:
    from graftwork.kubeflow import watching

    try:
        succeeded = watching.watch(kubeflow, run_id, lambda line: answer.say(f"{datetime.now():%H:%M:%S}  {line}"))
    except KeyboardInterrupt:
        print(f"the run goes on; follow it again: graftwork watch {run_id}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    answer.facts["succeeded"] = succeeded
    if not succeeded:
        raise typer.Exit(FAILED)
