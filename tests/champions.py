"""Champions for retraining, of the models in the fixture `flow`."""

import shutil
from pathlib import Path

import numpy as np

from graftwork.artifacts import model, trained_on
from graftwork.artifacts.images import Images
from graftwork.artifacts.trained_on import TrainedOn

NOBODY = TrainedOn(np.zeros(0, np.uint64), np.array(["red"]), np.array([1]))


def champion(flow: Path, folder: Path, name: str = "untrained", record: TrainedOn = NOBODY) -> Path:
    """Return a model that serves, with what it was trained on."""
    shutil.copytree(flow / f"{name}-selected", folder / "champion")
    trained_on.write(folder / "champion" / model.TRAINED_ON, record)
    return folder / "champion"


def keys(data: Images, split: str) -> list[str]:
    return [record.key for record in data.records(split)]
