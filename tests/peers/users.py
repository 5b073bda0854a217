"""An ordinary user with subordinate id ranges, and an interpreter that this user may run our code with.

Rules. Whoever made a user holds a flock on its home directory, which the kernel drops however the session ends. So
what is named like one and is not held was left by a session that was killed (a timeout, a lost terminal), and the
next session removes it.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import re
import shutil
import site
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.peers.debian import cache_directory, locked
from tests.peers.service import Unavailable
from tests.privileges import ROOT_OF_THE_MACHINE

REPOSITORY = Path(__file__).resolve().parents[2]
_PREFIX = "lwsuite"
SKIPPED_PACKAGES = ("mypy", "mypyc", "ruff", "ruff-*", "hypothesis", "pip", "setuptools", "__pycache__")


class OrdinaryUser:
    """`name`, `uid`, `home`; `run` runs a command as that user, with a clean environment."""

    def __init__(self, name: str) -> None:
        record = pwd.getpwnam(name)
        self.name, self.uid, self.gid, self.home = name, record.pw_uid, record.pw_gid, Path(record.pw_dir)
        self.hold = -1
        """A descriptor of the home directory, locked, while the user is in use."""
        self._python: tuple[str, str] | None = None

    def run(
        self, *argv: str, check: bool = True, env: dict[str, str] | None = None, stdin: bytes = b"", timeout: float = 300
    ) -> subprocess.CompletedProcess[bytes]:
        """Like subprocess.run with captured output; the working directory is the user's home."""
        clean = {
            "HOME": str(self.home),
            "TMPDIR": str(self.home),  # goes with the user
            "USER": self.name,
            "LANG": "C.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            **(env or {}),
        }
        pairs = [f"{key}={value}" for key, value in clean.items()]
        return subprocess.run(
            ["setpriv", "--reuid", str(self.uid), "--regid", str(self.gid), "--init-groups", "--", "env", "-i", *pairs, *argv],
            check=check, capture_output=True, cwd=self.home, input=stdin, timeout=timeout,
        )  # fmt: skip

    def python(
        self, *args: str, check: bool = True, env: dict[str, str] | None = None, stdin: bytes = b"", timeout: float = 300
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs an interpreter that sees our packages and their dependencies (`-m builder.cli.build …`)."""
        program, path = self.interpreter
        return self.run(program, *args, check=check, env={"PYTHONPATH": path, **(env or {})}, stdin=stdin, timeout=timeout)

    @property
    def interpreter(self) -> tuple[str, str]:
        """An interpreter that this user may run, and the PYTHONPATH it needs."""
        if self._python is None:
            self._python = self._find_python()
        return self._python

    def _find_python(self) -> tuple[str, str]:
        """The test's own interpreter if this user may run it, else the system's with our packages copied to where the user reads."""
        here = f"{REPOSITORY}"
        if self._can(sys.executable, here):
            return sys.executable, here
        packages = [path for path in (*site.getsitepackages(), *sys.path) if path.endswith("site-packages") and os.path.isdir(path)]
        for program in ("/usr/bin/python3", "/usr/bin/python3.11", "/usr/bin/python3.12", "/usr/bin/python3.13"):
            if not packages or not os.path.exists(program):
                continue
            if self._can(program, f"{here}:{packages[0]}"):
                return program, f"{here}:{packages[0]}"
            copied = self._copy_packages(packages[0])
            if self._can(program, copied):
                return program, copied
        raise Unavailable("an ordinary user can run no interpreter that has our dependencies")

    def _can(self, program: str, path: str) -> bool:
        probe = "import builder, grammar, runtime, msgspec, zstandard, xxhash, click"
        return self.run(program, "-c", probe, check=False, env={"PYTHONPATH": path}).returncode == 0

    def _copy_packages(self, packages: str) -> str:
        target = self.home / "site"
        if not target.exists():
            shutil.copytree(packages, target, ignore=shutil.ignore_patterns(*SKIPPED_PACKAGES))
            for name in ("builder", "grammar", "runtime"):
                shutil.copytree(REPOSITORY / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        return str(target)


def make_user() -> OrdinaryUser:
    """Adds a user named after this process, with a home and 65536 subordinate ids; raises Unavailable.

    Race: between useradd and the hold nobody else may look for leftovers; users.lock sees to that.
    """
    if not ROOT_OF_THE_MACHINE:
        raise Unavailable("only root of the machine can add a user")
    for program in ("useradd", "newuidmap", "setpriv"):
        if shutil.which(program) is None:
            raise Unavailable(f"{program} is not installed")
    name = f"{_PREFIX}{os.getpid()}"
    with locked(cache_directory() / "users.lock"):
        remove_leftovers()
        _must("useradd", "--create-home", "--shell", "/bin/sh", name)
        if not any(line.startswith(f"{name}:") for line in Path("/etc/subuid").read_text().splitlines()):
            first = 700_000_000 + os.getpid() * 65536 % 1_000_000_000
            _must("usermod", "--add-subuids", f"{first}-{first + 65535}", "--add-subgids", f"{first}-{first + 65535}", name)
        user = OrdinaryUser(name)
        hold = _held(user.home)
        assert hold is not None, f"somebody else holds {user.home}"
        user.hold = hold
    return user


def remove_user(user: OrdinaryUser) -> None:
    """Ends the user's processes, then removes the user and the home directory (which may hold files of subordinate ids)."""
    with locked(cache_directory() / "users.lock"):
        _remove(user)
    os.close(user.hold)


def remove_leftovers() -> tuple[str, ...]:
    """The users of sessions that were killed, which are gone now; to be called under users.lock."""
    gone = []
    for record in pwd.getpwall():
        if re.fullmatch(_PREFIX + r"\d+", record.pw_name) is None:
            continue
        hold = _held(Path(record.pw_dir))
        if hold is not None:
            _remove(OrdinaryUser(record.pw_name))
            os.close(hold)
            gone.append(record.pw_name)
    return tuple(gone)


def _held(home: Path) -> int | None:
    home.mkdir(exist_ok=True)  # a session may have been killed after the home was gone
    fd = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def _remove(user: OrdinaryUser) -> None:
    subprocess.run(["pkill", "-KILL", "-U", str(user.uid)], check=False, capture_output=True)
    subprocess.run(["userdel", "--force", user.name], check=False, capture_output=True)
    shutil.rmtree(user.home, ignore_errors=True)


def _must(*argv: Sequence[str] | str) -> None:
    done = subprocess.run([str(word) for word in argv], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"{argv[0]} failed: {done.stderr.strip()}")
