"""A registry's host as people write it on the command line."""

from __future__ import annotations

from builder.errors import UsageError
from builder.oci.reference import parse_reference


def registry_host(text: str) -> str:
    """`host[:port]` out of a host, an address or a name; docker.io by one name."""
    bare = text.partition("://")[2] if "://" in text else text
    host = bare.partition("/")[0]
    if host in ("index.docker.io", "registry-1.docker.io", "docker.io"):
        return "docker.io"
    try:
        return parse_reference(f"{host}/x").registry if "." in host or ":" in host or host == "localhost" else _refused(text)
    except UsageError:
        return _refused(text)


def _refused(text: str) -> str:
    raise UsageError("invalid-host", f"{text!r} is not the host of a registry", help="write HOST[:PORT], as registry.example:5000")
