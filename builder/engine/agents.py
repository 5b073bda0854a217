"""Agents of --ssh: the socket that was named, or an ssh-agent of the build's own for key files, which ends with it."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping

from builder.errors import LayerwrightError, NotFoundError

START_SECONDS = 10
MAX_KEY = 100 << 10


@contextlib.contextmanager
def open_agents(given: Mapping[str, tuple[str, ...]]) -> Iterator[dict[str, str]]:
    """A socket for each id: `given` names a socket or key files. Raises LayerwrightError."""
    with contextlib.ExitStack() as stack:
        yield {identity: _agent(identity, paths, stack) for identity, paths in given.items()}


def _agent(identity: str, paths: tuple[str, ...], stack: contextlib.ExitStack) -> str:
    sockets = [path for path in paths if _is_socket(path)]
    if len(paths) == 1 and sockets:
        return paths[0]
    if sockets:
        raise LayerwrightError(
            "bad-ssh",
            f"--ssh {identity} names a socket among other paths: {sockets[0]}",
            help="an id has one agent's socket, or one or more key files",
        )
    keys = [_key(identity, path) for path in paths]
    program, add = shutil.which("ssh-agent"), shutil.which("ssh-add")
    if program is None or add is None:
        raise LayerwrightError(
            "ssh-no-agent",
            f"--ssh {identity} names a key file, which needs ssh-agent and ssh-add",
            help="apt-get install openssh-client, or name the socket of a running agent",
        )
    socket = stack.enter_context(_own_agent(program))
    for path, key in zip(paths, keys, strict=True):
        _add(add, socket, path, key)
    return socket


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError as error:
        raise NotFoundError(
            "ssh-not-found", f"--ssh: {path} cannot be read: {error.strerror}", help="name an agent's socket or a private key"
        ) from None


def _key(identity: str, path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            key = stream.read(MAX_KEY)
    except OSError as error:
        raise NotFoundError("ssh-not-found", f"--ssh {identity}: {path} cannot be read: {error.strerror}") from None
    if b"PRIVATE KEY" not in key:
        raise LayerwrightError("bad-ssh-key", f"--ssh {identity}: {path} is no private key", help="name the file without .pub")
    return key


@contextlib.contextmanager
def _own_agent(program: str) -> Iterator[str]:
    """A new ssh-agent in the foreground, its socket in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="layerwright-ssh-") as directory:
        path = os.path.join(directory, "agent")
        process = subprocess.Popen(
            [program, "-D", "-a", path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _wait_for(path, process)
            yield path
        finally:
            process.kill()
            process.wait()


def _wait_for(path: str, process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + START_SECONDS
    while not os.path.exists(path):
        if process.poll() is not None or time.monotonic() > limit:
            raise LayerwrightError("ssh-no-agent", "ssh-agent does not start", help="name the socket of a running agent: --ssh ID=SOCKET")
        time.sleep(0.005)


def _add(program: str, socket: str, path: str, key: bytes) -> None:
    """By standard input, so that the file's mode does not matter; nobody is asked for a passphrase."""
    done = subprocess.run(
        [program, "-q", "-"],
        input=key,
        env={"SSH_AUTH_SOCK": socket, "SSH_ASKPASS_REQUIRE": "force", "SSH_ASKPASS": "/bin/false"},
        capture_output=True,
        start_new_session=True,
        check=False,
    )
    if done.returncode != 0:
        raise LayerwrightError(
            "bad-ssh-key",
            f"--ssh: the key {path} cannot be used",
            help="a key with a passphrase goes through an agent: ssh-add it, and name the agent's socket",
        )
