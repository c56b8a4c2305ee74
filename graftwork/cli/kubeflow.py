"""The commands that send something to a cluster: compile, submit, schedule."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import graftwork
from graftwork import pipelines, storage
from graftwork.cli.address import ADDRESS, takes
from graftwork.cli.cluster_runs import follow
from graftwork.cli.completion import offers
from graftwork.cli.output import Answer, Json, answering
from graftwork.errors import UserError

if TYPE_CHECKING:
    from graftwork.config import Config, StepsConfig
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
Experiment = Annotated[str, typer.Option(help="Under which runs are listed; created if it is not there.")]
ServiceAccount = Annotated[str | None, typer.Option(help="Kubernetes service account of the pods.")]


@takes("site", _SITE)
def compile_(
    pipeline: Compilable,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="To write; for components, a folder.")],
    format: Annotated[str, typer.Option(help="ir, or kubernetes-manifest.", autocompletion=offers(*_FORMATS))] = "ir",
    namespace: Annotated[str | None, typer.Option(help="Of the resources in a Kubernetes manifest.")] = None,
    one_shard: Annotated[bool, typer.Option("--one-shard", help="Without loops over shards: fewer pods.")] = False,
    set_: StepSets = None,
    json_: Json = False,
    *,
    site: dict[str, Any],
) -> None:
    """Write a pipeline as the file that Kubeflow takes, or all steps as components for pipelines of your own."""
    from graftwork.kubeflow import compiling

    if pipeline == "components":
        others: dict[str, Any] = {
            "--format": format if format != "ir" else None,
            "--namespace": namespace,
            "--set": set_,
            "--one-shard": one_shard or None,
        }
        _write_components(output, site, others, json_)
        return
    if format not in compiling.FORMATS:
        raise UserError(f"there is no format {format!r}", {"formats": ", ".join(compiling.FORMATS)})
    if Path(output).suffix not in (".yaml", ".yml"):
        raise UserError("Kubeflow takes pipelines as YAML files", {"output": output}, next="call it .yaml")
    compiled = compiling.compile_pipeline(
        pipeline, _site(site, _steps(set_)), "ir" if format == "ir" else "kubernetes-manifest", namespace, one_shard
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
    with answering(json_) as answer:
        run = graftwork.submit(
            pipeline,
            _settings(config_file, set_),
            **address,
            site=_site(site),
            experiment=experiment,
            run_name=run_name,
            service_account=service_account,
            cache=not no_cache,
        )
        _tell_version(run.pipeline, run.version, answer)
        answer.say(f"run       {run.run_id}", run=run.run_id)
        answer.say(f"follow    {run.link}", link=run.link)
        if watch_:
            follow(run.kubeflow, run.run_id, answer)


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
    from graftwork.kubeflow.schedules import TIME_ZONE

    with answering(json_) as answer:
        made = graftwork.schedule(
            pipeline,
            _settings(config_file, set_),
            cron=cron,
            schedule_name=name,
            catchup=not no_catchup,
            max_concurrency=max_concurrency,
            **address,
            site=_site(site),
            experiment=experiment,
            service_account=service_account,
        )
        _tell_version(made.pipeline, made.version, answer)
        answer.say(f"schedule  {made.name}, {made.change}", schedule=made.name, change=made.change, cron=made.cron)
        times = ", ".join(f"{time:%a %d %b %H:%M}" for time in made.due)
        answer.say(f"due       {times} in {TIME_ZONE}", due=[time.isoformat() for time in made.due])


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


def _settings(config_file: str | None, sets: list[str] | None) -> "Config":
    from graftwork import config

    return config.load(config_file, dict(config.parse_override(text) for text in sets or []))


def _tell_version(pipeline: str, version: "Version | None", answer: Answer) -> None:
    facts = {"pipeline": pipeline, "version": version and version.name, "uploaded": bool(version and version.new)}
    if version:
        answer.say(f"pipeline  {pipeline} {version.name}{'' if version.new else ', as it was there'}", **facts)
    else:
        answer.say(
            f"pipeline  {pipeline}, without the cache: sent with this run, it is no version on the server", **facts
        )
