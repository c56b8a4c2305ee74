"""The settings: each said once, as a field, with the docstring below it.

Where a setting may be left out, its docstring says what happens then as "not given: ...".
"""

import itertools
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import BeforeValidator, Field, model_validator
from pydantic.fields import FieldInfo

from graftwork.config.base import Quantity, Settings
from graftwork.config.cluster import ClusterConfig

HUB = "hub:"
"""Before the name of a KerasHub preset, where a base model is named."""


class ScaleOffset(Settings):
    """Preprocessing as pixels * scale + offset, pixels in [0, 255]; one number, or one per channel (RGB)."""

    scale: float | tuple[float, float, float]
    """What pixels are multiplied by."""
    offset: float | tuple[float, float, float] = 0.0
    """What is added then."""


def _named(value: Any) -> Any:
    if isinstance(value, str) and value not in PREPROCESSING_NAMES:
        raise ValueError(f"expected one of {', '.join(PREPROCESSING_NAMES)}, or a mapping with scale and offset")
    return value


PreprocessingName = Literal["none", "rescale-0-1", "rescale-pm1", "imagenet-caffe", "imagenet-torch"]
PREPROCESSING_NAMES: tuple[str, ...] = get_args(PreprocessingName)
Preprocessing = Annotated[PreprocessingName | ScaleOffset, BeforeValidator(_named)]

Precision = Literal["auto", "float32", "bfloat16"]

Layers = Annotated[int, Field(ge=0)] | Literal["all", "half", "third"]
"""How many of a base's last layers with weights are trained, or which share of them."""


class PrepareConfig(Settings):
    """How images become splits and shards."""

    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Share of the images that go to validation. An image's content decides, so it never moves when others come."""
    test_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Share of the images that go to test, in the same way."""
    max_rejected: float = Field(default=0.05, ge=0, le=1)
    """The run stops when a larger share of the source cannot be used."""

    @model_validator(mode="after")
    def _leave_some_to_train(self) -> Self:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction and test_fraction leave nothing to train on")
        return self


class HeadConfig(Settings):
    """How the head is trained on cached features."""

    kind: Literal["auto", "linear", "mlp", "kept"] = "auto"
    """linear: multinomial logistic regression. mlp: one hidden layer. kept: the head that a base made by graftwork has,
    as it is. auto: all of them, the best on validation; a head that is there counts if it knows the same classes."""
    l2: tuple[Annotated[float, Field(ge=0)], ...] = Field(default=(1e-1, 1e-2, 1e-3, 1e-4, 1e-5), min_length=1)
    """Penalties the linear head tries."""
    hidden_units: int = Field(default=256, ge=1)
    """Of the mlp."""
    dropout: float = Field(default=0.4, ge=0, lt=1)
    """Share of the features and of the hidden units left out at each step of the mlp."""
    epochs: int = Field(default=100, ge=1)
    """At most so many passes for the mlp; it stops early."""
    patience: int = Field(default=10, ge=1)
    """After so many passes without progress on validation the mlp stops."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Adam's, for the mlp."""
    batch_size: int = Field(default=256, ge=1)
    """Images in each step of the mlp."""
    class_weight: Literal["balanced", "none"] = "balanced"
    """balanced: rare classes count for more, so that all classes count the same."""


class FineTuneConfig(Settings):
    """How the last layers of the base are trained on."""

    layers: Layers = "half"
    """How many of the base's last layers with weights, batch normalisation not counted; or which share of them. 0 skips
    fine-tuning."""
    epochs: int = Field(default=5, ge=1)
    """At most so many passes; it stops early."""
    patience: int = Field(default=3, ge=1)
    """After so many passes without progress on validation it stops."""
    learning_rate: float = Field(default=5e-4, gt=0)
    """AdamW's, at its highest."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """AdamW's."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of all steps over which the learning rate rises to its full value, before it falls as a cosine."""
    batch_size: int = Field(default=32, ge=1)
    """Images in each step, of all devices together."""
    augment: bool = True
    """Shift, turn, zoom, brightness and contrast, all mild."""
    flip: bool = False
    """Mirror left and right too. Off, because it changes what digits, text and signs say."""
    class_weight: Literal["balanced", "none"] = "balanced"
    """balanced: rare classes count for more, so that all classes count the same."""
    cache: Literal["auto", "always", "never"] = "auto"
    """Whether what the frozen layers say is computed once, instead of in every epoch, and kept on disk while the step
    runs. auto: where measuring says that it pays."""
    cache_budget: Quantity = "20Gi"
    """How much disk the cache may take; never more than half of what is free."""
    views: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """How many augmented copies of each training image the cache holds; each epoch sees another one. auto: 2, or as
    many as fit into cache_budget. Without a cache every epoch augments anew."""


class SweepConfig(Settings):
    """Which ways of fine-tuning a sweep compares: every depth at every rate."""

    layers: tuple[Layers, ...] = Field(default=("half", "all"), min_length=1)
    """Values of fine_tune.layers to compare."""
    learning_rate: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=(1e-4, 5e-4), min_length=1)
    """Values of fine_tune.learning_rate to compare, each with each of the layers."""

    def points(self) -> list[str]:
        """Return the settings of every point, as `parse_point` reads them."""
        pairs = itertools.product(self.layers, self.learning_rate)
        points = ({"layers": layers, "learning_rate": rate} for layers, rate in pairs)
        return [yaml.safe_dump(point, default_flow_style=True, sort_keys=False).strip() for point in points]


class GateConfig(Settings):
    """When a challenger takes the champion's place.

    Every rule is in graftwork/gate/rules.py; what is said here of chances, tests/gate/test_rules.py simulates.
    """

    level: float = Field(default=0.03, gt=0, lt=0.5)
    """How often chance alone may let a challenger seem better that is not. With 0.03, a challenger that is 2 points
    better is promoted in 8 to 9 of 10 nights, judged on 1,000 images at an accuracy of 95 %."""
    margin: float = Field(default=0.01, ge=0, lt=1)
    """Of accuracy: a challenger that is surely less than this worse counts as not worse, where better_on is given. Of
    equally good models that differ on 9 of 100 images by chance, one in 5 is, on 1,000 test images, and two in 3 on
    5,000; of those that differ on 2 of 100, three in 5 on 1,000."""
    better_on: tuple[Literal["calibration", "latency", "size"], ...] = ()
    """On which of these a challenger may be better instead of being more accurate."""
    max_class_drop: float = Field(default=0.05, ge=0, le=1)
    """By how much the accuracy on one class or slice may fall, where the fall is no chance."""
    slices: dict[str, str] = Field(default={})
    """Groups of images to look at as at classes: their names, and patterns over where images come from, as in
    {night: "*/night/*"}."""
    allow_new_classes: bool = False
    """Whether there may be classes that the champion does not know. Their images count then: it is wrong about them."""
    allow_gone_classes: bool = False
    """Whether classes that the champion knows may be gone."""
    min_accuracy: float = Field(default=0.0, ge=0, le=1)
    """Below which no challenger is promoted; the one rule on accuracy for a model's first version."""
    max_latency_ms: float | None = Field(default=None, gt=0)
    """Of the answer about one image, as the median of 100, on the processor of the machine where the step runs; not
    given: any."""
    max_size: Quantity | None = None
    """Of the exported model's files; not given: any."""


class DriftConfig(Settings):
    """When the data is no longer what it was, and what then."""

    action: Literal["warn", "hold", "stop"] = "warn"
    """warn: say so. hold: train and evaluate, and promote nothing. stop: end the run."""
    level: float = Field(default=0.01, gt=0, lt=0.5)
    """How often chance alone may look like drift, in each kind of comparison."""
    max_shrink: float = Field(default=0.2, ge=0, le=1)
    """Share of the training images that may be gone since the champion was trained."""
    max_fall: float = Field(default=0.05, ge=0, le=1)
    """By how much the champion's accuracy may have fallen since it was made, where the fall is no chance: labels have
    changed then, or what they mean."""
    sample: int = Field(default=500, ge=50, le=5000)
    """How many new images are compared at most, with 1,000 old ones at most."""


class RetrainingConfig(Settings):
    """How a model is trained anew."""

    warm_start: Literal["both", "base", "champion"] = "both"
    """From which network a challenger starts: base, champion, or both, and the better is kept."""
    notify: str = ""
    """Where the outcome of every run goes, as JSON: the URL of a webhook, or a path or gs:// URI of a file; empty for
    nowhere."""
    model_registry: str = Field(default="", pattern=r"^(https?://.+)?$")
    """URL of a Kubeflow Model Registry that repeats the registry after every run; empty for none."""


class Config(Settings):
    """One run, from labelled images and a base model to an evaluated classifier.

    Example:
        >>> config = graftwork.Config(data="photos", base_model="shelf-2021.keras", fine_tune={"layers": 5})
        >>> config.fine_tune.layers, config.fine_tune.epochs
        (5, 5)
        >>> graftwork.run(config=config, quiet=True, head={"kind": "linear"}, fine_tune={"layers": 0}).selected
        'head'
    """

    data: str = Field(min_length=1)
    """A folder with one sub-folder per class, or a .csv, .jsonl or .parquet table; a path or gs:// URI."""
    base_model: str = Field(min_length=1)
    """A .keras, .h5 or SavedModel (a path or gs:// URI), the name of a keras.applications model, or hub: and that of a
    KerasHub preset."""
    output: str = "graftwork-run"
    """Folder for the model, the report, the metrics and the steps' own outputs."""
    preprocessing: Preprocessing | None = None
    """What pixels need, by name or as {"scale": ..., "offset": ...}; not given: found in the base, never guessed."""
    input_size: int | None = Field(default=None, ge=8)
    """Height and width in pixels at which the base runs, with the same weights; not given: as it was saved."""
    stored_size: int | None = Field(default=None, ge=8)
    """Shorter side in pixels to which larger images are shrunk; not given: 1.15 times the base's input. When
    retraining, no smaller than the champion's."""
    feature_layer: str = "auto"
    """Where the base is cut: a layer's name, an output's of a SavedModel without layers, "penultimate", or "auto" for
    the last output with height and width."""
    architecture: str = ""
    """Of a base that is a file with weights only, the name of its keras.applications model."""
    custom_objects: str = ""
    """A module, or a .py file (a path or gs:// URI), that registers the classes the base needs."""
    trust_code: bool = False
    """Whether Python code in the base's file (Lambda layers) may run."""
    precision: Precision = "auto"
    """What the network computes in; auto: bfloat16 where the device has it. The finished model is float32."""
    prepare: PrepareConfig = Field(default_factory=PrepareConfig)
    head: HeadConfig = Field(default_factory=HeadConfig)
    fine_tune: FineTuneConfig = Field(default_factory=FineTuneConfig)
    sweep: SweepConfig = Field(default_factory=SweepConfig)
    cluster: ClusterConfig = Field(default_factory=ClusterConfig)
    registry: str = ""
    """Where the versions of models are: a folder or gs:// URI with a folder per model."""
    name: str = ""
    """Of the model in the registry."""
    retraining: RetrainingConfig = Field(default_factory=RetrainingConfig)
    gate: GateConfig = Field(default_factory=GateConfig)
    drift: DriftConfig = Field(default_factory=DriftConfig)
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of every random choice: the same seed gives the same metrics on the same machine."""


def keys(kind: type[Settings] = Config) -> Iterator[str]:
    """Yield the dotted keys of settings, as in fine_tune and fine_tune.layers."""
    for name, field in kind.model_fields.items():
        yield name
        if group := _group(field):
            yield from (f"{name}.{key}" for key in keys(group))


def meaning(key: str) -> str:
    """Return what a setting, or a group of them, means: what its field says, or the first line of the group's class.

    Args:
        key: Dotted, as in fine_tune.layers.
    """
    kind: type[Settings] = Config
    for name in key.split("."):
        field = kind.model_fields[name]
        kind = _group(field) or kind
    said = field.description or (kind.__doc__ or "").partition("\n\n")[0]
    return " ".join(said.split())


def _group(field: FieldInfo) -> type[Settings] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Settings) else None
