"""The Python API: the power of the `build` command as one function.

from builder import BuildRequest, build

outcome = build(BuildRequest(context=".", tags=("app",)), root="/var/lib/layerwright")
print(outcome.digest)
"""

from __future__ import annotations

import threading
from pathlib import Path

from builder.engine.build import BuildOutcome, run_build
from builder.engine.request import BuildRequest
from builder.engine.workshop import WorkshopSettings
from builder.progress.events import Listener
from builder.registry.settings import Settings

__all__ = ["BuildOutcome", "BuildRequest", "build"]


def build(
    request: BuildRequest,
    *,
    root: str | Path,
    registry: Settings | None = None,
    listener: Listener | None = None,
    cancel: threading.Event | None = None,
) -> BuildOutcome:
    """Build as asked, in the store at `root`; raises LayerwrightError or grammar's DockerfileError.

    `registry` says where logins and mirrors are found (none); `listener` hears of every event, from several
    threads; setting `cancel` kills what runs and ends the build with BuildCancelled. Needs root, or a process
    that `runtime.userns.enter_user_namespace` has made root of a user namespace.
    """
    return run_build(request, WorkshopSettings(Path(root), registry or Settings()), listener, cancel)
