"""Where a request goes, and who may see a credential there: every rule about that, and no I/O.

A credential is bound to (scheme, host, port). It is sent nowhere else: not after a redirect, not to the
Location of an upload, not to a token realm that the registry's answer names freely.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import msgspec

from builder.errors import LayerwrightError

DOCKER_HUB = "registry-1.docker.io"
"""Where the images of docker.io are served."""

_PORTS = {"https": 443, "http": 80}

_SHARED_PARENTS = frozenset({
    "amazonaws.com", "appspot.com", "azurecr.cn", "azurecr.io", "azurecr.us", "azurewebsites.net", "cloudapp.net",
    "cloudfront.net", "fly.dev", "github.io", "gitlab.io", "herokuapp.com", "jfrog.io", "netlify.app", "ngrok.io",
    "on.aws", "onrender.com", "pages.dev", "pkg.dev", "run.app", "scw.cloud", "vercel.app", "windows.net", "workers.dev",
})  # fmt: skip
"""Domains below which strangers have names of their own (a part of publicsuffix.org that hosts registries)."""

_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "go", "gob", "gov", "gv", "mil", "ne", "net", "nom", "or", "org", "sch"})
"""Labels that make a public suffix with a country code, as in co.uk and com.au."""

_KNOWN_TOKEN_HOSTS = ((".scw.cloud", "api.scaleway.com"),)
"""Token services of public registries that live under another domain; a leading dot matches below."""


class Origin(msgspec.Struct, frozen=True):
    """What a credential is bound to."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if _PORTS.get(self.scheme) == self.port else f":{self.port}")


class Bound(msgspec.Struct, frozen=True):
    """An Authorization header and the only origin that may see it."""

    origin: Origin
    header: str

    def __repr__(self) -> str:
        return f"Bound({self.origin}, ...)"


def origin_of(url: str) -> Origin:
    """The origin of an http or https URL; anything else, or one with a password in it, is refused."""
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), (parts.hostname or "").lower().rstrip("."), parts.port
    except ValueError:
        scheme, host, port, parts = "", "", None, urlsplit("")
    if scheme not in _PORTS or not host or "\\" in url or any(ch <= " " for ch in url):
        raise LayerwrightError("invalid-url", f"{redact(url)[:200]!r} is not an http or https address")
    if parts.username is not None or parts.password is not None:
        raise LayerwrightError(
            "invalid-url", f"the address {redact(url)[:200]!r} has a user name in it", help="log in instead, and leave it out"
        )
    return Origin(scheme, host, port if port is not None else _PORTS[scheme])


def authorization_for(url: str, bound: Bound | None) -> str | None:
    """The Authorization header for a request to this URL: the one place where a credential is let out."""
    if bound is None or origin_of(url) != bound.origin:
        return None
    return bound.header


def check_redirect(source: str, target: str) -> None:
    """Refuse a redirect that leaves TLS, or that leads from elsewhere into this machine or its link."""
    before, after = origin_of(source), origin_of(target)
    if before.scheme == "https" and after.scheme == "http":
        raise LayerwrightError(
            "unsafe-redirect", f"{before} redirects to {after}, which is not encrypted", help="fix the server's redirect"
        )
    if is_internal(after.host) and not is_internal(before.host):
        raise LayerwrightError("unsafe-redirect", f"{before} redirects to {after}, which is inside this machine or its link")


def realm_trusted(registry: Origin, realm: Origin, listed: tuple[tuple[str, str], ...] = ()) -> bool:
    """Whether a token realm may see the registry's credentials (GHSA-9m43-p3cx-w8j5).

    The same origin always; loopback http when the registry is loopback http; else https only, and the
    same host, one below the same registrable domain, or a known or listed pair.
    """
    if realm == registry:
        return True
    if realm.scheme == "http":
        return registry.scheme == "http" and is_loopback(realm.host) and is_loopback(registry.host)
    return realm.host == registry.host or _same_site(registry.host, realm.host) or _listed(registry.host, realm.host, listed)


def realm_allowed(registry: Origin, realm: Origin) -> bool:
    """Whether a realm may be asked at all, without credentials: never into this machine from outside (SSRF)."""
    if is_internal(realm.host) and not is_internal(registry.host):
        return realm == registry
    return (
        realm.scheme == "https"
        or realm == registry
        or (registry.scheme == "http" and is_loopback(realm.host) and is_loopback(registry.host))
    )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its literal name."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def is_internal(host: str) -> bool:
    """Whether a host is this machine or its link (where clouds serve credentials) by its literal name."""
    address = _address(host)
    if address is None:
        return is_loopback(host)
    return address.is_loopback or address.is_link_local or address.is_unspecified


def redact(url: str) -> str:
    """The URL without what may be secret in it: user name, password, and the query (signed URLs)."""
    head, _, _ = url.partition("?")
    scheme, separator, rest = head.partition("://")
    if not separator:
        return head
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def _same_site(a: str, b: str) -> bool:
    """One host is the other's parent, or they share a parent that is not a public suffix."""
    if _address(a) is not None or _address(b) is not None:
        return False
    left, right = a.split("."), b.split(".")
    common: list[str] = []
    for x, y in zip(reversed(left), reversed(right), strict=False):
        if x != y:
            break
        common.insert(0, x)
    return len(common) >= 2 and not _public_suffix(common)


def _public_suffix(labels: list[str]) -> bool:
    if any(".".join(labels[start:]) in _SHARED_PARENTS for start in range(len(labels))):
        return True
    return len(labels) == 2 and len(labels[1]) == 2 and labels[0] in _SECOND_LEVEL


def _listed(registry: str, realm: str, listed: tuple[tuple[str, str], ...]) -> bool:
    for name, token_host in (*_KNOWN_TOKEN_HOSTS, *listed):
        if realm == token_host and (registry == name or (name.startswith(".") and registry.endswith(name))):
            return True
    return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
