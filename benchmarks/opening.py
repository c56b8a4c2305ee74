"""What opening a saved model costs, against what Keras itself takes to load it: at most twice, the proof apart.

    make bench-opening           or: python benchmarks/opening.py [--repeats 7]

Files of Keras 3 are compared with keras.saving.load_model, those of Keras 2 with tf_keras.models.load_model; both as
medians in one process, in turn, after each has been run once to warm up. The proof, which runs the original and the
converted model on a batch, is timed apart and not counted. Prints a Markdown table and writes benchmarks/opening.json.
"""

import argparse
import gc
import json
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tf_keras

from graftwork.base_models.formats.keras2 import open as keras2
from graftwork.base_models.open import open_file
from graftwork.base_models.opened import Request

CASES = (
    *((keras, name, format) for name in ("MobileNetV2", "ResNet50", "VGG16") for format in ("keras", "h5")),
    *((tf_keras, name, format) for name in ("MobileNetV2", "ResNet50") for format in ("keras", "h5", "saved_model")),
)
ALLOWED = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # that .h5 is a legacy format
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)
    proof = Stopwatch(keras2.require_same_outputs)
    keras2.require_same_outputs = proof
    results = []
    print("| file | size | Keras alone | graftwork | ratio | the proof |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for module, name, format in CASES:
        with tempfile.TemporaryDirectory(prefix="graftwork-bench-") as folder:
            path = Path(folder) / f"{name}.{format}"
            getattr(module.applications, name)(weights=None).save(str(path))
            result = compare(module, path, arguments.repeats, proof)
        kind = {"keras": ".keras", "h5": ".h5", "saved_model": "SavedModel"}[format]
        result = {"file": f"{name}, {kind} of Keras {3 if module is keras else 2}", **result}
        proven = f"{result['proof']:.2f} s" if result["proof"] else "not needed"
        print(
            f"| {result['file']} | {result['bytes'] / 2**20:.0f} MiB | {result['plain']:.2f} s "
            f"| {result['graftwork']:.2f} s | {result['ratio']:.2f} | {proven} |",
            flush=True,
        )
        results.append(result)
    Path(__file__).with_suffix(".json").write_text(json.dumps(results, indent=2) + "\n")
    worst = max(results, key=lambda result: result["ratio"])
    print(f"\nthe largest ratio is {worst['ratio']:.2f}, of {worst['file']}; allowed are {ALLOWED:g}")


class Stopwatch:
    """A function that adds up how long it takes.

    Attributes:
        seconds: All calls so far.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.seconds = function, 0.0

    def __call__(self, *args: Any) -> Any:
        started = time.perf_counter()
        try:
            return self.function(*args)
        finally:
            self.seconds += time.perf_counter() - started


def compare(module: Any, path: Path, repeats: int, proof: Stopwatch) -> dict[str, Any]:
    """Return the medians in seconds: Keras alone, graftwork without the proof, and the proof."""
    plain, ours, proofs = [], [], []
    for _ in range(1 + repeats):  # the first to warm up
        plain.append(seconds(lambda: module.models.load_model(str(path), compile=False)))
        before = proof.seconds
        total = seconds(lambda: open_file(path, Request(str(path))))
        proofs.append(proof.seconds - before)
        ours.append(total - proofs[-1])
    result = {"plain": median(plain[1:]), "graftwork": median(ours[1:]), "proof": median(proofs[1:])}
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {
        "bytes": sum(file.stat().st_size for file in files),
        **result,
        "ratio": result["graftwork"] / result["plain"],
    }


def seconds(function: Callable[[], Any]) -> float:
    for module in (keras, tf_keras):
        module.backend.clear_session()
    gc.collect()
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
