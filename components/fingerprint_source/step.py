"""The step as a pipeline runs it."""

from graftwork.components.fingerprint_source.fingerprint import fingerprint_data, fingerprint_model
from graftwork.config import MOST_SHARDS
from graftwork.data.shards import shards
from graftwork.errors import UserError
from graftwork.reporting.progress import result, step


@step("fingerprint_source")
def run(data: str, base_model: str, custom_objects: str, ingest_shards: int) -> tuple[str, str, list[str]]:
    """Return the fingerprints of the data and of the base model, and the shards in which to ingest the data."""
    if ingest_shards < 1:
        raise UserError(f"ingest_shards is {ingest_shards}", {"expected": "1 or more"})
    items = shards(min(ingest_shards, MOST_SHARDS))
    of_data, of_model = fingerprint_data(data), fingerprint_model(base_model, custom_objects)
    result({"step": "fingerprint_source", "data": of_data, "base_model": of_model})
    return of_data, of_model, items
