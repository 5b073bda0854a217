"""Users that a killed session left are gone with the next session's first; those in use stay."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

from tests.peers.debian import cache_directory, locked
from tests.peers.users import OrdinaryUser, remove_leftovers
from tests.privileges import root_of_the_machine_only

REPOSITORY = Path(__file__).resolve().parents[2]
KILLED = """
import os, signal
from tests.peers.users import make_user

print(make_user().name, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_user_of_a_killed_session_goes(ordinary_user: OrdinaryUser) -> None:
    root_of_the_machine_only()
    killed = subprocess.run([sys.executable, "-c", KILLED], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    name = killed.stdout.strip()
    left = pwd.getpwnam(name)
    with locked(cache_directory() / "users.lock"):
        assert name in remove_leftovers()
    assert name not in {record.pw_name for record in pwd.getpwall()}
    assert not os.path.exists(left.pw_dir)
    assert not any(line.startswith(f"{name}:") for file in ("subuid", "subgid") for line in Path("/etc", file).read_text().splitlines())
    assert pwd.getpwnam(ordinary_user.name).pw_uid == ordinary_user.uid
    assert ordinary_user.home.is_dir()
