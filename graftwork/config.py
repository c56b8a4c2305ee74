"""What a user can set: the keys of a configuration file, of --set, and of the pipeline's parameters.

The keys follow the steps. Every value is checked before anything runs; an unknown key is an error that names the
nearest known one.
"""

import difflib
import itertools
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, cast, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from graftwork.errors import UserError, in_one_line

HUB = "hub:"
"""Before the name of a KerasHub preset, where a base model is named."""
PREPROCESSING_NAMES = ("none", "rescale-0-1", "rescale-pm1", "imagenet-caffe", "imagenet-torch")

GPU_TOLERATIONS: tuple[dict[str, str | int], ...] = (
    {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
)
"""The taint that GPU nodes usually carry, so that nothing else runs on them."""
ON_CLUSTERS = ("accelerator", "accelerators", "node_selector", "tolerations", "cpu", "memory")
"""Parameters of pipelines that say nothing to a run on one machine."""
QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
"""Kubernetes quantities, as far as they make sense for CPUs and memory."""

_FACTORS = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}

S = TypeVar("S", bound="Settings")


class Settings(BaseModel):
    """Settings that refuse unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ScaleOffset(Settings):
    """Preprocessing as pixels * scale + offset, pixels in [0, 255]; one number, or one per channel (RGB)."""

    scale: float | tuple[float, float, float]
    offset: float | tuple[float, float, float] = 0.0


def _named(value: Any) -> Any:
    if isinstance(value, str) and value not in PREPROCESSING_NAMES:
        raise ValueError(f"expected one of {', '.join(PREPROCESSING_NAMES)}, or a mapping with scale and offset")
    return value


Precision = Literal["auto", "float32", "bfloat16"]

Layers = Annotated[int, Field(ge=0)] | Literal["all", "half", "third"]
"""How many of a base's last layers with weights are trained, or which share of them."""

Preprocessing = Annotated[str | ScaleOffset, BeforeValidator(_named)]


class PrepareConfig(Settings):
    """How images become splits and shards."""

    validation_fraction: float = Field(0.1, gt=0, lt=1)
    """Share of the images that go to validation, by content hash."""
    test_fraction: float = Field(0.1, gt=0, lt=1)
    """Share of the images that go to test, by content hash."""
    max_rejected: float = Field(0.05, ge=0, le=1)
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
    l2: tuple[Annotated[float, Field(ge=0)], ...] = Field((1e-1, 1e-2, 1e-3, 1e-4, 1e-5), min_length=1)
    """Penalties the linear head tries."""
    hidden_units: int = Field(256, ge=1)
    dropout: float = Field(0.4, ge=0, lt=1)
    """Share of the features and of the hidden units left out at each step of the mlp."""
    epochs: int = Field(100, ge=1)
    """At most so many passes for the mlp; it stops early."""
    patience: int = Field(10, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    batch_size: int = Field(256, ge=1)
    class_weight: Literal["balanced", "none"] = "balanced"
    """balanced: rare classes count for more, so that all classes count the same."""


class FineTuneConfig(Settings):
    """How the last layers of the base are trained on."""

    layers: Layers = "half"
    """How many layers, counted from the end. 0 skips fine-tuning."""
    epochs: int = Field(5, ge=1)
    """At most so many passes; it stops early."""
    patience: int = Field(3, ge=1)
    learning_rate: float = Field(5e-4, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of all steps over which the learning rate rises to its full value, before it falls as a cosine."""
    batch_size: int = Field(32, ge=1)
    augment: bool = True
    """Shift, turn, zoom, brightness and contrast, all mild."""
    flip: bool = False
    """Mirror left and right too. Off, because it changes what digits, text and signs say."""
    class_weight: Literal["balanced", "none"] = "balanced"
    cache: Literal["auto", "always", "never"] = "auto"
    """Whether what the frozen layers say is computed once and kept on disk while the step runs. auto: where measuring
    says that it pays."""
    cache_budget: str = Field("20Gi", pattern=QUANTITY)
    """How much disk that may take; never more than half of what is free."""
    views: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """How many augmented copies of each training image the cache holds; each epoch sees another one. auto: 2, or as
    many as fit into cache_budget. Without a cache every epoch augments anew."""


class SweepConfig(Settings):
    """Which ways of fine-tuning a sweep compares: every depth at every rate."""

    layers: tuple[Layers, ...] = Field(("half", "all"), min_length=1)
    """How many layers, as in fine_tune.layers."""
    learning_rate: tuple[Annotated[float, Field(gt=0)], ...] = Field((1e-4, 5e-4), min_length=1)

    def points(self) -> list[str]:
        """Return the settings of every point, as `parse_point` reads them."""
        pairs = itertools.product(self.layers, self.learning_rate)
        points = ({"layers": layers, "learning_rate": rate} for layers, rate in pairs)
        return [yaml.safe_dump(point, default_flow_style=True, sort_keys=False).strip() for point in points]


class GateConfig(Settings):
    """When a challenger takes the champion's place. Every rule is in graftwork/gate/rules.py."""

    level: float = Field(0.03, gt=0, lt=0.5)
    """How often chance alone may let a challenger seem better that is not. With 0.03, a challenger that is 2 points
    better is promoted in 8 to 9 of 10 nights, judged on 1,000 images at an accuracy of 95 % (tests/test_gate.py)."""
    margin: float = Field(0.01, ge=0, lt=1)
    """Of accuracy: a challenger that is surely less than this worse counts as not worse, where better_on is given. Of
    equally good models that differ on 9 of 100 images by chance, one in 5 is, on 1,000 test images, and two in 3 on
    5,000; of those that differ on 2 of 100, three in 5 on 1,000 (tests/test_gate.py)."""
    better_on: tuple[Literal["calibration", "latency", "size"], ...] = ()
    """On which of these a challenger may be better instead of being more accurate."""
    max_class_drop: float = Field(0.05, ge=0, le=1)
    """By how much the accuracy on one class or slice may fall, where the fall is no chance."""
    slices: dict[str, str] = {}
    """Groups of images to look at as at classes: their names, and patterns over where images come from, as in
    {night: "*/night/*"}."""
    allow_new_classes: bool = False
    """Whether there may be classes that the champion does not know. Their images count then: it is wrong about them."""
    allow_gone_classes: bool = False
    """Whether classes that the champion knows may be gone."""
    min_accuracy: float = Field(0.0, ge=0, le=1)
    """Below which no challenger is promoted; the one rule on accuracy for a model's first version."""
    max_latency_ms: float | None = Field(None, gt=0)
    """Of the answer about one image, as the median of 100, on the processor of the machine where the step runs."""
    max_size: str | None = Field(None, pattern=QUANTITY)
    """Of the exported model's files."""


class DriftConfig(Settings):
    """When tonight's images are no longer those that the champion was trained on, and what then."""

    action: Literal["warn", "hold", "stop"] = "warn"
    """warn: say so. hold: train and evaluate, and promote nothing. stop: end the run."""
    level: float = Field(0.01, gt=0, lt=0.5)
    """How often chance alone may look like drift, in each kind of comparison."""
    max_shrink: float = Field(0.2, ge=0, le=1)
    """Share of the training images that may be gone since the champion was trained."""
    max_fall: float = Field(0.05, ge=0, le=1)
    """By how much the champion's accuracy may have fallen since it was made, where the fall is no chance: labels have
    changed then, or what they mean."""
    sample: int = Field(500, ge=50, le=5000)
    """How many new images are compared at most, with 1,000 old ones at most."""


class RetrainingConfig(Settings):
    """How a model is trained anew."""

    warm_start: Literal["both", "base", "champion"] = "both"
    """From which network: the base_model, the champion, or each of them, the better on validation kept."""
    notify: str = ""
    """Where the outcome of every run goes, as JSON: the URL of a webhook, or a path or gs:// URI of a file."""
    model_registry: str = Field("", pattern=r"^(https?://.+)?$")
    """URL of a Kubeflow Model Registry that is to say of the model what its registry says, after every run."""


class ClusterConfig(Settings):
    """Where the steps run on a cluster. On one machine only the shards count, and one of each is best."""

    accelerator: str = Field("nvidia.com/gpu", min_length=1)
    """Resource name of the accelerator that the steps that train or extract ask for."""
    accelerators: int = Field(1, ge=0)
    """How many of it; 0 for none."""
    node_selector: dict[str, str] = {}
    """Labels of the nodes on which the steps that train or extract run."""
    tolerations: tuple[dict[str, str | int], ...] = GPU_TOLERATIONS
    """Taints which those steps tolerate."""
    cpu: str = Field("4", pattern=QUANTITY)
    """CPU limit and request of those steps."""
    memory: str = Field("16Gi", pattern=QUANTITY)
    """Memory limit and request of those steps; also bounds their shared memory."""
    ingest_shards: int = Field(1, ge=1, le=1000)
    """Over how many machines the reading of the images fans out."""
    extract_shards: int = Field(1, ge=1, le=1000)
    """Over how many machines the extraction of features fans out."""


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
    """Not given: found in the base model, or an error."""
    input_size: int | None = Field(None, ge=8)
    """Height and width in pixels at which the base runs; not given: as it was saved."""
    stored_size: int | None = Field(None, ge=8)
    """Shorter side in pixels to which larger images are shrunk; not given: 1.15 times the model's input. When
    retraining, no smaller than the champion's."""
    feature_layer: str = "auto"
    """Where the base is cut: a layer's name, "penultimate", or "auto" for the last output with height and width."""
    architecture: str = ""
    """Of a base that is a file with weights only, the name of its keras.applications model."""
    custom_objects: str = ""
    """An installed module, or a .py file (a path or gs:// URI), that registers the classes the base needs."""
    trust_code: bool = False
    """Whether Python code in the base's file (Lambda layers) may run."""
    precision: Precision = "auto"
    """Of the network's arithmetic while features are extracted and layers trained; the finished model is float32.
    auto: bfloat16 where the device computes in it, else float32."""
    prepare: PrepareConfig = PrepareConfig()
    head: HeadConfig = HeadConfig()
    fine_tune: FineTuneConfig = FineTuneConfig()
    sweep: SweepConfig = SweepConfig()
    cluster: ClusterConfig = ClusterConfig()
    registry: str = ""
    """Of the models that are retrained: a folder or gs:// URI; not needed by other pipelines."""
    name: str = ""
    """Of the model in the registry."""
    retraining: RetrainingConfig = RetrainingConfig()
    gate: GateConfig = GateConfig()
    drift: DriftConfig = DriftConfig()
    seed: int = Field(0, ge=0, lt=2**32)


def parse_precision(text: str) -> Precision:
    """Check a precision that came as a pipeline's parameter.

    Raises:
        UserError: It is none.
    """
    if text not in get_args(Precision):
        raise UserError(f"the precision is {text!r}", {"expected": " or ".join(get_args(Precision))})
    return cast(Precision, text)


def quantity(text: str) -> float:
    """Return the number that a Kubernetes quantity such as "20Gi" stands for."""
    digits = text.rstrip("mkMGTi")
    return float(digits) * _FACTORS.get(text[len(digits) :], 1)


def load(file: str | Path | None, overrides: Mapping[str, Any]) -> Config:
    """Read a configuration file and lay overrides over it.

    Args:
        file: A YAML file, None for no file.
        overrides: Dotted keys and their values, as in {"fine_tune.layers": 0}.

    Raises:
        UserError: The file cannot be read, a key is unknown, a value is not what it should be.
    """
    return validated(Config, merged(read_yaml(file) if file else {}, overrides), str(file or "the command line"))


def read_yaml(file: str | Path) -> dict[str, Any]:
    """Read a YAML mapping."""
    try:
        content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError("the configuration cannot be read", {"file": file, "why": reason}) from None
    except yaml.YAMLError as error:
        raise UserError("the configuration is not YAML", {"file": file, "why": in_one_line(error)}) from None
    if not isinstance(content, dict):
        raise UserError("the configuration is not a mapping", {"file": file, "expected": "lines such as  data: photos"})
    return content


def merged(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings with dotted overrides laid over them."""
    result = json.loads(json.dumps(base, default=str))
    for dotted, value in overrides.items():
        *parents, last = dotted.split(".")
        place = result
        for parent in parents:
            inner = place.get(parent)
            place[parent] = inner if isinstance(inner, dict) else {}
            place = place[parent]
        place[last] = value
    return result


def parse_override(text: str) -> tuple[str, Any]:
    """Split "fine_tune.layers=0" into its dotted key and its value, which is read as YAML."""
    key, equals, value = text.partition("=")
    if not key.strip() or not equals:
        raise UserError(f"--set {text!r} is not an assignment", next="write it as  --set fine_tune.layers=0")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        return key.strip(), value


def validated(kind: type[S], values: Mapping[str, Any], where: str) -> S:
    """Return settings of the given kind, or raise a UserError that names each wrong key and value.

    Args:
        kind: Config or one of its parts.
        values: Nested settings.
        where: Where the values come from, for the message.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise _in_plain_words(kind, error, where) from None


def as_parameters(config: Config, names: Collection[str]) -> dict[str, Any]:
    """Return the pipeline parameters that mean this configuration.

    KFP has no null: what is not given is left out of the dictionaries, and is "" or 0 elsewhere.

    Args:
        config: Everything the user has set.
        names: The parameters that the pipeline has.
    """
    given = config.model_dump(exclude_none=True, mode="json")
    preprocessing = given.get("preprocessing", "")
    parameters = {
        "data": config.data,
        "base_model": config.base_model,
        "preprocessing": preprocessing if isinstance(preprocessing, str) else json.dumps(preprocessing),
        "input_size": config.input_size or 0,
        "feature_layer": config.feature_layer,
        "architecture": config.architecture,
        "custom_objects": config.custom_objects,
        "trust_code": config.trust_code,
        "stored_size": config.stored_size or 0,
        "prepare": given["prepare"],
        "head": given["head"],
        "fine_tune": given["fine_tune"],
        "grid": config.sweep.points(),
        "precision": config.precision,
        "registry": config.registry,
        "name": config.name,
        **given["retraining"],
        "gate": given["gate"],
        "drift": given["drift"],
        "seed": config.seed,
        **given["cluster"],
        "accelerators": str(config.cluster.accelerators),
    }
    return {name: value for name, value in parameters.items() if name in names}


def parse_point(text: str) -> dict[str, Any]:
    """Read a point of a sweep, as in {layers: 5, learning_rate: 0.001}; "" has no settings of its own.

    Raises:
        UserError: It is no mapping.
    """
    try:
        point = yaml.safe_load(text) or {}
    except yaml.YAMLError:
        point = None
    if not isinstance(point, dict):
        raise UserError(f"{text!r} is not a point of a sweep", {"expected": "{layers: 5, learning_rate: 0.001}"})
    return point


def parse_preprocessing(text: str) -> str | ScaleOffset | None:
    """Read the pipeline parameter "preprocessing": a name, a JSON mapping with scale and offset, or "" for None."""
    if not text:
        return None
    try:
        value = json.loads(text) if text.lstrip().startswith("{") else text
    except json.JSONDecodeError:
        value = text
    given = validated(_Given, {"preprocessing": value}, "the parameter preprocessing")
    return given.preprocessing


class _Given(Settings):
    preprocessing: Preprocessing


def _in_plain_words(kind: type[Settings], error: ValidationError, where: str) -> UserError:
    known = list(_dotted_keys(kind))
    facts: dict[str, str] = {}
    suggestions = []
    for problem in error.errors():
        # Pydantic appends the tried member of a union to the location; those are not keys.
        key = ".".join(str(part) for part in problem["loc"] if _is_key(part)) or "settings"
        if problem["type"] == "extra_forbidden":
            facts[key] = "unknown key"
            nearest = _nearest(key, known)
            if nearest:
                suggestions.append(f"did you mean {nearest} instead of {key}?")
        elif problem["type"] == "missing":
            facts[key] = "missing"
            suggestions.append(f"give it in the configuration, or as  --{key.replace('_', '-')} ...")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            message = message[:1].lower() + message[1:]
            if problem["type"] == "string_pattern_mismatch":  # the one pattern there is
                message = "expected an amount as Kubernetes writes them, such as 20Gi, 500M or 4"
            given = problem["input"]
            shown = "" if isinstance(given, dict) else f"{given!r}: "
            # Of a union, each member says why it does not fit.
            facts[key] = f"{facts[key]}, or {message}" if key in facts else shown + message
    plural = "settings are" if len(facts) > 1 else "setting is"
    return UserError(f"{len(facts)} {plural} wrong in {where}", facts, next=suggestions or None)


def _is_key(part: str | int) -> bool:
    return isinstance(part, int) or (part.isidentifier() and part not in ("int", "str", "float", "ScaleOffset"))


def _nearest(key: str, known: list[str]) -> str | None:
    by_leaf = {name.rpartition(".")[2]: name for name in reversed(known)}
    leaf = key.rpartition(".")[2]
    close = [by_leaf[leaf]] if leaf in by_leaf else difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if close:
        return close[0]
    close = difflib.get_close_matches(leaf, by_leaf, n=1, cutoff=0.6)
    return by_leaf[close[0]] if close else None


def _dotted_keys(kind: type[Settings], prefix: str = "") -> Iterator[str]:
    for name, field in kind.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from _dotted_keys(field.annotation, f"{prefix}{name}.")
