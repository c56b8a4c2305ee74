"""What the files of a model artifact are called, for those who look at them without TensorFlow; see `model`."""

from graftwork.errors import UserError

SCHEMA = "graftwork.model/1"
EXTRAS = "assets.extra"
DESCRIPTION = f"{EXTRAS}/graftwork.json"
TRAINED_ON = f"{EXTRAS}/trained_on.npz"
HEAD_ON_BASE = "head"
"""The candidate that is the base model's network, unchanged, with a new head."""


def without_head(model: object) -> UserError:
    """Return the error for a base model where a classifier is expected.

    Args:
        model: Where it is.
    """
    return UserError("the model is a base without a head", {"model": model}, next="give a run's DIR/model")


def without_record(who: str, model: object) -> UserError:
    """Return the error for a model that cannot be compared, because nobody knows what it has seen.

    Args:
        who: As in "champion".
        model: Where it is.
    """
    facts = {"model": model, "expected": TRAINED_ON}
    next = "promote a model that this version of graftwork has made:  graftwork models promote FOLDER"
    return UserError(f"the {who} does not say which images it was trained on", facts, next)
