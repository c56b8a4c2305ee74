"""Kubernetes' rules for names, labels and annotations, and a registry's for images: checked before anything is sent."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from graftwork.errors import UserError

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_PATH = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*(:[0-9]+)?"
_IMAGE = re.compile(
    rf"(?P<name>({_HOST}/)?{_PATH}(/{_PATH})*)(:[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(@[a-z0-9+._-]+:[0-9A-Fa-f]{{32,}})?"
)
_IMAGE_NAME_LONGEST, _IMAGE_LONGEST = 255, 1000
_ANNOTATIONS_BYTES = 256 * 1024
_EXPRESSION = "{{"
"""Where Argo, which hands labels and annotations over, would put in something else."""


@dataclass(frozen=True)
class Rule:
    """What a name may be.

    Attributes:
        pattern: That the whole of it matches.
        longest: In characters.
        expected: The rule in words.
    """

    pattern: str
    longest: int
    expected: str

    def allows(self, name: str) -> bool:
        """Return whether a name is one."""
        return len(name) <= self.longest and re.fullmatch(self.pattern, name) is not None


SUBDOMAIN = Rule(
    rf"{_LABEL}(\.{_LABEL})*",
    253,
    "small letters, digits, - and ., a letter or digit at both ends of each part, at most 253 characters",
)
"""RFC 1123 subdomain: secrets, persistent volume claims, service accounts."""
LABEL = Rule(_LABEL, 63, "small letters, digits and -, a letter or digit at both ends, at most 63 characters")
"""RFC 1123 label: namespaces, volumes."""
LABEL_VALUE = Rule(
    rf"({_QUALIFIED})?", 63, "letters, digits, -, _ and ., a letter or digit at both ends, at most 63 characters"
)
KEY_NAME = Rule(_QUALIFIED, 63, LABEL_VALUE.expected)
"""Of a label or annotation, behind the prefix if it has one."""


def check(what: str, name: str, rule: Rule, why: str = "") -> None:
    """Refuse a name that Kubernetes would refuse.

    Args:
        what: What the text is, as in "the name of the service account".
        name: The text.
        rule: For texts of that kind.
        why: The rule holds, where that is not plain.

    Raises:
        UserError: The rule does not allow it.
    """
    if not rule.allows(name):
        facts = {"given": repr(name), "expected": rule.expected}
        raise UserError(f"Kubernetes does not take {what}", {**facts, "why": why} if why else facts)


def check_image(image: str) -> None:
    """Refuse what is no reference of an image.

    Raises:
        UserError: It is none.
    """
    match = _IMAGE.fullmatch(image) if len(image) <= _IMAGE_LONGEST else None
    if not match or len(match["name"]) > _IMAGE_NAME_LONGEST:
        facts = {
            "given": repr(image),
            "expected": "REGISTRY/NAME:TAG or REGISTRY/NAME@DIGEST, the name in small letters",
        }
        raise UserError("this is no image that a node could pull", facts)


def check_labels(labels: Mapping[str, str]) -> None:
    """Refuse labels that Kubernetes would refuse.

    Raises:
        UserError: A key or a value is against its rules.
    """
    _check_keys("label", labels)
    for key, value in labels.items():
        check(f"the value of the label {key}", value, LABEL_VALUE)


def check_annotations(annotations: Mapping[str, str]) -> None:
    """Refuse annotations that Kubernetes would refuse, and those that Argo would change on the way.

    Raises:
        UserError: A key is against the rules, a value holds what Argo reads, or all together are too long.
    """
    _check_keys("annotation", annotations)
    for key, value in annotations.items():
        if _EXPRESSION in value:
            facts = {"given": value, "expected": f"anything without {_EXPRESSION}"}
            raise UserError(f"Argo would read the annotation {key} as an expression", facts)
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > _ANNOTATIONS_BYTES:
        facts = {"given": f"{size:,} bytes", "expected": f"at most {_ANNOTATIONS_BYTES:,} bytes"}
        raise UserError("the annotations are longer than Kubernetes takes", facts)


def _check_keys(what: str, keys: Iterable[str]) -> None:
    for key in keys:
        prefix, slash, name = key.rpartition("/")
        if slash:
            check(f"the prefix of the {what} {key!r}", prefix, SUBDOMAIN)
        check(f"the key of the {what} {key!r}", name, KEY_NAME)
