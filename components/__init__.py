"""The pipeline steps: one folder per step, interface in component.py, logic beside it."""

import os

from graftwork._version import __version__

IMAGE = os.environ.get("GRAFTWORK_IMAGE", f"graftwork:{__version__}")
"""The container image every step runs in on a cluster; built from the Dockerfile."""
