"""What all settings have in common, and amounts as Kubernetes writes them."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
"""Kubernetes quantities, as far as they make sense for CPUs and memory."""

_FACTORS = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


class Settings(BaseModel):
    """Settings that refuse unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, defer_build=True)


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Quantity = Annotated[str, Field(pattern=QUANTITY), BeforeValidator(_as_text)]
"""An amount such as 20Gi, 500M or 4; YAML reads the last of them as a number."""


def quantity(text: str) -> float:
    """Return the number that a Kubernetes quantity such as "20Gi" stands for."""
    digits = text.rstrip("mkMGTi")
    return float(digits) * _FACTORS.get(text[len(digits) :], 1)
