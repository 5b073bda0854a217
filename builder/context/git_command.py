"""The git program, run so that neither the user's configuration nor a repository can make it do anything else.

No configuration but ours (system, global and HOME are empty), no hooks, no helpers, no prompts, no transports
but those named; everything secret goes by environment, never by argument, where `ps` would show it. File
transports are off (CVE-2022-39253): a submodule could name a directory of this machine.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from builder.errors import LayerwrightError

_PROTOCOLS = ("http", "https", "git", "ssh")
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
MAX_OUTPUT = 8 << 20


class GitSettings(msgspec.Struct, frozen=True):
    """What git may be told by whoever reads the environment.

    `search_path` finds git and ssh. `ssh_agent` is an agent's socket, `known_hosts` a file; without one a new
    host's key is taken on trust. `local` allows file:// and paths, for tests. `timeout` in seconds, for one command.
    """

    search_path: str = os.defpath
    ssh_agent: str | None = None
    known_hosts: str | None = None
    proxies: tuple[tuple[str, str], ...] = ()
    ca_bundle: str | None = None
    local: bool = False
    timeout: float = 900.0


class GitFailed(LayerwrightError):
    """git ended with an error; `output` is what it said, made harmless."""

    def __init__(self, what: str, output: str) -> None:
        last = next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "no message")
        super().__init__(
            "git-failed", f"{what} failed: {last}", help="check the address, the ref and the access", notes=tuple(output.splitlines()[-10:])
        )
        self.output = output


class Git:
    """Runs git commands with one configuration; `home` is an empty directory of the caller's."""

    def __init__(self, settings: GitSettings, home: Path, config: Mapping[str, str], check: Callable[[], None]) -> None:
        program = shutil.which("git", path=settings.search_path)
        if program is None:
            raise LayerwrightError("git-missing", "there is no git program to fetch a repository with", help="install git")
        self._program = program
        self._timeout = settings.timeout
        self._check = check
        self._environment = _environment(settings, home, config)

    def run(self, what: str, *arguments: str, directory: Path, git_dir: Path | None = None) -> str:
        """What the command wrote; GitFailed when it failed, and when it takes too long. `what` names it to people."""
        environment = dict(self._environment)
        if git_dir is not None:
            environment |= {"GIT_DIR": str(git_dir), "GIT_WORK_TREE": str(directory)}
        process = subprocess.Popen(
            [self._program, *arguments],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            umask=0o022,
            start_new_session=True,
            restore_signals=True,
        )
        try:
            out, err = self._collect(process, what)
        finally:
            _end(process)
        if process.returncode:
            raise GitFailed(what, harmless(err.decode("utf-8", "replace")))
        return out.decode("utf-8", "surrogateescape")

    def _collect(self, process: subprocess.Popen[bytes], what: str) -> tuple[bytes, bytes]:
        deadline = time.monotonic() + self._timeout
        buffers = (bytearray(), bytearray())
        readers = [
            threading.Thread(target=_drain, args=(stream, buffer), daemon=True)
            for stream, buffer in zip((process.stdout, process.stderr), buffers, strict=True)
        ]
        for reader in readers:
            reader.start()
        while process.poll() is None:
            self._check()
            if time.monotonic() > deadline:
                raise GitFailed(what, f"it took longer than {self._timeout:.0f} s")
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        for reader in readers:
            reader.join(5)
        return bytes(buffers[0]), bytes(buffers[1])


def _drain(stream: object, buffer: bytearray) -> None:
    """All of a pipe, kept up to a limit: a server decides how much git says."""
    read: Callable[[int], bytes] = stream.read1  # type: ignore[attr-defined]
    while data := read(1 << 16):
        if len(buffer) < MAX_OUTPUT:
            buffer += data


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kills what is left of the command's own session (git's transport helpers, ssh)."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _environment(settings: GitSettings, home: Path, config: Mapping[str, str]) -> dict[str, str]:
    allowed = (*_PROTOCOLS, "file") if settings.local else _PROTOCOLS
    fixed = {
        "core.hooksPath": os.devnull,
        "core.fsmonitor": "false",
        "core.attributesFile": os.devnull,
        "core.autocrlf": "false",
        "core.fileMode": "true",
        "core.protectHFS": "true",
        "core.protectNTFS": "true",
        "credential.helper": "",
        "protocol.allow": "never",
        **{f"protocol.{name}.allow": "always" for name in allowed},
        "submodule.recurse": "false",
        "fetch.recurseSubmodules": "false",
        "fetch.writeCommitGraph": "false",
        "core.fsync": "none",
        "gc.auto": "0",
        "maintenance.auto": "false",
        "init.defaultBranch": "main",
        "init.templateDir": "",
        "advice.detachedHead": "false",
        "safe.directory": "*",
        **config,
    }
    environment = {
        "PATH": settings.search_path,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        "GIT_ALLOW_PROTOCOL": ":".join(allowed),
        "GIT_PROTOCOL_FROM_USER": "0" if not settings.local else "1",
        "GIT_SSH_COMMAND": _ssh(settings, home),
        "GIT_SSH_VARIANT": "ssh",
        "GIT_HTTP_LOW_SPEED_LIMIT": "1000",
        "GIT_HTTP_LOW_SPEED_TIME": "60",
        "GIT_CONFIG_COUNT": str(len(fixed)),
        **{f"GIT_CONFIG_KEY_{index}": key for index, key in enumerate(fixed)},
        **{f"GIT_CONFIG_VALUE_{index}": value for index, value in enumerate(fixed.values())},
        **dict(settings.proxies),
    }
    if settings.ssh_agent is not None:
        environment["SSH_AUTH_SOCK"] = settings.ssh_agent
    if settings.ca_bundle is not None:
        environment["GIT_SSL_CAINFO"] = settings.ca_bundle
    return environment


def _ssh(settings: GitSettings, home: Path) -> str:
    """ssh with no configuration; paths are quoted for git's shell."""
    hosts = settings.known_hosts or str(home / "known_hosts")
    checking = "yes" if settings.known_hosts else "accept-new"
    quoted = "'" + hosts.replace("'", "'\\''") + "'"
    return (
        f"ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking={checking} -o UserKnownHostsFile={quoted} "
        "-o PermitLocalCommand=no -o ForwardAgent=no -o ClearAllForwardings=yes"
    )


def harmless(text: str) -> str:
    """What git said, without passwords in addresses and without control characters."""
    return _CONTROL.sub("", _USERINFO.sub("", text))
