"""The contents of a step's /etc/hosts and /etc/resolv.conf, from data; reads nothing.

They follow BuildKit: `executor/oci/hosts.go`, and `resolvconf.go` of moby, which drops name servers on
the loopback device, since a step with a network of its own has another one.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

HOST_GATEWAY = "host-gateway"
FALLBACK_SERVERS = ("8.8.8.8", "8.8.4.4")


def hosts_file(hostname: str, extra: Iterable[tuple[str, str]], gateway: str | None) -> str:
    """`extra` are (ip, name); `gateway` stands for the ip `host-gateway`, such lines being left out if there is none."""
    lines = [f"127.0.0.1\tlocalhost {hostname}", "::1\tlocalhost ip6-localhost ip6-loopback"]
    for ip, name in extra:
        address = gateway if ip == HOST_GATEWAY else ip
        if address is not None:
            lines.append(f"{address}\t{name}")
    return "\n".join(lines) + "\n"


def only_loopback(resolv_conf: str) -> bool:
    """Whether there are name servers and all of them are loopback addresses."""
    found = list(servers(resolv_conf))
    return bool(found) and all(_is_loopback(server) for server in found)


def without_loopback(resolv_conf: str) -> str:
    """The file without its loopback name servers; public ones where none is left."""
    lines = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver" and _is_loopback(words[1]):
            continue
        lines.append(line)
    if not any(True for _ in servers("\n".join(lines))):
        lines += [f"nameserver {server}" for server in FALLBACK_SERVERS]
    return "\n".join(lines) + "\n"


def servers(resolv_conf: str) -> Iterable[str]:
    """The addresses of the name servers, in order."""
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            yield words[1]


def _is_loopback(server: str) -> bool:
    try:
        return ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False
