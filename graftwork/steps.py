"""The steps as KFP components, for pipelines of one's own.

    from kfp import dsl
    from graftwork.steps import fingerprint_source, load_base_model

    @dsl.pipeline
    def mine(data: str, base_model: str):
        sources = fingerprint_source(data=data, base_model=base_model)
        load_base_model(uri=base_model, fingerprint=sources.outputs["base_model_fingerprint"])

What each takes and gives stands in components/NAME/README.md. `graftwork.components.NAME` is the folder of a step,
`graftwork.steps.NAME` always the component. Importing this module costs nothing; the first component imports KFP.
"""

from typing import TYPE_CHECKING

__all__ = [
    "batch_predict",
    "check_data",
    "evaluate",
    "extract_features",
    "find_champion",
    "fine_tune",
    "fingerprint_source",
    "ingest_images",
    "judge",
    "load_base_model",
    "prepare_data",
    "promote",
    "report_outcome",
    "select_model",
    "train_head",
]

if TYPE_CHECKING:
    from graftwork.components.batch_predict.component import batch_predict
    from graftwork.components.check_data.component import check_data
    from graftwork.components.evaluate.component import evaluate
    from graftwork.components.extract_features.component import extract_features
    from graftwork.components.find_champion.component import find_champion
    from graftwork.components.fine_tune.component import fine_tune
    from graftwork.components.fingerprint_source.component import fingerprint_source
    from graftwork.components.ingest_images.component import ingest_images
    from graftwork.components.judge.component import judge
    from graftwork.components.load_base_model.component import load_base_model
    from graftwork.components.prepare_data.component import prepare_data
    from graftwork.components.promote.component import promote
    from graftwork.components.report_outcome.component import report_outcome
    from graftwork.components.select_model.component import select_model
    from graftwork.components.train_head.component import train_head
else:  # out of the sight of type checkers: to them, a module with __getattr__ has every name

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import importlib
        import warnings

        with warnings.catch_warnings(action="ignore"):  # KFP's remarks are for authors of components
            return getattr(importlib.import_module(f"graftwork.components.{name}.component"), name)

    def __dir__() -> list[str]:
        return __all__
