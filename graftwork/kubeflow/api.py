"""Submitting and scheduling in one call each, from whatever a user has: the command line is a thin layer over it."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from graftwork.config import Config, StepsConfig, as_parameters, settings_of
from graftwork.errors import UserError
from graftwork.kubeflow import names, schedules, submitting, versions
from graftwork.kubeflow.compiling import Compiled, compile_pipeline, read_compiled
from graftwork.kubeflow.connection import Kubeflow
from graftwork.kubeflow.display_names import check_name
from graftwork.kubeflow.fetching import EVERYTHING, fetch
from graftwork.kubeflow.showing import shown
from graftwork.kubeflow.site import Site
from graftwork.kubeflow.submitting import EXPERIMENT, Version
from graftwork.kubeflow.watching import Watched
from graftwork.reporting.shown import console

Place = str | os.PathLike[str]
_MOST_AT_ONCE = 10  # which the server enforces


@dataclass(frozen=True)
class ClusterRun:
    """A run on Kubeflow, which goes on whatever happens here.

    Attributes:
        run_id: As Kubeflow has it.
        kubeflow: The server.
        pipeline: Its name there, as in transfer-learning; "" where it is not known.
        version: The version of that pipeline which runs; None of a run without the cache, which belongs to none.

    Example:
        >>> run = graftwork.submit("transfer_learning", data="gs://photos/birds", base_model="gs://models/shelf.keras")
        >>> run.link.rpartition("/")[2] == run.run_id
        True
    """

    run_id: str
    kubeflow: Kubeflow = field(repr=False)
    pipeline: str = ""
    version: Version | None = None

    @classmethod
    def of(
        cls,
        run_id: str,
        *,
        host: str | None = None,
        namespace: str | None = None,
        token_file: Place | None = None,
        ca_file: Place | None = None,
        kube_context: str | None = None,
    ) -> Self:
        """Return a run that was started before, by its ID; the rest says where Kubeflow is, as for `submit`.

        Raises:
            UserError: Kubeflow cannot be reached, or does not let you in.
        """
        return cls(run_id, Kubeflow(host, namespace, token_file, ca_file, kube_context))

    @property
    def link(self) -> str:
        """The address of its page in Kubeflow's interface."""
        return self.kubeflow.link_to_run(self.run_id)

    def watch(self, quiet: bool = False) -> Watched:
        """Follow the run to its end, and print what its steps do and say, and what comes out.

        Args:
            quiet: Whether to print nothing.

        Returns:
            How it has ended: `state`, `reason`, `steps` and `results`.

        Raises:
            UserError: There is no such run, you are no longer let in, or the server does not answer for ten minutes.
        """
        return shown(self.kubeflow, self.run_id, console(sys.stdout, quiet))

    def fetch(self, output: Place = "graftwork-run", what: Sequence[str] = EVERYTHING) -> Path:
        """Bring what came out of the run to this machine, as after a run here: `graftwork.Run(output)` opens it.

        Args:
            output: Folder to write to; what it has of the same names is replaced.
            what: Any of "model", "report" and "metrics".

        Returns:
            The folder.

        Raises:
            UserError: The run has no such result, or it cannot be read from here.
        """
        fetch(self.kubeflow, self.run_id, Path(output), what)
        return Path(output)


@dataclass(frozen=True)
class Schedule:
    """A recurring run on Kubeflow, as `schedule` has left it: active.

    Attributes:
        name: Its name there.
        change: What was done: "created", "updated", "resumed", or "unchanged" where it was so already.
        cron: When it runs: second, minute, hour, day, month, weekday, in the time zone of Kubeflow's scheduler.
        due: The next times, if that time zone is UTC.
        pipeline: The name of the pipeline that runs.
        version: The version of it.

    Example:
        >>> settings = {"data": "gs://photos/birds", "base_model": "gs://models/shelf.keras"}
        >>> nightly = graftwork.schedule("transfer_learning", cron="30 3 * * *", schedule_name="birds", **settings)
        >>> nightly.change, f"{nightly.due[0]:%H:%M}"
        ('created', '03:30')
    """

    name: str
    change: str
    cron: str
    due: tuple[datetime, ...]
    pipeline: str
    version: Version


def submit(
    pipeline: Place,
    config: Place | Config | None = None,
    *,
    host: str | None = None,
    namespace: str | None = None,
    token_file: Place | None = None,
    ca_file: Place | None = None,
    kube_context: str | None = None,
    image: str | None = None,
    site: Site | None = None,
    experiment: str = EXPERIMENT,
    run_name: str | None = None,
    service_account: str | None = None,
    cache: bool = True,
    **settings: Any,
) -> ClusterRun:
    """Start a run on Kubeflow; the pipeline is uploaded if it has changed.

    Args:
        pipeline: "transfer_learning", "sweep" or "retraining", or a file that `graftwork compile` has written.
        config: A YAML file, or a `Config`; everything else that is given here goes before what it says.
        host: URL of the API; None for KF_PIPELINES_ENDPOINT, or this cluster's own.
        namespace: Yours, where Kubeflow has one for each team.
        token_file: File with a bearer token; None for KF_PIPELINES_TOKEN, or what a pod has.
        ca_file: Certificates to check the server's against; None for the usual ones.
        kube_context: Without a host: context of the Kubernetes configuration.
        image: In which every step runs; None for the site's.
        site: What else is fixed for a cluster, as the options of `graftwork compile`; None for nothing.
        experiment: Under which the run is listed; created if it is not there.
        run_name: What to call the run; None for the pipeline and the time.
        service_account: Kubernetes service account of the pods; None for the server's default.
        cache: Whether results of earlier runs may be used again.
        settings: Everything that a configuration says, see `Config`: `seed=7`; of a group of settings a mapping,
            `fine_tune={"layers": 5}`, which leaves the others of that group as they are.

    Returns:
        The run, as soon as it has started.

    Raises:
        UserError: A setting is wrong or says nothing to a cluster, Kubeflow cannot be reached or refuses.

    Example:
        >>> run = graftwork.submit("sweep", "birds.yaml", image="registry.example/graftwork:1", run_name="tonight")
        >>> run.pipeline, run.version.new
        ('sweep', True)
    """
    compiled, parameters = _job(pipeline, config, site, image, settings)
    run_name = run_name or f"{compiled.name} {datetime.now():%Y-%m-%d %H:%M:%S}"
    check_name("run", run_name)
    _check(experiment, service_account)
    kubeflow = Kubeflow(host, namespace, token_file, ca_file, kube_context)
    versions.check(kubeflow, compiled)
    version = submitting.upload(kubeflow, compiled) if cache else None
    run_id = submitting.submit(
        kubeflow,
        version or compiled,
        parameters,
        run_name=run_name,
        experiment_name=experiment,
        service_account=service_account,
    )
    return ClusterRun(run_id, kubeflow, compiled.name, version)


def schedule(
    pipeline: Place,
    config: Place | Config | None = None,
    *,
    cron: str,
    schedule_name: str | None = None,
    catchup: bool = True,
    max_concurrency: int = 1,
    host: str | None = None,
    namespace: str | None = None,
    token_file: Place | None = None,
    ca_file: Place | None = None,
    kube_context: str | None = None,
    image: str | None = None,
    site: Site | None = None,
    experiment: str = EXPERIMENT,
    service_account: str | None = None,
    **settings: Any,
) -> Schedule:
    """Let Kubeflow run a pipeline again and again. The same name again changes the schedule.

    Args:
        pipeline: "transfer_learning", "sweep" or "retraining", or a file that `graftwork compile` has written.
        config: A YAML file, or a `Config`; everything else that is given here goes before what it says.
        cron: Minute, hour, day, month, weekday: "30 3 * * *" is every night.
        schedule_name: What to call it; None for the pipeline's name. (`name` is a setting: the model's in a registry.)
        catchup: Whether runs that were missed are made up for.
        max_concurrency: How many of its runs may be under way at the same time, 1 to 10.
        host: URL of the API; None for KF_PIPELINES_ENDPOINT, or this cluster's own.
        namespace: Yours, where Kubeflow has one for each team.
        token_file: File with a bearer token; None for KF_PIPELINES_TOKEN, or what a pod has.
        ca_file: Certificates to check the server's against; None for the usual ones.
        kube_context: Without a host: context of the Kubernetes configuration.
        image: In which every step runs; None for the site's.
        site: What else is fixed for a cluster, as the options of `graftwork compile`; None for nothing.
        experiment: Under which its runs are listed; created if it is not there.
        service_account: Kubernetes service account of the pods; None for the server's default.
        settings: Everything that a configuration says, see `Config` and `submit`.

    Returns:
        The schedule; it is active.

    Raises:
        UserError: The cron expression or a setting is wrong or says nothing to a cluster, Kubeflow cannot be reached or
            refuses.

    Example:
        >>> hourly = graftwork.schedule("sweep", "birds.yaml", cron="0 * * * *", catchup=False)
        >>> hourly.name, hourly.change, hourly.cron
        ('sweep', 'created', '0 0 * * * *')
    """
    six_fields = schedules.parse_cron(cron)
    if not 1 <= max_concurrency <= _MOST_AT_ONCE:
        raise UserError(f"max_concurrency is {max_concurrency}", {"expected": f"1 to {_MOST_AT_ONCE}"})
    compiled, parameters = _job(pipeline, config, site, image, settings)
    name = schedule_name or compiled.name
    check_name("schedule", name)
    _check(experiment, service_account)
    kubeflow = Kubeflow(host, namespace, token_file, ca_file, kube_context)
    versions.check(kubeflow, compiled)
    version = submitting.upload(kubeflow, compiled)
    change = schedules.schedule(
        kubeflow,
        name,
        version,
        parameters,
        six_fields,
        max_concurrency=max_concurrency,
        catchup=catchup,
        experiment_name=experiment,
        service_account=service_account,
    )
    return Schedule(name, change, six_fields, tuple(schedules.next_times(six_fields)), compiled.name, version)


def _check(experiment: str, service_account: str | None) -> None:
    check_name("experiment", experiment)
    if service_account:
        names.check("the name of the service account", service_account, names.SUBDOMAIN)


def _job(
    pipeline: Place, config: Place | Config | None, site: Site | None, image: str | None, settings: dict[str, Any]
) -> tuple[Compiled, dict[str, Any]]:
    """Return the compiled pipeline and its parameters; whatever can be found wrong with them is found here."""
    chosen, site = settings_of(config, {}, settings), site or Site()
    steps = site.steps if chosen.cluster.steps == StepsConfig() else chosen.cluster.steps
    site = replace(site, image=image or site.image, steps=steps)
    if Path(pipeline).suffix in (".yaml", ".yml"):
        compiled = read_compiled(Path(pipeline))
        if site != Site():
            problem = "what belongs to the site is fixed in a compiled file"
            facts = {"file": pipeline, "fixed": "image, secrets, volume, labels, ... and cluster.steps"}
            raise UserError(problem, facts, next="compile it with these options, or name a pipeline here")
        if compiled.one_shard and not chosen.cluster.one_shard:
            shards = {f"cluster.{key}": getattr(chosen.cluster, key) for key in ("ingest_shards", "extract_shards")}
            next = ["compile it without --one-shard", "or leave both at 1"]
            raise UserError("the file was compiled for one shard", {"file": pipeline, **shards}, next)
    else:
        compiled = compile_pipeline(os.fspath(pipeline), site, one_shard=chosen.cluster.one_shard)
        if "/" not in compiled.image:
            print(
                f"note: the image {compiled.image} names no registry: every node has to have it already, "
                "or give another one: --image REGISTRY/NAME:TAG",
                file=sys.stderr,
            )
    submitting.check_for_cluster(chosen, compiled)
    parameters = as_parameters(chosen, compiled.parameters)
    missing = set(compiled.required) - set(parameters)
    if missing:
        facts = {"pipeline": pipeline, "parameters": ", ".join(sorted(missing))}
        raise UserError("the pipeline wants parameters that graftwork's configuration does not have", facts)
    return compiled, parameters
