"""Which credential a registry gets: docker's config.json, containers' auth.json, credential helpers.

Order: docker's config.json (its credHelpers entry for the host, then credsStore, then auths), then each
auth.json in turn (credHelpers, then auths, the longest matching `host/namespace/repository` first).
Hosts match exactly after normal form: a host that merely ends like another is another host.
A helper that fails does not stop a pull that may not need it: what it said goes into the lookup's `notes`.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

import msgspec

from builder.errors import LayerwrightError
from builder.registry.helpers import HelperFailed, helper_get
from builder.registry.settings import Settings

MAX_FILE = 4 << 20
HUB_KEY = "https://index.docker.io/v1/"
"""The key under which docker keeps the credential of docker.io."""

_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})


class Credential(msgspec.Struct, frozen=True):
    """A name and password, or an OAuth2 refresh token (`identity_token`), or a ready bearer token."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def __repr__(self) -> str:
        return f"Credential({self.username!r}, ...)"

    @property
    def basic(self) -> str:
        """The value of a Basic Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


class Lookup(msgspec.Struct, frozen=True):
    """What was found for a host, and what went wrong on the way."""

    credential: Credential | None = None
    notes: tuple[str, ...] = ()


class AuthEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One value of `auths`."""

    auth: str = ""
    username: str = ""
    password: str = ""
    identitytoken: str = ""
    registrytoken: str = ""


class AuthFile(msgspec.Struct, frozen=True, rename="camel"):
    """The part of config.json and auth.json that says how to log in."""

    auths: dict[str, AuthEntry] | None = None
    cred_helpers: dict[str, str] | None = None
    creds_store: str = ""


def lookup(settings: Settings, registry: str, repository: str = "") -> Lookup:
    """The credential for a repository of a registry (a host with its port, if any)."""
    notes: list[str] = []
    paths = ([settings.docker_config] if settings.docker_config else []) + list(settings.auth_files)
    for path in paths:
        file = read_auth_file(path)
        found = _from_file(settings, file, registry, repository, notes)
        if found is not None:
            return Lookup(found, tuple(notes))
    return Lookup(None, tuple(notes))


def read_auth_file(path: str) -> AuthFile:
    """A config.json or auth.json; an absent one is empty, a broken one is an error that quotes nothing of it."""
    try:
        raw = Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return AuthFile()
    except OSError as error:
        raise LayerwrightError("auth-file", f"{path} cannot be read: {error.strerror}") from None
    if len(raw) > MAX_FILE:
        raise LayerwrightError("auth-file", f"{path} is larger than {MAX_FILE} bytes")
    if not raw.strip():
        return AuthFile()
    try:
        return msgspec.json.decode(raw, type=AuthFile)
    except (msgspec.DecodeError, RecursionError):
        raise LayerwrightError(
            "auth-file", f"{path} is not the JSON of a docker config or auth file", help="mend it, or log in anew"
        ) from None


def server_key(registry: str) -> str:
    """The key that docker writes for a host."""
    return HUB_KEY if normal_host(registry) == "docker.io" else registry


def normal_host(key: str) -> str:
    """A key of `auths` as the host it means: no scheme, no path, docker.io by one name."""
    rest = key.partition("://")[2] if "://" in key else key
    host = rest.partition("/")[0].lower()
    return "docker.io" if host in _HUB else host


def _from_file(settings: Settings, file: AuthFile, registry: str, repository: str, notes: list[str]) -> Credential | None:
    host = normal_host(registry)
    helper = next((name for key, name in (file.cred_helpers or {}).items() if normal_host(key) == host), "") or file.creds_store
    if helper:
        try:
            found = helper_get(settings, helper, server_key(registry))
        except HelperFailed as error:
            notes.append(str(error))
            found = None
        if found is not None:
            name, secret = found
            return Credential(identity_token=secret) if name == "<token>" else Credential(name, secret)
    for key in _keys(file, host, repository):
        credential = _decode(key, (file.auths or {})[key])
        if credential is not None:
            return credential
    return None


def _keys(file: AuthFile, host: str, repository: str) -> list[str]:
    """The keys of `auths` that cover the repository: its own path first, then its parents, then the host."""
    found: list[tuple[int, str]] = []
    for key in file.auths or {}:
        if normal_host(key) != host:
            continue
        path = (key.partition("://")[2] if "://" in key else key).partition("/")[2].strip("/")
        if "://" in key or path in ("v1", "v2"):
            path = ""
        if not path or repository == path or repository.startswith(path + "/"):
            found.append((-len(path), key))
    return [key for _, key in sorted(found)]


def _decode(key: str, entry: AuthEntry) -> Credential | None:
    username, password = entry.username, entry.password
    if entry.auth:
        try:
            text = base64.b64decode(entry.auth, validate=False).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise LayerwrightError(
                "auth-file", f"the login stored for {key} is not base64", help=f"log in to {normal_host(key)} anew"
            ) from None
        username, _, password = text.partition(":")
        password = password.rstrip("\0")
    if not (username or entry.identitytoken or entry.registrytoken):
        return None
    return Credential(username, password, entry.identitytoken, entry.registrytoken)
