"""A pipeline of three small steps that need no TensorFlow."""

from pathlib import Path
from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Input, Metrics, Model, Output

from graftwork.running import local


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def look(value: str) -> str:
    from graftwork.reporting.progress import step

    @step("look")
    def run() -> str:
        return value

    return run()


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def make(value: str, behaviour: str, model: Output[Model]):  # type: ignore[no-untyped-def]
    import os
    from pathlib import Path

    from graftwork.errors import UserError
    from graftwork.reporting import progress

    @progress.step("make")
    def run() -> None:
        progress.report(1, 2, "things")
        progress.note(f"made of {value}")
        if behaviour == "mistake":
            raise UserError("the value is wrong", {"value": value}, next="pass another")
        if behaviour == "crash":
            raise RuntimeError("out of luck")
        if behaviour == "killed":
            os.kill(os.getpid(), 9)
        if behaviour == "slow":
            Path(value).write_text(str(os.getpid()))
            __import__("time").sleep(60)
        Path(model.path).mkdir(parents=True)
        (Path(model.path) / "value.txt").write_text(value)

    run()


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def show(model: Input[Model], metrics: Output[Metrics], report: Output[HTML]):  # type: ignore[no-untyped-def]
    from pathlib import Path

    from graftwork.reporting.progress import step

    @step("show")
    def run() -> None:
        Path(metrics.path).write_text('{"accuracy": 1}')
        Path(report.path).write_text("<html>")

    run()


class Results(NamedTuple):
    model: Model
    metrics: Metrics
    report: HTML


@dsl.pipeline(name="small")
def small(value: str, behaviour: str = "") -> Results:  # type: ignore[valid-type]
    looked = look(value=value)
    looked.set_caching_options(False)
    made = make(value=looked.output, behaviour=behaviour)
    shown = show(model=made.outputs["model"])
    return Results(made.outputs["model"], shown.outputs["metrics"], shown.outputs["report"])


def run(
    output: Path, value: str = "wood", behaviour: str = "", image: str | None = None
) -> tuple[local.Results, list[dict[str, Any]]]:
    """Run it here; the behaviour of the step in the middle is "", mistake, crash, killed or slow."""
    events: list[dict[str, Any]] = []
    results = local.run(small, {"value": value, "behaviour": behaviour}, output, events.append, image)
    return results, events
