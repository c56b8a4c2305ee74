"""Steps of graftwork as functions, on prepared images and a prepared base, with the recipes' head and epochs."""

from multiprocessing import get_context
from pathlib import Path
from typing import Any

from .contestants import HEAD_RATE
from .inputs import Inputs
from .processes import Evaluate

_BATCH = 32
_ALL_EPOCHS = 1000
"""As patience: the recipes do not stop early either."""
_HEAD_EPOCHS = 10


def head(inputs: Inputs, scratch: Path, epochs: int) -> Evaluate:
    """extract_features and train_head, in this process."""
    _extract(inputs, scratch)
    _train(inputs, scratch, epochs)
    return _evaluation(inputs, scratch / "head")


def head_in_two_processes(inputs: Inputs, scratch: Path, epochs: int) -> Evaluate:
    """The same, each step in a process of its own, one after the other, as the pipeline runs them."""
    spawn = get_context("spawn")
    for step, arguments in ((_extract, (inputs, scratch)), (_train, (inputs, scratch, epochs))):
        process = spawn.Process(target=step, args=arguments)
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{step.__name__} ended with {process.exitcode}")
    return _evaluation(inputs, scratch / "head")


def tuned(inputs: Inputs, scratch: Path, epochs: int, **settings: Any) -> Evaluate:
    """fine_tune alone, from a head that was trained beforehand."""
    _fine_tune(inputs, inputs.head, scratch, epochs, settings)
    return _evaluation(inputs, scratch / "tuned")


def head_and_tuned(inputs: Inputs, scratch: Path, epochs: int, **settings: Any) -> Evaluate:
    """extract_features, train_head (10 epochs) and fine_tune, in this process."""
    _extract(inputs, scratch)
    _train(inputs, scratch, min(_HEAD_EPOCHS, epochs))
    _fine_tune(inputs, scratch / "head", scratch, epochs, settings)
    return _evaluation(inputs, scratch / "tuned")


def _extract(inputs: Inputs, scratch: Path) -> None:
    from graftwork.components.extract_features.extract import extract_features

    extract_features(inputs.images, inputs.base, scratch / "features")


def _train(inputs: Inputs, scratch: Path, epochs: int) -> None:
    from graftwork.components.train_head.train import train_head
    from graftwork.config import HeadConfig

    config = HeadConfig(
        kind="mlp",
        hidden_units=256,
        dropout=0,
        learning_rate=HEAD_RATE,
        batch_size=_BATCH,
        epochs=epochs,
        patience=_ALL_EPOCHS,
        class_weight="none",
    )
    train_head([scratch / "features"], inputs.base, scratch / "head", config, inputs.seed)


def _fine_tune(inputs: Inputs, start: Path, scratch: Path, epochs: int, settings: dict[str, Any]) -> None:
    from graftwork.components.fine_tune.fine_tune import fine_tune
    from graftwork.config import FineTuneConfig

    given = {"augment": False, "batch_size": _BATCH, "class_weight": "none", **settings}
    config = FineTuneConfig(epochs=epochs, patience=_ALL_EPOCHS, **given)
    fine_tune(inputs.images, start, scratch / "tuned", config, inputs.seed)


def _evaluation(inputs: Inputs, path: Path) -> Evaluate:
    def evaluate() -> dict[str, Any]:
        from graftwork.artifacts import model

        from . import arrays, networks

        folder = model.read(path)
        x_test, y_test = arrays.load(inputs.images, "test", folder.input_size[0])
        scored = networks.score(folder.keras_model().predict(x_test, verbose=0), y_test)
        cache = folder.description["training"].get("fine_tune", {}).get("cache")
        return {**scored, "profile": folder.description.get("profile", {}), **({"cache": cache} if cache else {})}

    return evaluate
