"""The linear head's regularisation path on cached features, beside scikit-learn's, over the same five penalties.

    make bench-head      or: python benchmarks/head.py [--rows 100000 --dimensions 2048 --classes 10 --repeats 3]

The features are made up: like those of a network they are not negative and correlated, with variances that fall off,
and the labels follow a linear rule with noise. Every fit runs in a process of its own, in turn: ours from the features
artifact, its standardisation included; scikit-learn's LogisticRegression (lbfgs, its own tolerance, warm start from
each penalty to the next) from a memory-mapped array that is standardised already. Prints a Markdown table and writes
benchmarks/head.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from graftwork.artifacts import features
from graftwork.artifacts.features import Split
from graftwork.components.train_head.linear import Objective, regularization_path
from graftwork.components.train_head.standardization import Standardization, standardization
from graftwork.config import HeadConfig
from graftwork.reporting.metering import Meter
from graftwork.reporting.progress import peak_memory_mib

PENALTIES = tuple(sorted(HeadConfig().l2, reverse=True))
STANDARDIZED = "standardized.npy"
Heads = dict[float, np.ndarray]
"""Kernel for standardised features and bias in the last row, float64 (d + 1, k), by the penalty."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=2048)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3, help="of ours")
    parser.add_argument("--scikit-learn-repeats", type=int, default=1, help="of scikit-learn, which takes minutes")
    parser.add_argument("--fit", choices=("graftwork", "scikit-learn"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.fit:
        fit(arguments.fit, arguments.folder)
        return
    repeats = {"graftwork": arguments.repeats, "scikit-learn": arguments.scikit_learn_repeats}
    fits: dict[str, list[dict[str, Any]]] = {name: [] for name in repeats}
    with tempfile.TemporaryDirectory(prefix="graftwork-bench-") as folder:
        make_features(Path(folder), arguments.rows, arguments.dimensions, arguments.classes)
        for number in range(max(repeats.values())):
            for name in repeats:
                if number < repeats[name]:
                    fits[name].append(measure(name, Path(folder)))
    results = {name: summary(several) for name, several in fits.items()}
    size = {"rows": arguments.rows, "dimensions": arguments.dimensions, "classes": arguments.classes}
    objectives = " | ".join(f"objective, l2 {penalty:g}" for penalty in PENALTIES)
    print(f"\n| {arguments.rows:,} x {arguments.dimensions:,}, {arguments.classes} classes ", end="")
    print(f"| seconds | ratio | passes | peak memory | {objectives} |")
    print("| --- |" + " ---: |" * (4 + len(PENALTIES)))
    for name, result in results.items():
        ratio = result["seconds"] / results["graftwork"]["seconds"]
        losses = " | ".join(f"{loss:.5f}" for loss in result["objectives"])
        print(f"| {name} | {result['seconds']:.1f} | {ratio:.1f} | {result['passes']} ", end="")
        print(f"| {result['peak_mib']:.0f} MiB | {losses} |")
    Path(__file__).with_suffix(".json").write_text(json.dumps(size | results, indent=2) + "\n")


def summary(fits: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the first of several fits of the same data, with the median of all their seconds."""
    return fits[0] | {"seconds": median(fit["seconds"] for fit in fits), "repeats": len(fits)}


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Return seconds, passes over the features, peak memory and final objectives of one fit, in its own process."""
    command = [sys.executable, __file__, "--fit", name, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stdout}\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    print(f"{name}: {result['seconds']:.1f} s", flush=True)
    return result


def fit(name: str, folder: Path) -> None:
    cached = features.read(folder / "features")
    split, classes = cached.splits["train"], len(cached.classes)
    started = time.perf_counter()
    if name == "graftwork":
        scale, meter = standardization(split), Meter()
        path = regularization_path(split, classes, PENALTIES, np.ones(classes), scale, meter)
        seconds, passes = time.perf_counter() - started, meter.images // len(split)
        heads = {penalty: as_standardized(kernel, bias, scale) for penalty, kernel, bias in path}
    else:
        heads, passes = scikit_learn(np.load(folder / STANDARDIZED, mmap_mode="r"), split.labels)
        seconds, scale = time.perf_counter() - started, standardization(split)
    peak = peak_memory_mib()
    values = Objective(split, np.ones(classes), scale, Meter())(heads)
    objectives = [values[penalty][0] for penalty in PENALTIES]
    print(json.dumps({"seconds": seconds, "passes": passes, "peak_mib": peak, "objectives": objectives}))


def scikit_learn(rows: np.ndarray, labels: np.ndarray) -> tuple[Heads, int]:
    """Return the heads and how many iterations they took; every one is at least one pass over the rows."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(solver="lbfgs", max_iter=1000, warm_start=True)
    heads, iterations = {}, 0
    for penalty in PENALTIES:
        model.set_params(C=1 / (penalty * len(rows))).fit(rows, labels)
        heads[penalty] = np.concatenate([model.coef_.T, model.intercept_[None]]).astype(np.float64)
        iterations += int(model.n_iter_[0])
    return heads, iterations


def as_standardized(kernel: np.ndarray, bias: np.ndarray, scale: Standardization) -> np.ndarray:
    bias = bias + scale.mean.astype(np.float64) @ kernel
    return np.concatenate([kernel.astype(np.float64) * scale.deviation[:, None], bias[None]])


def make_features(folder: Path, rows: int, dimensions: int, classes: int) -> None:
    description = {"base": "none", "images": "none", "classes": [str(label) for label in range(classes)]}
    description |= {"stored_size": 224, "source": ""}
    sizes = {"train": rows, "validation": 1}
    batches = {split: made_up(sizes[split], dimensions, classes) for split in sizes}
    cached = features.write(folder / "features", description, sizes, (dimensions,), batches)
    write_standardized(cached.splits["train"], folder / STANDARDIZED)


def made_up(rows: int, dimensions: int, classes: int) -> Iterator[features.Batch]:
    """Yield batches of rectified mixtures of fewer hidden causes, on which the labels depend."""
    random = np.random.default_rng(0)
    causes = max(classes, dimensions // 8)
    strength = (1 / np.sqrt(1 + np.arange(causes, dtype=np.float32)))[:, None]
    strength /= np.linalg.norm(strength)
    mixture = random.standard_normal((causes, dimensions), np.float32) * strength
    rule = 8 * random.standard_normal((causes, classes), np.float32) * strength
    for start in range(0, rows, 2048):
        count = min(2048, rows - start)
        hidden = random.standard_normal((count, causes), np.float32)
        noise = 0.2 * random.standard_normal((count, dimensions), np.float32)
        labels = (hidden @ rule + random.gumbel(size=(count, classes))).argmax(axis=1).astype(np.int32)
        yield np.maximum(hidden @ mixture + noise - 0.3, 0), labels, np.zeros(count, "S64")


def write_standardized(split: Split, path: Path) -> None:
    scale = standardization(split)
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (len(split), *split.row_shape)}
        np.lib.format.write_array_header_1_0(file, header)
        for rows, _ in split.chunks():
            file.write(((rows - scale.mean) / scale.deviation).tobytes())


if __name__ == "__main__":
    main()
