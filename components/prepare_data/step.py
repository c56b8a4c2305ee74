"""The step as a pipeline runs it: KFP artifacts and parameters in, metadata and metrics out."""

from pathlib import Path
from typing import Any

from graftwork.artifacts.folder import write_json
from graftwork.components.prepare_data.prepare import prepare
from graftwork.config import PrepareConfig, validated
from graftwork.progress import step


@step("prepare_data")
def run(data: str, fingerprint: str, input_size: int, images: Any, metrics: Any, settings: dict[str, Any]) -> None:
    """Prepare `data` into the KFP artifact `images`."""
    config = validated(PrepareConfig, settings, "the parameter prepare")
    written = prepare(data, fingerprint, input_size, images.path, config)
    images.metadata["classes"] = len(written.classes)
    images.metadata["fingerprint"] = written.fingerprint
    results = {f"{split}_images": written.size(split) for split in written.counts}
    results |= {"rejected": written.rejected, "duplicates": written.duplicates}
    for name, value in results.items():
        metrics.log_metric(name, value)
    write_json(Path(metrics.path), results)
