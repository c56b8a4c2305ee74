"""Transfer learning from any saved Keras model, as Kubeflow pipelines.

    import graftwork

    run = graftwork.run(data="photos", base_model="shelf-2021.keras")
    run.model.predict(["a.jpg", "b.jpg"])

What is offered here is imported when it is first used: this package itself imports neither TensorFlow nor KFP. The
steps as components for pipelines of one's own are in `graftwork.steps`.
"""

from graftwork._version import __version__

TYPE_CHECKING = False  # which type checkers take for true; importing typing would cost more than all else here
if TYPE_CHECKING:
    from graftwork.config import Config
    from graftwork.errors import UserError
    from graftwork.inspection.describe import Description
    from graftwork.inspection.inspect import inspect
    from graftwork.kubeflow.api import ClusterRun, Schedule, schedule, submit
    from graftwork.kubeflow.site import Site
    from graftwork.prediction.model import Model, Prediction, open_model
    from graftwork.registry.registry import Registry
    from graftwork.running.local import StepError
    from graftwork.running.retrain import Outcome, retrain
    from graftwork.running.run import Run, run

__all__ = [
    "ClusterRun",
    "Config",
    "Description",
    "Model",
    "Outcome",
    "Prediction",
    "Registry",
    "Run",
    "Schedule",
    "Site",
    "StepError",
    "UserError",
    "__version__",
    "inspect",
    "open_model",
    "retrain",
    "run",
    "schedule",
    "submit",
]

_HOMES = {
    "ClusterRun": "kubeflow.api",
    "Config": "config",
    "Description": "inspection.describe",
    "Model": "prediction.model",
    "Outcome": "running.retrain",
    "Prediction": "prediction.model",
    "Registry": "registry.registry",
    "Run": "running.run",
    "Schedule": "kubeflow.api",
    "Site": "kubeflow.site",
    "StepError": "running.local",
    "UserError": "errors",
    "inspect": "inspection.inspect",
    "open_model": "prediction.model",
    "retrain": "running.retrain",
    "run": "running.run",
    "schedule": "kubeflow.api",
    "submit": "kubeflow.api",
}


if not TYPE_CHECKING:  # else every name would do

    def __getattr__(name: str) -> object:
        """Import what is offered here when it is first used (PEP 562)."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        try:
            found = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        except ModuleNotFoundError:
            from graftwork.errors import need_everything

            need_everything(f"graftwork.{name}")
            raise
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
