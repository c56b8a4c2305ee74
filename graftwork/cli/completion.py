"""What a shell offers after Tab where it cannot know it; `graftwork --install-completion` sets that up."""

from collections.abc import Callable
from pathlib import Path


def offers(*names: str, files: str = "") -> Callable[[str], list[str]]:
    """Return a completion of these names and, if a pattern such as *.yaml is given, of such files."""

    def complete(incomplete: str) -> list[str]:
        folder = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
        found = [str(path) for path in sorted(folder.glob(files))] if files else []
        return [name for name in (*names, *found) if name.startswith(incomplete)]

    return complete
