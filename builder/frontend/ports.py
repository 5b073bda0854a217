"""EXPOSE arguments: `[ip:][host:]port[-end][/proto]` to the container ports they name (go-connections nat)."""

from __future__ import annotations

from collections.abc import Callable

from builder.errors import LayerwrightError

PROTOCOLS = ("tcp", "udp", "sctp")
MAX_PORT = 65535


def parse_expose(text: str, error: Callable[..., LayerwrightError]) -> tuple[str, ...]:
    """`8000-8002/TCP` to `8000/tcp`, `8001/tcp`, `8002/tcp`; an address and a host port are dropped."""
    spec, slash, proto = text.partition("/")
    proto = proto.lower() if slash and proto else "tcp"
    if proto not in PROTOCOLS:
        raise error(f"{text!r} has the protocol {proto!r}", "the protocols are tcp, udp and sctp")
    container = spec.rpartition(":")[2]
    first, dash, last = container.partition("-")
    bounds = [_port(first, text, error), _port(last, text, error) if dash else 0]
    begin, end = bounds[0], bounds[1] if dash else bounds[0]
    if end < begin:
        raise error(f"{text!r} is a range that ends before it begins")
    return tuple(f"{port}/{proto}" for port in range(begin, end + 1))


def _port(text: str, whole: str, error: Callable[..., LayerwrightError]) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 5 or int(text) > MAX_PORT:
        raise error(f"{whole!r} is not a port", "write port[-end][/protocol], as 8080 or 5000-5010/udp")
    return int(text)
