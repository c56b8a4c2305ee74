"""The step as a pipeline runs it."""

from graftwork.components.fingerprint_source.fingerprint import fingerprint_data, fingerprint_model
from graftwork.progress import step


@step("fingerprint_source")
def run(data: str, base_model: str) -> tuple[str, str]:
    """Return the fingerprints of the data and of the base model."""
    return fingerprint_data(data), fingerprint_model(base_model)
