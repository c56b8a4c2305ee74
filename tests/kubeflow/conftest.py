"""A fake Kubeflow for every test of this room that wants one."""

from collections.abc import Iterator
from pathlib import Path

import kfp
import pytest

from fake_kubeflow import FakeKubeflow


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubeflow]:
    """A server; it has been spoken to as its contract says. KFP's client forgets what it keeps in the user's home."""
    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    with FakeKubeflow() as server:
        yield server
    assert server.violations == []
