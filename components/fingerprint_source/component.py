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
        data: A folder with one sub-folder per class, or a .csv, .jsonl or .parquet table; a path or gs:// URI.
        base_model: A .keras, .h5 or SavedModel (a path or gs:// URI), the name of a keras.applications model, or hub:
            and that of a KerasHub preset.
        custom_objects: A module, or a .py file (a path or gs:// URI), that registers the classes the base needs.
        ingest_shards: Over how many machines the reading of the images fans out; at most 128, as many as KFP
            can list in one argument of a command.

    Returns:
        data_fingerprint: SHA-256 over names, sizes and versions of all files.
        base_model_fingerprint: The same for the model and its custom objects.
        shards: The shares, as in 1/4, for ingest_images.
    """
    from graftwork.components.fingerprint_source.step import run

    return run(data, base_model, custom_objects, ingest_shards)
