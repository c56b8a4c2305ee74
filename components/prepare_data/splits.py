"""Which split an image belongs to: a function of the image alone, so it never moves when others are added."""

import hashlib

from graftwork.config import PrepareConfig


def split_of(key: str, group: str | None, config: PrepareConfig) -> str:
    """Return "train", "validation" or "test".

    Args:
        key: SHA-256 of the image's bytes, in hexadecimal.
        group: Images of one group always share a split; None for an image of its own.
        config: The shares of validation and test.
    """
    own = key if group is None else hashlib.sha256(f"group {group}".encode()).hexdigest()
    position = int(own[:16], 16) / 2**64  # uniform in [0, 1)
    if position < config.test_fraction:
        return "test"
    return "validation" if position < config.test_fraction + config.validation_fraction else "train"
