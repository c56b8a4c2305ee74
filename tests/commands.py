"""The command, as a user calls it."""

import os
import subprocess
import sys
from pathlib import Path

COMMAND = Path(sys.executable).with_name("graftwork")


def graftwork(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end; keywords are environment variables."""
    env = {**os.environ, "COLUMNS": "120", **environment}
    return subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, env=env, check=False
    )
