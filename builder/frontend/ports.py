"""EXPOSE arguments: `[ip:][host:]port[-end][/proto]` to the container ports they name (go-connections nat)."""

from __future__ import annotations

from collections.abc import Callable

from builder.errors import LayerwrightError

PROTOCOLS = ("tcp", "udp", "sctp")
MAX_PORT = 65535


def parse_expose(text: str, error: Callable[..., LayerwrightError]) -> tuple[str, ...]:
    """`8000-8002/TCP` to `8000/tcp`, `8001/tcp`, `8002/tcp`; an address and a host port are dropped."""
    *address, host, container = ["", *text.split(":")] if ":" not in text else text.split(":")
    spec, _, proto = container.partition("/")
    proto = proto.lower() or "tcp"
    if proto not in PROTOCOLS:
        raise error(f"{text!r} has the protocol {proto!r}", "the protocols are tcp, udp and sctp")
    if any(address) and not _is_address(":".join(address)):
        raise error(f"{text!r} begins with something that is no IP address", "EXPOSE names ports of the container only")
    begin, end = _range(spec, text, error)
    if host:
        first, last = _range(host, text, error)
        if last - first != end - begin and end != begin:
            raise error(f"{text!r} has two ranges of different length")
    return tuple(f"{port}/{proto}" for port in range(begin, end + 1))


def _is_address(text: str) -> bool:
    from ipaddress import ip_address

    try:
        ip_address(text[1:-1] if text.startswith("[") and text.endswith("]") else text)
    except ValueError:
        return False
    return True


def _range(spec: str, whole: str, error: Callable[..., LayerwrightError]) -> tuple[int, int]:
    first, dash, last = spec.partition("-")
    begin = _port(first, whole, error)
    end = _port(last, whole, error) if dash else begin
    if end < begin:
        raise error(f"{whole!r} is a range that ends before it begins")
    return begin, end


def _port(text: str, whole: str, error: Callable[..., LayerwrightError]) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 5 or int(text) > MAX_PORT:
        raise error(f"{whole!r} is not a port", "write port[-end][/protocol], as 8080 or 5000-5010/udp")
    return int(text)
