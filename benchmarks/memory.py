"""Peak memory of every step, at 5,000 and at 50,000 images: it should not grow with their number.

    make bench-memory            or: python benchmarks/memory.py [--images 5000 50000]
    python benchmarks/memory.py --network ResNet50 --images 120 400 --output benchmarks/memory-resnet50.json

Every step runs in a process of its own on the same small base, so what differs is the number of images alone. With
--network the base is a network of keras.applications without trained weights, at its own input size. Prints a Markdown
table and writes benchmarks/memory.json.
"""

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

STEPS = (
    "fingerprint_source",
    "ingest_images",
    "prepare_data",
    "extract_features",
    "train_head",
    "fine_tune",
    "evaluate",
    "select_model",
    "check_data",
    "judge",
    "promote",
    "find_champion",
    "report_outcome",
    "batch_predict",
)
SIZE, CLASSES = 32, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs=2, default=[5_000, 50_000])
    parser.add_argument("--network", default="", help="of keras.applications; else one of three layers")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        run_step(arguments.step, arguments.folder, arguments.network)
        return
    results = {}
    for count in arguments.images:
        with tempfile.TemporaryDirectory(prefix="graftwork-bench-") as folder:
            make_images(Path(folder) / "photos", count)
            results[count] = {
                step: measure(step, Path(folder), arguments.network) for step in ("load_base_model", *STEPS)
            }
    few, many = arguments.images
    print(f"\n| step | {few:,} images | {many:,} images | ratio |")
    print("| --- | ---: | ---: | ---: |")
    for step in STEPS:
        low, high = results[few][step]["peak_mib"], results[many][step]["peak_mib"]
        print(f"| {step} | {low:.0f} MiB | {high:.0f} MiB | {high / low:.2f} |")
    arguments.output.write_text(json.dumps(results, indent=2) + "\n")


def measure(step: str, folder: Path, network: str) -> dict[str, float]:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONSAFEPATH": "1"}
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder), "--network", network]
    started = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{step} failed:\n{done.stdout}\n{done.stderr}")
    peak = float(done.stdout.strip().splitlines()[-1])
    print(f"{step}: {peak:.0f} MiB, {time.monotonic() - started:.0f} s", flush=True)
    return {"peak_mib": peak, "seconds": time.monotonic() - started}


def run_step(step: str, folder: Path, network: str) -> None:
    from graftwork.config import FineTuneConfig, HeadConfig, PrepareConfig
    from graftwork.reporting.progress import peak_memory_mib

    photos = str(folder / "photos")
    if step == "load_base_model":
        from graftwork.components.load_base_model.load import load_base_model

        base(network).save(folder / "base.keras")
        load_base_model(str(folder / "base.keras"), folder / "base")
    elif step == "fingerprint_source":
        from graftwork.components.fingerprint_source.fingerprint import fingerprint_data

        fingerprint_data(photos)
    elif step == "ingest_images":
        from graftwork.artifacts import model
        from graftwork.components.ingest_images.ingest import ingest
        from graftwork.data.shards import WHOLE

        ingest(photos, "0", WHOLE, max(model.read(folder / "base").input_size), folder / "ingested")
    elif step == "prepare_data":
        from graftwork.components.prepare_data.prepare import prepare

        prepare([folder / "ingested"], folder / "images", PrepareConfig())
    elif step == "extract_features":
        from graftwork.components.extract_features.extract import extract_features

        extract_features(folder / "images", folder / "base", folder / "features")
    elif step == "train_head":
        from graftwork.components.train_head.train import train_head

        train_head([folder / "features"], folder / "base", folder / "head", HeadConfig(epochs=2), 0)
    elif step == "fine_tune":
        from graftwork.components.fine_tune.fine_tune import fine_tune

        config = FineTuneConfig(layers=1, epochs=1)
        fine_tune(folder / "images", folder / "head", folder / "tuned", config, 0)
    elif step == "evaluate":
        from graftwork.components.evaluate.evaluate import evaluate

        evaluate(folder / "images", [folder / "head", folder / "tuned"], folder / "evaluation", seed=0)
    elif step == "select_model":
        from graftwork.components.select_model.select import select_model

        select_model(folder / "evaluation", [folder / "head", folder / "tuned"], folder / "selected")
    elif step == "check_data":
        from graftwork.artifacts import images, model, trained_on
        from graftwork.components.check_data.check import check
        from graftwork.components.promote.promote import training_record
        from graftwork.config import DriftConfig

        # The champion has seen the same as the head, but nothing of one image in sixteen.
        shutil.copytree(folder / "head", folder / "champion")
        known = training_record(images.read(folder / "images"), model.read(folder / "champion"))
        known = dataclasses.replace(known, seen=known.seen[known.seen % 16 > 0])
        trained_on.write(folder / "champion" / model.TRAINED_ON, known)
        check(folder / "images", folder / "champion", DriftConfig(), seed=0)
    elif step == "judge":
        from graftwork.components.judge.judge import judge
        from graftwork.config import DriftConfig, GateConfig

        paths = [folder / name for name in ("images", "evaluation", "tuned", "champion")]
        judge(*paths, "", GateConfig(), DriftConfig(), seed=0)
    elif step == "promote":
        from graftwork.components.promote.promote import promote
        from graftwork.registry.registry import Author, Registry

        registry = Registry(str(folder / "models"), "squares")
        promote(registry, folder / "images", folder / "tuned", None, {}, Author("benchmark"))
    elif step == "find_champion":
        from graftwork.components.find_champion.find import find

        find(str(folder / "models"), "squares", folder / "found", "0-0", "both", "benchmark")
    elif step == "report_outcome":
        from graftwork.components.report_outcome.report import outcome_of

        outcome_of(str(folder / "models"), "squares", "benchmark", "SUCCEEDED")
    elif step == "batch_predict":
        from graftwork.prediction.model import open_model

        open_model(folder / "tuned").predict_to(photos, folder / "labels.parquet")
    print(peak_memory_mib())


def base(network: str) -> "keras.Model":
    import keras

    if network:
        return getattr(keras.applications, network)(weights=None)
    layers = keras.layers
    stack = [keras.Input((SIZE, SIZE, 3)), layers.Rescaling(1 / 255), layers.Conv2D(32, 3, 2, activation="relu")]
    stack += [layers.Conv2D(512, 3, 2, activation="relu"), layers.GlobalAveragePooling2D(), layers.Dense(2)]
    return keras.Sequential(stack)


def make_images(folder: Path, count: int) -> None:
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for label in range(CLASSES):
        (folder / str(label)).mkdir(parents=True)
    for number in range(count):
        label = number % CLASSES
        pixels = random.integers(0, 128, (28, 28, 3), dtype=np.uint8)
        pixels[..., label % 3] += np.uint8(40 * (1 + label // 3))
        Image.fromarray(pixels).save(folder / str(label) / f"{number}.png")


if __name__ == "__main__":
    main()
