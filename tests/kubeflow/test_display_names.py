"""Names: free text but for what the server, Argo or Kubernetes could not use."""

from typing import Literal

import pytest

from graftwork.errors import UserError
from graftwork.kubeflow.display_names import check_name

KINDS: tuple[Literal["run", "schedule", "experiment"], ...] = ("run", "schedule", "experiment")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["nightly", "Vögel, 2026-11-27 03:30:00 (zweiter Versuch)", "鳥", "a/b.c_d", "x" * 128]
)
def test_free_text_is_a_name(kind: Literal["run", "schedule", "experiment"], name: str) -> None:
    check_name(kind, name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (" ", "is empty"),
        ("to\nnight", "line breaks"),
        ("run {{workflow.name}}", "Argo takes for a variable"),
        ("ü" * 128, r"is too long[\s\S]*bytes +256"),
    ],
)
def test_what_nobody_could_use_is_refused(
    kind: Literal["run", "schedule", "experiment"], name: str, expected: str
) -> None:
    with pytest.raises(UserError, match=expected):
        check_name(kind, name)


def test_each_kind_has_a_length_of_its_own() -> None:
    check_name("run", "x" * 255)
    check_name("schedule", "x" * 255)
    with pytest.raises(UserError, match=r"bytes +129[\s\S]*128 at most"):
        check_name("experiment", "x" * 129)


@pytest.mark.parametrize("name", ["-nightly", "Ü-nightly", "- 3"])
def test_a_schedule_becomes_a_resource_in_kubernetes(name: str) -> None:
    check_name("run", name)
    with pytest.raises(UserError, match="before the first hyphen"):
        check_name("schedule", name)
