"""Training side by side: recipes as they are usually written, KerasHub, graftwork, and the floors under it.

    make bench                   or: python benchmarks/training.py [--only extraction,default] [--repeats 3]

On the demo's 5,000 digits and EfficientNet-Lite0, and on VGG16. Every contestant is a whole process; in each repeat
all of them run once, every other time in reverse, each repeat with another seed; a few that only show a further side of
another one run in the first repeat alone. Writes benchmarks/training.json with every run after each one, and
benchmarks/training.md with medians, ratios and how the targets stand. What a contestant does is in benchmarks/recipes.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from recipes import machine, processes, tables
from recipes.contestants import CONTESTANTS, GROUPS, Contestant
from recipes.inputs import SETTINGS, Inputs, prepare, read_settings

RESULTS = Path(__file__).with_suffix(".json")
MEMORY = Path(__file__).with_name("memory.json")


def main() -> None:
    arguments = parse()
    if arguments.contestant:
        run_contestant(CONTESTANTS[arguments.contestant], arguments.folder, arguments.seed)
        return
    if arguments.prepare:
        prepare(arguments.folder, [CONTESTANTS[name] for name in read_settings(arguments.folder)["contestants"]])
        return
    with tempfile.TemporaryDirectory(prefix="graftwork-bench-") as temporary:
        folder = arguments.folder or Path(temporary)
        sys.exit(compare(arguments, folder))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="GROUP,...", help=f"of {', '.join(GROUPS)}; or whole names of contestants")
    parser.add_argument(
        "--full", action="store_true", help="also VGG16 at 224 px; and every repeat of what usually runs once"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--images", type=int, help="training images of all digits, if not all")
    parser.add_argument("--some-images", type=int, default=256, help="training images of the groups five and top")
    parser.add_argument("--vgg-images", type=int, default=160, help="training images of VGG16 at 96 px")
    parser.add_argument("--vgg224-images", type=int, default=32, help="training images of VGG16 at 224 px")
    parser.add_argument("--update", action="store_true", help="keep what an earlier call found of other contestants")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the JSON file; the Markdown goes beside it")
    parser.add_argument("--folder", type=Path, help="keep what is prepared here, and use it again")
    parser.add_argument("--epochs-factor", type=float, default=1.0, help=argparse.SUPPRESS)  # to try the benchmark
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--prepare", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for name in (arguments.only or "").split(",") if arguments.only else []:
        if name not in GROUPS and name not in CONTESTANTS:
            parser.error(f"--only {name}: expected some of {', '.join(GROUPS)}")
    return arguments


def chosen_contestants(only: str | None, full: bool) -> list[Contestant]:
    """Return who runs: those named or of a group that is named, or by default all but those that take long."""
    if only:
        wanted = set(only.split(","))
        return [contestant for contestant in CONTESTANTS.values() if wanted & {contestant.name, contestant.group}]
    return [contestant for contestant in CONTESTANTS.values() if full or not contestant.extra]


def compare(arguments: argparse.Namespace, folder: Path) -> int:
    """Prepare the inputs, run everyone, write the results; return the exit code."""
    chosen = chosen_contestants(arguments.only, arguments.full)
    settings = {
        "contestants": [contestant.name for contestant in chosen],
        "images": {
            "digits": arguments.images,
            "some": arguments.some_images,
            "few": arguments.vgg_images,
            "fewer": arguments.vgg224_images,
        },
        "epochs_factor": arguments.epochs_factor,
    }
    folder.mkdir(parents=True, exist_ok=True)
    earlier = folder / SETTINGS
    if earlier.exists() and read_settings(folder)["images"] != settings["images"]:
        sys.exit(f"{folder} was prepared for other numbers of images: give another --folder")
    earlier.write_text(json.dumps(settings), encoding="utf-8")
    call = [sys.executable, __file__, "--folder", str(folder)]
    say("preparing the inputs")
    run_to_its_end([*call, "--prepare"], folder)
    counts = json.loads((folder / "counts.json").read_text(encoding="utf-8"))
    results = begin(arguments, settings)
    for contestant in chosen:
        results["contestants"][contestant.name] = {
            "title": contestant.title,
            "network": contestant.network,
            "images": counts[contestant.data],
            "epochs": epochs_of(contestant, arguments.epochs_factor),
            "runs": [],
            "failures": [],
        }
    for repeat in range(arguments.repeats):
        running = [contestant for contestant in chosen if repeat == 0 or arguments.full or not contestant.once]
        for contestant in running if repeat % 2 == 0 else reversed(running):
            entry = results["contestants"][contestant.name]
            say(f"{contestant.name}, {repeat + 1} of {arguments.repeats}")
            try:
                measured = processes.measure(
                    [*call, "--seed", str(repeat), "--contestant", contestant.name], folder / "output.log"
                )
            except processes.ContestantError as failure:
                entry["failures"].append(str(failure))
                say(f"  failed: {failure}")
            else:
                entry["runs"].append(measured)
                say("  {wall_s:.1f} s, CPU {cpu_s:.1f} s, {peak_mib:,.0f} MiB, {test_accuracy}".format(**measured))
            write(results, arguments.output)
    print(tables.markdown(results, MEMORY))
    return 1 if any(results["contestants"][contestant.name]["failures"] for contestant in chosen) else 0


def begin(arguments: argparse.Namespace, settings: dict[str, Any]) -> dict[str, Any]:
    """Return results without runs, or with those an earlier call has written."""
    made = {
        "date": time.strftime("%Y-%m-%d"),
        "command": shlex.join(["python", "benchmarks/training.py", *sys.argv[1:]]),
        "settings": settings,
    }
    earlier: dict[str, Any] = {"made": [], "contestants": {}}
    if arguments.update and arguments.output.exists():
        earlier = json.loads(arguments.output.read_text(encoding="utf-8"))
    return {
        "machine": machine.describe(),
        "made": [*earlier["made"], made],
        "contestants": dict(earlier["contestants"]),
    }


def write(results: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(tables.markdown(results, MEMORY), encoding="utf-8")


def run_to_its_end(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{shlex.join(command)} failed:\n{done.stdout}\n{done.stderr}")


def epochs_of(contestant: Contestant, factor: float) -> int:
    return max(1, round(contestant.epochs * factor)) if contestant.epochs else 0


def run_contestant(contestant: Contestant, folder: Path, seed: int) -> None:
    """Be a contestant: train, say when that was done, evaluate."""
    epochs = epochs_of(contestant, read_settings(folder)["epochs_factor"])
    module, _, function = contestant.function.partition(".")
    train = getattr(import_module(f"recipes.{module}"), function)
    with tempfile.TemporaryDirectory(prefix="run-", dir=folder) as scratch:
        inputs = Inputs.of(folder, contestant, seed)
        processes.report(lambda: train(inputs, Path(scratch), epochs=epochs, **contestant.options))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
