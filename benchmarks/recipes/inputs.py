"""What every contestant is given: prepared images, a saved network, graftwork's base of it, perhaps a trained head.

All of it is made once, by graftwork's own steps, before anything is timed.

    source/                 the demo's digits and EfficientNet-Lite0
    DATA.csv                of fewer images: which, with their splits
    images/DATA/            an images artifact
    networks/NETWORK.keras  what the recipes open
    bases/NETWORK-LAYER/    a base artifact: what graftwork's steps open
    heads/DATA-NETWORK/     a classifier artifact with a trained head
    heads/DATA-NETWORK.npz  its weights, for the floors
"""

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from .contestants import Contestant

SETTINGS = "settings.json"
_SEED = 0
_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Inputs:
    """Where one contestant's inputs lie.

    Attributes:
        folder: Of everything that was prepared.
        data: Which images.
        network: Which network.
        feature_layer: Where graftwork cuts it.
        seed: Of everything that is random in the training.
    """

    folder: Path
    data: str
    network: str
    feature_layer: str
    seed: int = _SEED

    @classmethod
    def of(cls, folder: Path, contestant: Contestant, seed: int = _SEED) -> "Inputs":
        """Return those of a contestant."""
        return cls(folder, contestant.data, contestant.network, contestant.feature_layer, seed)

    @property
    def images(self) -> Path:
        """The images artifact."""
        return self.folder / "images" / self.data

    @property
    def source(self) -> Path:
        """The images as a user has them: a folder, or a table of some of its files."""
        table = self.folder / f"{self.data}.csv"
        return table if table.exists() else self.folder / "source" / "digits"

    @property
    def keras_file(self) -> Path:
        """The network as the recipes open it."""
        return self.folder / "networks" / f"{self.network}.keras"

    @property
    def base(self) -> Path:
        """The base artifact."""
        return self.folder / "bases" / f"{self.network}-{self.feature_layer}"

    @property
    def head(self) -> Path:
        """The classifier artifact to start from."""
        return self.folder / "heads" / f"{self.data}-{self.network}"

    @property
    def head_weights(self) -> Path:
        """The kernels and biases of its head."""
        return self.head.with_suffix(".npz")


def read_settings(folder: Path) -> dict[str, Any]:
    """Return what the driver has decided: how many images of each kind, and the factor on epochs."""
    return dict(json.loads((folder / SETTINGS).read_text(encoding="utf-8")))


def prepare(folder: Path, contestants: Iterable[Contestant]) -> None:
    """Make what is not there yet of everything these contestants need."""
    from graftwork.demo.assets import materialize

    digits, _ = materialize(folder / "source")
    whole = folder / "images" / "whole"
    if not whole.exists():
        _write_images(folder, str(digits), whole)
    sizes = read_settings(folder)["images"]
    counts = {}
    for contestant in contestants:
        inputs = Inputs.of(folder, contestant)
        if not inputs.images.exists():
            _choose(folder, inputs.data, sizes[inputs.data])
        counts[inputs.data] = _counts(inputs)
        _prepare_network(inputs)
        if contestant.from_head and not inputs.head_weights.exists():
            _prepare_head(inputs)
    (folder / "counts.json").write_text(json.dumps(counts), encoding="utf-8")


def _choose(folder: Path, data: str, train: int | None) -> None:
    """Make an images artifact of as many training images as wanted, balanced, and an eighth as many of other splits."""
    target = folder / "images" / data
    if train is None:
        target.symlink_to("whole", target_is_directory=True)
        return
    from graftwork.artifacts import images

    whole = images.read(folder / "images" / "whole")
    wanted = {"train": train, "validation": max(10, train // 8), "test": max(10, train // 8)}
    table = folder / f"{data}.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "label", "split"])
        for split in _SPLITS:
            by_label = defaultdict(list)
            for record in whole.records(split):
                by_label[record.label].append((record.source, whole.classes[record.label], split))
            balanced = (row for row in chain(*zip_longest(*by_label.values())) if row)
            for row, _ in zip(balanced, range(wanted[split]), strict=False):
                rows.writerow(row)
    _write_images(folder, str(table), target)


def _write_images(folder: Path, source: str, target: Path) -> None:
    from graftwork.components.ingest_images.ingest import ingest
    from graftwork.components.prepare_data.prepare import prepare as prepare_data
    from graftwork.config import PrepareConfig
    from graftwork.data.shards import WHOLE

    from .networks import SIDE

    ingested = folder / "ingested" / target.name
    ingest(source, "", WHOLE, SIDE, ingested)
    prepare_data([ingested], target, PrepareConfig())


def _counts(inputs: Inputs) -> Mapping[str, int]:
    from graftwork.artifacts import images

    return {split: images.read(inputs.images).size(split) for split in _SPLITS}


def _prepare_network(inputs: Inputs) -> None:
    from graftwork.components.load_base_model.load import load_base_model

    from . import networks

    if not inputs.keras_file.exists():
        inputs.keras_file.parent.mkdir(exist_ok=True)
        networks.save(inputs.network, inputs.folder / "source" / "efficientnet-lite0.keras", inputs.keras_file)
    if not inputs.base.exists():
        load_base_model(str(inputs.keras_file), inputs.base, feature_layer=inputs.feature_layer)


def _prepare_head(inputs: Inputs) -> None:
    """Train the head that fine-tuning starts from: the hidden layer of the recipes, with graftwork's own settings."""
    import numpy as np

    from graftwork.artifacts.model import HEAD
    from graftwork.components.extract_features.extract import extract_features
    from graftwork.components.train_head.train import train_head
    from graftwork.config import HeadConfig

    features = inputs.folder / "features" / inputs.head.name
    extract_features(inputs.images, inputs.base, features)
    written = train_head([features], inputs.base, inputs.head, HeadConfig(kind="mlp"), _SEED)
    weights = written.keras_model().get_layer(HEAD).get_weights()
    np.savez(inputs.head_weights, *weights)
