"""The results as Markdown."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from . import targets
from .contestants import CONTESTANTS, GROUPS, Contestant


def medians(contestants: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the median of each measured number over a contestant's runs."""
    found: dict[str, dict[str, float]] = {}
    for name, entry in contestants.items():
        runs = entry["runs"]
        if runs and name in CONTESTANTS:
            numbers = ("wall_s", "cpu_s", "peak_mib", "test_accuracy")
            found[name] = {key: median(run[key] for run in runs) for key in numbers if runs[0].get(key) is not None}
    return found


def markdown(results: Mapping[str, Any], memory: Path) -> str:
    """Return both tables.

    Args:
        results: The content of training.json.
        memory: The content of another benchmark, benchmarks/memory.json; left out if it is not there.
    """
    return "\n".join([*_introduction(results), *_contestants(results), *_targets(results, memory)]) + "\n"


def _introduction(results: Mapping[str, Any]) -> Iterator[str]:
    machine = results["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    yield "# Training, side by side"
    yield ""
    yield (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']:.0f} GiB memory, {machine['system']}; "
        f"Python {machine['python']}, {versions}."
    )
    yield ""
    for made in results["made"]:
        yield f"- {made['date']}: `{made['command']}`"
    yield ""
    yield (
        "Every contestant is a process of its own. Its time runs from the start of the process until the model is "
        "trained, imports, decoding and, of graftwork, the saving of the model included; CPU time and peak memory "
        "are those of the process and its children up to then. The test images are evaluated afterwards. "
        "Each run of a contestant has another seed, the first the same for all, and so on. "
        "Times, memory and accuracies are medians. The ratio is the time of the row it is compared with, which has "
        "1.0, over its own, larger is faster: the median of the ratios within each repeat, because a machine may be "
        "slower for a while. The recipes do not save their models."
    )
    yield ""
    yield (
        "VGG16 has random weights and sees few images: its times mean something, its accuracies do not. "
        "Fine-tuning by graftwork starts from a head that was trained before; the row with all steps counts that too."
    )
    runs = [run for entry in results["contestants"].values() for run in entry["runs"]]
    others = [run["others_cpu_s"] / run["total_wall_s"] for run in runs if run["others_cpu_s"] is not None]
    if others:
        yield ""
        yield f"Other processes used at most {max(others):.0%} of one core during a run, {median(others):.0%} mostly."


def _contestants(results: Mapping[str, Any]) -> Iterator[str]:
    found = medians(results["contestants"])
    for group, title in GROUPS.items():
        members = [contestant for contestant in CONTESTANTS.values() if contestant.group == group]
        present = [contestant for contestant in members if contestant.name in found]
        if not present:
            continue
        yield ""
        yield f"## {title}"
        yield ""
        yield "| | images | epochs | runs | time | ratio | CPU time | peak memory | test accuracy |"
        yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
        references = {contestant.against for contestant in present if contestant.against}
        outside = [CONTESTANTS[name] for name in references if name in found and CONTESTANTS[name] not in present]
        for contestant in [*outside, *present]:
            yield _row(contestant, results["contestants"], found[contestant.name])


def _row(contestant: Contestant, contestants: Mapping[str, Any], own: Mapping[str, float]) -> str:
    entry, reference = contestants[contestant.name], contestants.get(contestant.against or contestant.name)
    ratio = f"{targets.paired(targets.time_ratio, reference['runs'], entry['runs']):.1f}" if reference else ""
    accuracy = f"{own['test_accuracy']:.4f}" if "test_accuracy" in own else ""
    epochs = entry["epochs"] or ""
    return (
        f"| {contestant.title} | {entry['images']['train']:,} | {epochs} | {len(entry['runs'])} "
        f"| {own['wall_s']:.1f} s | {ratio} | {own['cpu_s']:.0f} s | {own['peak_mib']:,.0f} MiB | {accuracy} |"
    )


def _targets(results: Mapping[str, Any], memory: Path) -> Iterator[str]:
    yield ""
    yield "## Targets"
    yield ""
    yield "| what | target | reached | |"
    yield "| --- | ---: | ---: | --- |"
    runs = {name: entry["runs"] for name, entry in results["contestants"].items() if entry["runs"]}
    for target, ratio in targets.reached(runs):
        yield _target(target.what, "at least" if target.at_least else "at most", target.bound, ratio, target.met(ratio))
    if memory.exists():
        step, ratio = targets.memory_growth(json.loads(memory.read_text(encoding="utf-8")))
        what = f"peak memory of a step, 50,000 images / 5,000, the largest ratio ({step}; memory.json)"
        yield _target(what, "at most", targets.MEMORY_BOUND, ratio, ratio <= targets.MEMORY_BOUND)


def _target(what: str, side: str, bound: float, ratio: float, met: bool) -> str:
    return f"| {what} | {side} {bound:g} | {ratio:.4g} | {'reached' if met else 'not reached'} |"
