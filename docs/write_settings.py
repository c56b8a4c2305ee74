"""Write docs/settings.md and the table of settings in the README, from graftwork/config.

    python docs/write_settings.py

To be run again (make docs) when a setting has changed.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from graftwork.config import AcceleratedStep, Config, StepsConfig, keys, meaning
from graftwork.config.base import QUANTITY

ROOT = Path(__file__).resolve().parents[1]
MARKERS = "<!-- settings: written by make docs -->\n", "<!-- /settings -->\n"
MOST_USED = (
    *("data", "base_model", "output", "preprocessing", "input_size", "stored_size", "feature_layer"),
    *("architecture", "custom_objects", "trust_code", "precision"),
    *("prepare.validation_fraction", "prepare.test_fraction", "head.kind", "head.class_weight"),
    *("fine_tune.layers", "fine_tune.epochs", "fine_tune.learning_rate", "fine_tune.batch_size", "fine_tune.flip"),
    *("fine_tune.cache", "sweep.layers", "sweep.learning_rate", "seed"),
)
"""What the README has room for."""
BOUNDS = {"minimum": "from {}", "exclusiveMinimum": "above {}", "exclusiveMaximum": "below {}", "maximum": "up to {}"}
KINDS = {"boolean": "true, false", "integer": "whole number", "number": "number", "string": "text", "object": "mapping"}
STEPS = "cluster.steps"
SCHEMA = Config.model_json_schema()


def written() -> dict[Path, str]:
    """Return the files that hold tables of settings, as they should be."""
    start, end = MARKERS
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    before, _, rest = readme.partition(start)
    after = rest.partition(end)[2]
    return {
        ROOT / "README.md": f"{before}{start}\n{table(MOST_USED)}\n{end}{after}",
        ROOT / "docs" / "settings.md": "\n".join(page()),
    }


def page() -> Iterable[str]:
    """Yield the parts of docs/settings.md: the settings without a group, then each group."""
    every = list(keys())
    groups = dict.fromkeys(key.partition(".")[0] for key in every if "." in key)
    yield "# Settings\n"
    yield (
        "Keys of a configuration file, and of `--set KEY=VALUE`. A list is written as `[half, all]`, a mapping as\n"
        "`{pool: gpu}`, nothing as `null`, an amount as Kubernetes writes it: `500M`, `20Gi`, `4`.\n"
        "Written by `make docs` from [graftwork/config](../graftwork/config).\n"
    )
    yield table(key for key in every if key.partition(".")[0] not in groups)
    for group in groups:
        shown = table(key for key in every if key.startswith(f"{group}.") and not key.startswith(STEPS))
        yield f"## {group}\n\n{meaning(group)}\n\n{shown}"
        if group == STEPS.partition(".")[0]:
            yield from steps()


def steps() -> Iterable[str]:
    """Yield the part on what the steps ask for: each step, then what may be said of each."""
    how = f"Each step has the keys of the second table:\n`--set {STEPS}.evaluate.memory=8Gi`."
    yield f"### {STEPS}\n\n{meaning(STEPS)} {how}\n"
    rows = ["| step | CPUs | memory | because it |", "| --- | --- | --- | --- |"]
    for name, field in StepsConfig.model_fields.items():
        asked = field.default
        cpu, memory = asked.cpu or "`cluster.cpu`", asked.memory or "`cluster.memory`"
        because = meaning(f"{STEPS}.{name}")
        rows.append(f"| `{name}` | {cpu} | {memory} | {because[:1].lower()}{because[1:].rstrip('.')} |")
    yield "\n".join(rows) + "\n"
    yield table((f"{STEPS}.extract_features.{key}" for key in AcceleratedStep.model_fields), f"{STEPS}.STEP")


def table(shown: Iterable[str], prefix: str = "") -> str:
    """Return a table in Markdown: key, default, what it may be, meaning; with another prefix before the keys' ends."""
    rows = ["| key | default | may be | meaning |", "| --- | --- | --- | --- |"]
    for key in shown:
        said = property_of(key)
        means = meaning(key).replace("*", r"\*").replace("|", r"\|")
        shown_key = f"{prefix}.{key.rpartition('.')[2]}" if prefix else key
        rows.append(f"| `{shown_key}` | {default(said)} | {limits(said)} | {means} |")
    return "\n".join(rows) + "\n"


def property_of(key: str) -> Mapping[str, Any]:
    """Return what the JSON schema says of a setting."""
    schema = SCHEMA
    for name in key.split("."):
        schema = schema["properties"][name]
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return schema


def default(said: Mapping[str, Any]) -> str:
    """Return the default of a setting, empty where there is none."""
    value = said.get("default")
    if value is None or value == "":
        return "" if "default" in said else "must be given"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def limits(said: Mapping[str, Any]) -> str:
    """Return what a setting may be, in words."""
    if "anyOf" in said:
        return ", or ".join(limits(each) for each in said["anyOf"] if each.get("type") != "null")
    if "enum" in said or "const" in said:
        return ", ".join(f"`{value}`" for value in said.get("enum") or [said["const"]])
    if "$ref" in said:
        return "`{scale: ..., offset: ...}`"
    if said["type"] == "array":
        return f"list of: {limits(said['items'])}"
    if "pattern" in said:
        return "amount" if said["pattern"] == QUANTITY else "URL"
    return ", ".join([KINDS[said["type"]], *(text.format(said[key]) for key, text in BOUNDS.items() if key in said)])


if __name__ == "__main__":
    for path, text in written().items():
        path.write_text(text, encoding="utf-8")
