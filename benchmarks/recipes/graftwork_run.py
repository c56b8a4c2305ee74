"""graftwork's default: every step, from the images and the saved model to the selected classifier and its report."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from .contestants import DEFAULT_EPOCHS
from .inputs import Inputs
from .processes import Evaluate


def as_typed(inputs: Inputs, scratch: Path, epochs: int) -> Evaluate:
    """`graftwork run` on the digits and the .keras file, into a fresh folder; input size and seed are set."""
    output = scratch / "run"
    command = [Path(sys.executable).with_name("graftwork"), "run", "--data", inputs.source]
    command += ["--base-model", inputs.folder / "source" / "efficientnet-lite0.keras", "--output", output]
    assignments = ["input_size=96", f"seed={inputs.seed}"]
    if epochs != DEFAULT_EPOCHS:  # a trial of the benchmark itself
        assignments += [f"fine_tune.epochs={epochs}", f"head.epochs={epochs}"]
    for assignment in assignments:
        command += ["--set", assignment]
    subprocess.run([str(part) for part in command], check=True)
    return lambda: _found(json.loads((output / "metrics.json").read_text(encoding="utf-8")))


def in_one_process(inputs: Inputs, scratch: Path, epochs: int) -> Evaluate:
    """The same steps as functions, one after the other in this process."""
    from graftwork.components.evaluate.evaluate import evaluate
    from graftwork.components.extract_features.extract import extract_features
    from graftwork.components.fine_tune.fine_tune import fine_tune
    from graftwork.components.fingerprint_source.fingerprint import fingerprint_data
    from graftwork.components.ingest_images.ingest import ingest
    from graftwork.components.load_base_model.load import load_base_model
    from graftwork.components.prepare_data.prepare import prepare
    from graftwork.components.select_model.select import select_model
    from graftwork.components.train_head.train import train_head
    from graftwork.config import FineTuneConfig, HeadConfig, PrepareConfig
    from graftwork.data.shards import WHOLE

    trial = {} if epochs == DEFAULT_EPOCHS else {"epochs": epochs}
    source = str(inputs.source)
    fingerprint = fingerprint_data(source)
    base = load_base_model(str(inputs.folder / "source" / "efficientnet-lite0.keras"), scratch / "base", input_size=96)
    ingest(source, fingerprint, WHOLE, base.input_size[0], scratch / "ingested")
    prepare([scratch / "ingested"], scratch / "images", PrepareConfig())
    extract_features(scratch / "images", scratch / "base", scratch / "features")
    train_head([scratch / "features"], scratch / "base", scratch / "head", HeadConfig(**trial), inputs.seed)
    fine_tune(scratch / "images", scratch / "head", scratch / "tuned", FineTuneConfig(**trial), inputs.seed)
    candidates = [scratch / "head", scratch / "tuned"]
    evaluate(scratch / "images", candidates, scratch / "evaluation", inputs.seed)
    selected = select_model(scratch / "evaluation", candidates, scratch / "model")
    return lambda: _found(selected.summary)


def _found(metrics: dict[str, Any]) -> dict[str, Any]:
    return {"test_accuracy": metrics["test"]["accuracy"], "profile": metrics.get("profile", {})}
