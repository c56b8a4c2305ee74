"""Kubernetes' rules: what they allow goes through, what they do not is refused in words."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftwork.errors import UserError
from graftwork.kubeflow import names

ENDS, INNER = string.ascii_lowercase + string.digits, string.ascii_lowercase + string.digits + "-"
LABELS = st.builds(
    lambda first, middle, last: f"{first}{middle}{last}"[:63].rstrip("-"),
    st.sampled_from(ENDS),
    st.text(INNER, max_size=61),
    st.sampled_from(ENDS),
)
SUBDOMAINS = st.lists(LABELS, min_size=1, max_size=3).map(".".join)


@given(LABELS)
def test_a_label_is_a_subdomain_of_one_part(name: str) -> None:
    assert names.LABEL.allows(name)
    assert names.SUBDOMAIN.allows(name)
    assert names.LABEL_VALUE.allows(name)


@given(SUBDOMAINS)
def test_only_subdomains_hold_dots(name: str) -> None:
    assert names.SUBDOMAIN.allows(name)
    assert names.LABEL.allows(name) == ("." not in name)


@given(SUBDOMAINS, st.characters(exclude_characters=INNER + "."), st.integers(0, 300))
def test_another_character_anywhere_spoils_a_name(name: str, character: str, place: int) -> None:
    spoiled = name[:place] + character + name[place:]
    assert not names.SUBDOMAIN.allows(spoiled)
    assert not names.LABEL.allows(spoiled)


@given(SUBDOMAINS, st.sampled_from("-."))
def test_a_name_neither_begins_nor_ends_nor_has_a_part_that_does_with_a_dash_or_a_dot(name: str, end: str) -> None:
    for spoiled in (name + end, end + name, f"{name}.{end}{name}", f"{name}{end}.{name}"):
        assert not names.SUBDOMAIN.allows(spoiled)


@pytest.mark.parametrize(("rule", "longest"), [(names.LABEL, 63), (names.SUBDOMAIN, 253), (names.LABEL_VALUE, 63)])
def test_names_have_a_longest(rule: names.Rule, longest: int) -> None:
    assert rule.allows("a" * longest)
    assert not rule.allows("a" * (longest + 1))


def test_a_line_end_is_no_part_of_a_name() -> None:
    assert not names.SUBDOMAIN.allows("secret\n")
    with pytest.raises(UserError):
        names.check_image("graftwork:1\n")


def test_a_refusal_names_what_was_given_and_what_is_expected() -> None:
    with pytest.raises(UserError) as refused:
        names.check("the name of the service account", "Pipeline_Runner", names.SUBDOMAIN)
    assert "Kubernetes does not take the name of the service account" in str(refused.value)
    assert "'Pipeline_Runner'" in str(refused.value)
    assert names.SUBDOMAIN.expected in str(refused.value)


@pytest.mark.parametrize(
    "image",
    [
        "graftwork",
        "graftwork:0.1.0-gpu",
        "localhost:5000/team/graft_work:latest",
        "REGISTRY.example.com/a/b--c.d:V1",
        "ghcr.io/a/b@sha256:" + "0" * 64,
        "ghcr.io/a/b:1@sha256:" + "a" * 64,
    ],
)
def test_an_image_is_what_registries_name_so(image: str) -> None:
    names.check_image(image)


@pytest.mark.parametrize(
    "image",
    [
        "",
        "Graftwork:1",
        "https://ghcr.io/a/b",
        "a/b:",
        "a b",
        "a//b",
        "a/b:1:2",
        "a/b@sha256:12",
        "a" * 256,
        "-a",
        "a.",
    ],
)
def test_other_references_are_no_images(image: str) -> None:
    with pytest.raises(UserError, match="no image that a node could pull"):
        names.check_image(image)


def test_labels_and_annotations_that_platforms_use_go_through() -> None:
    names.check_labels({"team": "Vision_1.a", "example.com/cost-centre": "", "a/B_c.d": "x" * 63})
    names.check_annotations({"sidecar.istio.io/inject": "false", "example.com/note": "any text: \u00fc, {}, \n"})


@pytest.mark.parametrize(
    "labels",
    [
        {"": "x"},
        {"a": "x" * 64},
        {"a": "-x"},
        {"a": "x y"},
        {"/a": "x"},
        {"a/": "x"},
        {"A.example/a": "x"},
        {"a/b/c": "x"},
        {"x" * 64: "a"},
        {"_a": "x"},
    ],
)
def test_labels_that_kubernetes_would_refuse_are_refused_here(labels: dict[str, str]) -> None:
    with pytest.raises(UserError, match="Kubernetes does not take"):
        names.check_labels(labels)


def test_annotations_have_the_keys_of_labels_a_total_and_nothing_that_argo_reads() -> None:
    for annotations, expected in (
        ({"a b": "x"}, "the key of the annotation"),
        ({"a": "x" * 262_144}, "longer than Kubernetes takes"),
        ({"a": "{{workflow.name}}"}, "Argo would read"),
    ):
        with pytest.raises(UserError, match=expected):
            names.check_annotations(annotations)
