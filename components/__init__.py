"""The pipeline steps: one folder per step, interface in component.py, logic beside it.

What several steps need is in the rooms below; the components for other people's pipelines are in `graftwork.steps`.
"""

import os

from graftwork._version import __version__
from graftwork.storage.faults import in_step

if in_step():  # KFP's executor is about to run a step, and has imported only this
    from graftwork.reporting import quiet

    quiet.quieten_step()

IMAGE = os.environ.get("GRAFTWORK_IMAGE", f"graftwork:{__version__}")
"""The container image every step runs in on a cluster; built from the Dockerfile."""
