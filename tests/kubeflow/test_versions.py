"""Which Kubeflow Pipelines a pipeline needs, and what becomes of one that is older."""

from pathlib import Path

import pytest
from kfp import compiler, dsl

from graftwork import pipelines
from graftwork.errors import UserError
from graftwork.kubeflow import versions
from graftwork.kubeflow.compiling import Compiled, compile_pipeline, read_compiled
from graftwork.kubeflow.connection import Kubeflow
from graftwork.kubeflow.site import Site

from fake_kubeflow import FakeKubeflow

OF_0_1 = Path(__file__).parents[1] / "from_0_1/compiled"


@pytest.fixture(scope="module")
def sweep() -> Compiled:
    return compile_pipeline("sweep", Site())


@pytest.fixture
def plain(tmp_path: Path) -> Compiled:
    """A pipeline that needs nothing in particular."""

    @dsl.component(base_image="python:3.11")
    def shout(text: str) -> str:
        return text.upper()

    @dsl.pipeline(name="shouting")
    def shouting(texts: list = ["a", "b"]):  # type: ignore[no-untyped-def,type-arg]  # noqa: B006
        with dsl.ParallelFor(texts, name="one by one") as text:
            shout(text=text)

    compiler.Compiler().compile(shouting, str(tmp_path / "shouting.yaml"))
    return read_compiled(tmp_path / "shouting.yaml")


@pytest.mark.parametrize("tag", ["2.5.0", "v2.4.1", "2.13.9", "2.0.5"])
def test_a_server_that_is_too_old_is_refused_with_what_it_cannot_do(
    fake: FakeKubeflow, sweep: Compiled, tag: str
) -> None:
    fake.tag = tag
    with pytest.raises(UserError) as refused:
        versions.check(Kubeflow(fake.url), sweep)
    assert "too old for the pipeline sweep" in str(refused.value)
    assert refused.value.facts["version"] == tag.removeprefix("v")
    assert "artifacts gathered from a loop" in refused.value.facts["needed"]


@pytest.mark.parametrize(
    "tag", ["2.16.0", "v2.17.0", "2.17", "3.0.0", "unknown", "", None, "latest", "a1b2c3d", "20.4"]
)
def test_one_that_is_new_enough_or_does_not_tell_is_let_through(
    fake: FakeKubeflow, sweep: Compiled, tag: str | None
) -> None:
    fake.tag = tag
    versions.check(Kubeflow(fake.url), sweep)


def test_a_pipeline_that_needs_nothing_runs_on_an_old_one(fake: FakeKubeflow, plain: Compiled) -> None:
    fake.tag = "2.0.5"
    assert list(versions.needs(plain)) == []
    versions.check(Kubeflow(fake.url), plain)


@pytest.mark.parametrize("name", pipelines.NAMES)
def test_what_every_pipeline_needs(name: str) -> None:
    needed = {since for since, _ in versions.needs(compile_pipeline(name, Site()))}
    assert {versions.PLACED_AT_RUNTIME, versions.GATHERED_FROM_LOOPS} <= needed


def test_a_file_of_an_earlier_graftwork_has_loops_with_names(fake: FakeKubeflow) -> None:
    fake.tag = "2.15.0"
    (file,) = OF_0_1.glob("transfer_learning*.yaml")
    with pytest.raises(UserError, match=r"2\.16\.0, for[\s\S]*compile it again"):
        versions.check(Kubeflow(fake.url), read_compiled(file))


@pytest.mark.parametrize(
    ("tag", "number"),
    [("2.14.0", (2, 14, 0)), ("v2.5", (2, 5, 0)), ("2.16.0-rc.1", (2, 16, 0)), ("2.4.1+dspo", (2, 4, 1))],
)
def test_versions_as_servers_write_them(tag: str, number: tuple[int, int, int]) -> None:
    assert versions.parse(tag) == number


@pytest.mark.parametrize("tag", ["unknown", "", None, "1234567", "2", "2.x", "2.4.1.5"])
def test_what_is_no_version(tag: str | None) -> None:
    assert versions.parse(tag) is None
