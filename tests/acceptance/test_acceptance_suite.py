"""The suite as an ordinary user: as root of a user namespace, as builds without root work, and as the user as such.

A part of it each time, chosen for what differs without root; all of it with LAYERWRIGHT_PROVE.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests.peers.service import Unavailable
from tests.peers.users import OrdinaryUser
from tests.privileges import root_of_the_machine_only

REPOSITORY = Path(__file__).resolve().parents[2]
PROVE = bool(os.environ.get("LAYERWRIGHT_PROVE"))
PARTS = {
    "rootless": ("tests/runtime", "tests/threats", "tests/snapshot/test_snapshot_drafts.py"),
    "pytest": ("tests/runtime", "tests/store", "tests/context", "tests/cli"),
}
"""By the module that runs them: directories and files."""


@pytest.mark.timeout(2400 if PROVE else 400)
@pytest.mark.parametrize("module", PARTS)
def test_what_needs_no_root_passes(ordinary_user: OrdinaryUser, module: str) -> None:
    root_of_the_machine_only()
    try:
        program, path = ordinary_user.interpreter
    except Unavailable as error:
        pytest.skip(str(error))
    if program != sys.executable:
        pytest.skip(f"an ordinary user cannot run {sys.executable}, and tests start it by that name")
    env = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": f"{REPOSITORY}:{path}", "TMPDIR": str(ordinary_user.home)}
    if "LAYERWRIGHT_ORACLES" in os.environ:
        env["LAYERWRIGHT_ORACLES"] = os.environ["LAYERWRIGHT_ORACLES"]
    script = 'cd "$1" && shift && exec "$@"'
    name = "tests.rootless" if module == "rootless" else "pytest"
    chosen = ("-n", "2", "--dist", "loadgroup", "tests") if PROVE else PARTS[module]
    command = (program, "-m", name, "-q", "-rf", "-p", "no:cacheprovider", *chosen)
    done = ordinary_user.run("sh", "-c", script, "sh", str(REPOSITORY), *command, env=env, check=False, timeout=2400)
    said = done.stdout.decode()
    if "runtime.unsupported.Unsupported" in done.stderr.decode():
        pytest.skip("no user namespaces for ordinary users here")
    assert done.returncode == 0, said[-5000:] + done.stderr.decode()[-2000:]
    passed = re.search(r"(\d+) passed", said)
    assert passed is not None
    assert int(passed[1]) > 200
