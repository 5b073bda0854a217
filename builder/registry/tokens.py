"""Answers a registry's 401: reads its challenges and gets the header it wants, Basic or Bearer.

distribution-spec has no auth of its own; this is docker's token protocol (distribution "Token
Authentication Specification" and "OAuth2"). Which realm may be asked, and which may see the
credential, is decided in builder.registry.origin alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlencode

import msgspec

from builder.errors import LayerwrightError
from builder.registry.credentials import Credential
from builder.registry.http import Client
from builder.registry.origin import Bound, Origin, origin_of, realm_allowed, realm_trusted, redact

MAX_ANSWER = 1 << 20
CLIENT_ID = "layerwright"

_SCHEME = re.compile(r"\s*,?\s*([A-Za-z][A-Za-z0-9_-]*)(?=\s+[A-Za-z_]+\s*=|\s*$|\s*,)")
_PARAMETER = re.compile(r'\s*,?\s*([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))')


class Challenge(msgspec.Struct, frozen=True):
    """One way to log in that a 401 offers; `scheme` in lower case."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""
    error: str = ""


class Token(msgspec.Struct, frozen=True):
    """A header bound to the registry, good until `expires` on the clock."""

    bound: Bound
    expires: float


class _Answer(msgspec.Struct):
    token: str = ""
    access_token: str = ""
    expires_in: float | None = None


class TokenRefused(Exception):
    """The token service said no, with this status and words."""

    def __init__(self, status: int, realm: str) -> None:
        super().__init__(f"{redact(realm)} answered {status}")
        self.status = status


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """The challenges of a WWW-Authenticate header, several in one line or joined by commas (RFC 9110 11.6.1)."""
    found: list[Challenge] = []
    position = 0
    header = header[:8192]
    while (match := _SCHEME.match(header, position)) is not None:
        position = match.end()
        values: dict[str, str] = {}
        while (parameter := _PARAMETER.match(header, position)) is not None:
            position = parameter.end()
            quoted, plain = parameter.group(2), parameter.group(3)
            values.setdefault(parameter.group(1).lower(), re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain)
        found.append(
            Challenge(
                match.group(1).lower(), values.get("realm", ""), values.get("service", ""), values.get("scope", ""), values.get("error", "")
            )
        )
    return tuple(found)


def obtain(
    client: Client,
    registry: Origin,
    challenges: tuple[Challenge, ...],
    scopes: tuple[str, ...],
    credential: Credential | None,
    *,
    listed: tuple[tuple[str, str], ...] = (),
    insecure: bool = False,
    clock: Callable[[], float],
) -> Token | None:
    """The header for the registry; None when there is no way to log in with what we have.

    Bearer is preferred; raises TokenRefused when the token service turns the credential down.
    """
    if credential is not None and credential.registry_token:
        return Token(Bound(registry, f"Bearer {credential.registry_token}"), float("inf"))
    for challenge in challenges:
        if challenge.scheme == "bearer" and challenge.realm:
            return _bearer(client, registry, challenge, scopes, credential, listed, insecure, clock)
    if credential is not None and credential.username and any(challenge.scheme == "basic" for challenge in challenges):
        return Token(Bound(registry, credential.basic), float("inf"))
    return None


def _bearer(
    client: Client,
    registry: Origin,
    challenge: Challenge,
    scopes: tuple[str, ...],
    credential: Credential | None,
    listed: tuple[tuple[str, str], ...],
    insecure: bool,
    clock: Callable[[], float],
) -> Token:
    realm = origin_of(challenge.realm)
    if not realm_allowed(registry, realm):
        raise LayerwrightError(
            "token-realm", f"{registry} wants its token fetched from {realm}, which is not asked", help="fix the registry's realm"
        )
    if credential is not None and not realm_trusted(registry, realm, listed):
        raise LayerwrightError(
            "token-realm",
            f"{registry} wants the password sent to {realm}, which is not the same site",
            help=f"log out of {registry.host} to try without the password, or tell the registry's owner",
        )
    wanted = scopes or tuple(challenge.scope.split())
    unchecked = insecure and realm.host == registry.host
    if credential is not None and credential.identity_token:
        form = {"grant_type": "refresh_token", "refresh_token": credential.identity_token, "client_id": CLIENT_ID}
        body = urlencode({**form, "service": challenge.service, "scope": " ".join(wanted)}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        response = client.request("POST", challenge.realm, headers=headers, body=body, insecure=unchecked, retry=True, redirects=False)
    else:
        query = [("service", challenge.service)] if challenge.service else []
        query += [("scope", scope) for scope in wanted]
        bound = None
        if credential is not None and credential.username:
            query.append(("account", credential.username))
            bound = Bound(realm, credential.basic)
        separator = "&" if "?" in challenge.realm else "?"
        url = challenge.realm + (separator + urlencode(query) if query else "")
        response = client.request("GET", url, headers={"Accept": "application/json"}, bound=bound, insecure=unchecked)
    with response:
        if response.status != 200:
            raise TokenRefused(response.status, challenge.realm)
        raw = response.read(MAX_ANSWER)
    return _token(raw, registry, challenge.realm, clock)


def _token(raw: bytes, registry: Origin, realm: str, clock: Callable[[], float]) -> Token:
    try:
        answer = msgspec.json.decode(raw, type=_Answer)
    except (msgspec.DecodeError, RecursionError):
        answer = _Answer()
    value = answer.token or answer.access_token
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise LayerwrightError("token-invalid", f"the answer of {redact(realm)} holds no token", help="tell the registry's owner")
    lifetime = 60.0 if answer.expires_in is None else max(0.0, answer.expires_in)
    return Token(Bound(registry, f"Bearer {value}"), clock() + max(lifetime - 10.0, lifetime / 2))
