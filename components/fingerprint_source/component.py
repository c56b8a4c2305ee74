"""The interface of the step to KFP."""

from typing import NamedTuple

from kfp import dsl

from graftwork.components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fingerprint_source(
    data: str,
    base_model: str,
    custom_objects: str = "",
    ingest_shards: int = 1,
) -> NamedTuple("Prints", [("data_fingerprint", str), ("base_model_fingerprint", str), ("shards", list)]):  # type: ignore[valid-type]
    """Look what the data and the base model hold now; whatever depends on what has not changed need not run again.

    Args:
        data: A folder or a table of labelled images; a path or gs:// URI.
        base_model: A model file or folder, or the name of a model.
        custom_objects: A module, or a .py file, that registers the classes the model needs.
        ingest_shards: Into how many shares to divide the reading of the data.

    Returns:
        data_fingerprint: SHA-256 over names, sizes and versions of all files.
        base_model_fingerprint: The same for the model and its custom objects.
        shards: The shares, as in 1/4, for ingest_images.
    """
    from graftwork.components.fingerprint_source.step import run

    return run(data, base_model, custom_objects, ingest_shards)
