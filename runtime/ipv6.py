"""IPv6 for steps: whether this host has it to share, which addresses steps get, and forwarding switched on with care.

Steps get unique local addresses (RFC 4193), a /126 for each link, and the host's address on the way out (NAT66), as
IPv4 has it. A name with addresses of both kinds is then reached by IPv4 (RFC 6724, labels), so a host whose IPv6 leads
nowhere does not slow a step down. Whatever of this cannot be had, steps have IPv4 only.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from ipaddress import IPv6Address, IPv6Network

from runtime.unsupported import read

_CONF = "/proc/sys/net/ipv6/conf"
_REJECT = 0x0200  # linux/route.h, RTF_REJECT


def subnet(directory: str) -> IPv6Network | None:
    """The /64 of a pool's steps, the same for as long as the host has its id; None where the host has no way out by IPv6."""
    routes = _routes()
    if not any(network.prefixlen == 0 for network, _device in routes):
        return None
    mark = hashlib.sha256(f"layerwright {read('/etc/machine-id').strip()} {directory}".encode("utf-8", "surrogateescape")).digest()
    found = IPv6Network((b"\xfd" + mark[:7] + bytes(8), 64))
    taken = any(network.prefixlen and network.overlaps(found) and not device.startswith("lw") for network, device in routes)
    return None if taken else found


def addresses(network: IPv6Network, number: int) -> tuple[IPv6Address, IPv6Address]:
    """The gateway and the inner address of link `number`: a /126 each."""
    return network[4 * number + 1], network[4 * number + 2]


def forward() -> bool:
    """Switch forwarding on; False where that cannot be.

    An interface that forwards stops taking its address and its way out from router advertisements, unless told to go
    on (ip-sysctl.rst, accept_ra 2): the host must not lose its own.
    """
    switch = f"{_CONF}/all/forwarding"
    if read(switch).strip() == "1":
        return True
    try:
        for name in os.listdir(_CONF):
            if read(f"{_CONF}/{name}/accept_ra").strip() == "1" and name not in ("all", "lo"):
                _write(f"{_CONF}/{name}/accept_ra", "2")
        _write(switch, "1")
    except OSError:
        return False
    return True


def keep_off(name: str) -> None:
    """No IPv6 on a link, not even link-local."""
    with suppress(FileNotFoundError):
        _write(f"{_CONF}/{name}/disable_ipv6", "1")


def _routes() -> list[tuple[IPv6Network, str]]:
    """Of the host, but for rejecting ones and those of multicast and loopback: /proc/net/ipv6_route, everything in hex."""
    found = []
    for line in read("/proc/net/ipv6_route").splitlines():
        columns = line.split()
        if columns[9] != "lo" and not int(columns[8], 16) & _REJECT and not columns[0].startswith("ff"):
            found.append((IPv6Network((bytes.fromhex(columns[0]), int(columns[1], 16)), strict=False), columns[9]))
    return found


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as stream:
        stream.write(text)
