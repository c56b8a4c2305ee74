"""What Kubernetes says a pod waits for, and nothing where it does not say."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from graftwork.kubeflow.pods import Pods

from fake_cluster import FakeCluster

RUN, NODE = "5b2c", "grafting-abc12-17"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    with FakeCluster() as server:
        monkeypatch.setenv("KUBECONFIG", str(server.configuration(tmp_path)))
        yield server


@pytest.mark.parametrize(
    ("reason", "message", "told"),
    [
        ("ContainerCreating", "", "starting, pulling the image"),
        ("PodInitializing", "", "starting, pulling the image"),
        ("ImagePullBackOff", "Back-off pulling image", "ImagePullBackOff: Back-off pulling image"),
        ("CreateContainerConfigError", "", "CreateContainerConfigError"),
    ],
)
def test_for_its_container(cluster: FakeCluster, reason: str, message: str, told: str) -> None:
    cluster.pending(RUN, NODE, waiting=reason, message=message)
    assert Pods("kubeflow").waiting(RUN) == {NODE: told}


def test_for_a_node_in_the_schedulers_words(cluster: FakeCluster) -> None:
    said = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    cluster.pending(RUN, NODE, unschedulable=said)
    cluster.pending("another", "run-1", unschedulable=said)
    assert Pods("kubeflow").waiting(RUN) == {NODE: f"waiting for a node: {said}"}


def test_whoever_may_not_look_is_told_nothing_and_asks_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeCluster(forbidden=True) as server:
        monkeypatch.setenv("KUBECONFIG", str(server.configuration(tmp_path)))
        pods = Pods("kubeflow")
        assert pods.waiting(RUN) == pods.waiting(RUN) == {}
        assert len(server.asked) == 1


def test_without_a_configuration_nothing_is_asked(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    assert Pods("kubeflow").waiting(RUN) == {}
    assert capfd.readouterr() == ("", "")
