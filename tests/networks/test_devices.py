"""What the devices of this machine mean for a network."""

from pathlib import Path

import pytest
import tensorflow as tf

from graftwork.networks import devices


def test_one_device_needs_no_copies_of_the_network():
    assert devices.strategy(["CPU:0"]).num_replicas_in_sync == 1
    assert devices.compiles() == bool(tf.config.list_physical_devices("GPU"))


@pytest.mark.parametrize(
    ("given", "files", "expected"),
    [
        (None, [], False),
        ("", [], False),
        ("void", [], False),
        ("none", ["nvidiactl"], False),
        ("GPU-4e1f", [], True),
        ("all", [], True),
        (None, ["nvidia0"], True),
    ],
)
def test_a_gpu_that_is_given_and_not_seen_is_told(
    given: str | None,
    files: list[str],
    expected: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("NVIDIA_VISIBLE_DEVICES", raising=False)
    if given is not None:
        monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", given)
    for file in files:
        (tmp_path / file).touch()
    monkeypatch.setattr(devices, "_DEVICE_FILES", tmp_path)
    devices.warn_of_missing_gpu()
    seen = bool(tf.config.list_physical_devices("GPU"))
    assert ("warning: there is a GPU, but" in capsys.readouterr().out) == (expected and not seen)
