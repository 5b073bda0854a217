"""Runs docker-credential-* programs: get, store, erase (docker/docker-credential-helpers protocol).

A helper's name may hold nothing that a path could; it is looked up in the search path that was handed
in, gets the server's key on stdin, never on its command line, and has a minute.
"""

from __future__ import annotations

import re
import shutil
import subprocess

import msgspec

from builder.registry.settings import Settings

TIMEOUT = 60.0

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_NOT_FOUND = ("credentials not found in native keychain", "no credentials server url", "credentials not found")


class HelperFailed(Exception):
    """A credential helper is missing or said no; the text is one sentence without secrets."""


class _Answer(msgspec.Struct, rename={"username": "Username", "secret": "Secret"}):
    username: str
    secret: str


class _Store(msgspec.Struct, frozen=True, rename={"server": "ServerURL", "username": "Username", "secret": "Secret"}):
    server: str
    username: str
    secret: str


def helper_get(settings: Settings, helper: str, server: str) -> tuple[str, str] | None:
    """The (name, secret) a helper keeps for a server, or None; raises HelperFailed."""
    status, output = _run(settings, helper, "get", server.encode())
    if status != 0:
        said = output.decode(errors="replace").strip()
        if any(text in said.lower() for text in _NOT_FOUND):
            return None
        raise HelperFailed(f"docker-credential-{helper} failed for {server}: {said[:200] or f'exit code {status}'}")
    try:
        answer = msgspec.json.decode(output, type=_Answer)
    except msgspec.DecodeError:
        raise HelperFailed(f"docker-credential-{helper} gave an answer that is not a credential") from None
    return (answer.username, answer.secret) if answer.secret else None


def helper_store(settings: Settings, helper: str, server: str, username: str, secret: str) -> None:
    """Hand a credential to a helper; raises HelperFailed."""
    status, output = _run(settings, helper, "store", msgspec.json.encode(_Store(server, username, secret)))
    if status != 0:
        raise HelperFailed(f"docker-credential-{helper} could not store the login: {output.decode(errors='replace').strip()[:200]}")


def helper_erase(settings: Settings, helper: str, server: str) -> None:
    """Forget a credential; one that is not there is no failure."""
    _run(settings, helper, "erase", server.encode())


def _run(settings: Settings, helper: str, action: str, data: bytes) -> tuple[int, bytes]:
    if _NAME.match(helper) is None:
        raise HelperFailed(f"{helper[:50]!r} is not the name of a credential helper")
    program = shutil.which(f"docker-credential-{helper}", path=settings.helper_path)
    if program is None:
        raise HelperFailed(f"the credential helper docker-credential-{helper} is not installed")
    try:
        done = subprocess.run(
            [program, action],
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(settings.helper_env),
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise HelperFailed(f"docker-credential-{helper} did not answer within {TIMEOUT:.0f} seconds") from None
    except OSError as error:
        raise HelperFailed(f"docker-credential-{helper} cannot be run: {error.strerror}") from None
    return done.returncode, done.stdout
