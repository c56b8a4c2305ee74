"""What docs/command_line.md promises."""

import re
from pathlib import Path

TEXT = (Path(__file__).parents[1] / "docs/command_line.md").read_text(encoding="utf-8")


def rows(heading: str) -> dict[str, str]:
    """Return the table below a heading: each name in a row's first cell, and the rest of the row."""
    section = TEXT.partition(f"{heading}\n")[2].partition("\n## ")[0]
    cells = [line.strip("|").split("|", 1) for line in section.splitlines() if line.startswith("|")]
    return {name.strip().strip("`"): rest for first, rest in cells[2:] for name in first.split(",")}


def keys(command: str) -> set[str]:
    """Return the keys of a command's document."""
    return set(re.findall(r"`(\w+)`", rows("## For machines")[command]))
