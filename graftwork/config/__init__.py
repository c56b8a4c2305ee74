"""What a user can set: the keys of a configuration file, of --set, and of the pipelines' parameters.

Here live the settings and how they are read; what they do lives where they are used. A setting is said once, as a
field in settings.py or, for clusters, cluster.py: name, type, default and limits, and in the docstring below it what it
means. The command line's help, the pipelines' parameters and the tables in the documentation come from there.
"""

from graftwork.config.base import (
    Settings as Settings,
    quantity as quantity,
)
from graftwork.config.cluster import (
    MOST_SHARDS as MOST_SHARDS,
    AcceleratedStep as AcceleratedStep,
    ClusterConfig as ClusterConfig,
    StepResources as StepResources,
    StepsConfig as StepsConfig,
)
from graftwork.config.loading import (
    load as load,
    merged as merged,
    parse_override as parse_override,
    read_yaml as read_yaml,
    settings_of as settings_of,
    validated as validated,
)
from graftwork.config.parameters import (
    ON_CLUSTERS as ON_CLUSTERS,
    REQUIRED as REQUIRED,
    Parameter as Parameter,
    as_parameters as as_parameters,
    parameter as parameter,
    parse_point as parse_point,
    parse_precision as parse_precision,
    parse_preprocessing as parse_preprocessing,
)
from graftwork.config.settings import (
    HUB as HUB,
    PREPROCESSING_NAMES as PREPROCESSING_NAMES,
    Config as Config,
    DriftConfig as DriftConfig,
    FineTuneConfig as FineTuneConfig,
    GateConfig as GateConfig,
    HeadConfig as HeadConfig,
    Layers as Layers,
    Precision as Precision,
    PrepareConfig as PrepareConfig,
    RetrainingConfig as RetrainingConfig,
    ScaleOffset as ScaleOffset,
    SweepConfig as SweepConfig,
    keys as keys,
    meaning as meaning,
)
