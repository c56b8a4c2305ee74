"""Transfer learning from any saved Keras model, as Kubeflow pipelines."""

from graftwork._version import __version__

__all__ = ["__version__"]
