"""Writes logins to docker's config.json, or hands them to the credential store it names.

The file is replaced whole (temp + rename, mode 0600), under a lock on a file beside it, so that two
logins at once keep both; keys that are not ours stay as they are.
"""

from __future__ import annotations

import base64
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from builder.errors import LayerwrightError, UsageError
from builder.registry.credentials import AuthFile, Credential, normal_host, read_auth_file, server_key
from builder.registry.helpers import HelperFailed, helper_erase, helper_store
from builder.registry.settings import Settings


def store_login(settings: Settings, registry: str, credential: Credential) -> str:
    """Keep a login; returns where it is kept, in words."""
    path = _path(settings)
    with _locked(path):
        helper = _helper(read_auth_file(str(path)), registry)
        if helper:
            try:
                helper_store(settings, helper, server_key(registry), credential.username, credential.password)
            except HelperFailed as error:
                raise LayerwrightError("credential-helper", str(error), help=f"mend it, or take it out of {path}") from None
            return f"docker-credential-{helper}"
        auth = base64.b64encode(f"{credential.username}:{credential.password}".encode()).decode()
        _edit(path, lambda auths: auths.update({server_key(registry): {"auth": auth}}))
    return str(path)


def erase_login(settings: Settings, registry: str) -> bool:
    """Forget a login; says whether there was one."""
    path = _path(settings)
    host = normal_host(registry)
    with _locked(path):
        file = read_auth_file(str(path))
        helper = _helper(file, registry)
        if helper:
            try:
                helper_erase(settings, helper, server_key(registry))
            except HelperFailed as error:
                raise LayerwrightError("credential-helper", str(error), help=f"mend it, or take it out of {path}") from None
        keys = [key for key in file.auths or {} if normal_host(key) == host]
        if keys:
            _edit(path, lambda auths: [auths.pop(key, None) for key in keys])
    return bool(keys or helper)


def _path(settings: Settings) -> Path:
    if settings.docker_config is None:
        raise UsageError(
            "no-docker-config",
            "there is no place for logins: neither DOCKER_CONFIG nor HOME is set",
            help="set DOCKER_CONFIG to a directory",
        )
    return Path(settings.docker_config)


def _helper(file: AuthFile, registry: str) -> str:
    host = normal_host(registry)
    return next((name for key, name in (file.cred_helpers or {}).items() if normal_host(key) == host), "") or file.creds_store


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two logins at once: read, change and rename happen under one flock."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise LayerwrightError("auth-file", f"{path} cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Apply `change` to `auths` and replace the file; a symlinked config.json is replaced at its target."""
    target = Path(os.path.realpath(path))
    tree: dict[str, Any] = {}
    if target.exists() and target.read_bytes().strip():
        tree = msgspec.json.decode(target.read_bytes(), type=dict[str, Any])
    auths = tree.get("auths") or {}
    change(auths)
    tree["auths"] = auths
    data = msgspec.json.format(msgspec.json.encode(tree), indent=2) + b"\n"
    descriptor, temporary = tempfile.mkstemp(prefix=".config-", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
