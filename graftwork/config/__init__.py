"""What a user can set: the keys of a configuration file, of --set, and of the pipelines' parameters.

Here live the settings and how they are read; what they do lives where they are used. A setting is said once, as a field
in settings.py: name, type, default and limits, and in the docstring below it what it means. The command line's help,
the pipelines' parameters and the tables in the documentation come from there.
"""

from graftwork.config.loading import load, merged, parse_override, read_yaml, validated
from graftwork.config.parameters import (
    ON_CLUSTERS,
    REQUIRED,
    Parameter,
    as_parameters,
    parameter,
    parse_point,
    parse_precision,
    parse_preprocessing,
)
from graftwork.config.settings import (
    HUB,
    PREPROCESSING_NAMES,
    ClusterConfig,
    Config,
    DriftConfig,
    FineTuneConfig,
    GateConfig,
    HeadConfig,
    Layers,
    Precision,
    PrepareConfig,
    RetrainingConfig,
    ScaleOffset,
    Settings,
    SweepConfig,
    keys,
    meaning,
    quantity,
)

__all__ = [
    "HUB",
    "ON_CLUSTERS",
    "PREPROCESSING_NAMES",
    "REQUIRED",
    "ClusterConfig",
    "Config",
    "DriftConfig",
    "FineTuneConfig",
    "GateConfig",
    "HeadConfig",
    "Layers",
    "Parameter",
    "Precision",
    "PrepareConfig",
    "RetrainingConfig",
    "ScaleOffset",
    "Settings",
    "SweepConfig",
    "as_parameters",
    "keys",
    "load",
    "meaning",
    "merged",
    "parameter",
    "parse_override",
    "parse_point",
    "parse_precision",
    "parse_preprocessing",
    "quantity",
    "read_yaml",
    "validated",
]
