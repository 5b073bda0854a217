"""The packet filter rules that let steps out and keep them apart: one table of ours in nftables, else iptables.

For IPv6 a second table of the same name and rules, by nftables only.

    forward      step to step: dropped; new connections from outside to a step: dropped
    postrouting  from the pool's subnet to anywhere else: masqueraded

A host whose iptables drops what it forwards (dockerd sets that policy) also gets two accepting rules there,
since a drop in one base chain of a hook is final whatever another accepts (nft(8), "verdict statements").
Applying is idempotent and atomic; it is done once a build, so rules that someone flushed come back.
"""

from __future__ import annotations

import shutil
import subprocess

from runtime.unsupported import Unsupported

_NFT = """
add table ip {table}
flush table ip {table}
table ip {table} {{
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname "{prefix}*" oifname "{prefix}*" drop
    oifname "{prefix}*" ct state new drop
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {subnet} oifname != "{prefix}*" masquerade
  }}
}}
"""
_IPTABLES, _IP6TABLES = ("iptables", "iptables-legacy"), ("ip6tables", "ip6tables-legacy")
_NFT6 = _NFT.replace("table ip ", "table ip6 ").replace("ip saddr", "ip6 saddr")
_REMEDY = "install nftables, or use --network=host"


def apply(*, table: str, prefix: str, subnet: str, subnet6: str | None = None) -> bool:
    """Make the rules for interfaces called `prefix`N with addresses of `subnet`; whether those of `subnet6` are made too."""
    if shutil.which("nft"):
        by_ipv6 = _apply_nft(table, prefix, subnet, subnet6)
    elif shutil.which("iptables"):
        _apply_iptables(prefix, subnet)
        by_ipv6 = False
    else:
        raise Unsupported("there is neither nft nor iptables to let a step's packets out", _REMEDY)
    _accept_forwarding(prefix, _IPTABLES)
    if by_ipv6:
        _accept_forwarding(prefix, _IP6TABLES)
    return by_ipv6


def _apply_nft(table: str, prefix: str, subnet: str, subnet6: str | None) -> bool:
    """Both tables in one transaction, since each has 15 ms of waiting in the kernel; a kernel without IPv6's gets the other."""
    rules = _NFT.format(table=table, prefix=prefix, subnet=subnet)
    if subnet6 is not None:
        both = rules + _NFT6.format(table=table, prefix=prefix, subnet=subnet6)
        if subprocess.run(["nft", "-f", "-"], input=both.encode(), capture_output=True, check=False).returncode == 0:
            return True
    _run(["nft", "-f", "-"], rules)
    return False


def remove(*, table: str, prefix: str, subnet: str) -> None:
    """Take the rules away again; those that are not there are fine."""
    if shutil.which("nft"):
        for family in ("ip", "ip6"):
            subprocess.run(["nft", "delete", "table", family, table], capture_output=True, check=False)
    for program in _there(_IPTABLES):
        for rule in (*_forward_rules(prefix), *_own_rules(prefix, subnet)):
            subprocess.run([program, *_with("-D", rule)], capture_output=True, check=False)
    for program in _there(_IP6TABLES):
        for rule in _forward_rules(prefix):
            subprocess.run([program, *_with("-D", rule)], capture_output=True, check=False)


def _apply_iptables(prefix: str, subnet: str) -> None:
    for rule in _own_rules(prefix, subnet):
        _ensure("iptables", rule)


def _accept_forwarding(prefix: str, programs: tuple[str, ...]) -> None:
    for program in _there(programs):
        listed = subprocess.run([program, "-S", "FORWARD"], capture_output=True, text=True, check=False)
        if "-P FORWARD DROP" in listed.stdout:
            for rule in _forward_rules(prefix):
                _ensure(program, rule)


def _there(programs: tuple[str, ...]) -> list[str]:
    return [program for program in programs if shutil.which(program)]


def _own_rules(prefix: str, subnet: str) -> list[list[str]]:
    """Inserted first to last, so the last one stands first."""
    return [
        ["-t", "nat", "POSTROUTING", "-s", subnet, "!", "-o", f"{prefix}+", "-j", "MASQUERADE"],
        ["-t", "filter", "FORWARD", "-o", f"{prefix}+", "-m", "conntrack", "--ctstate", "NEW", "-j", "DROP"],
        ["-t", "filter", "FORWARD", "-i", f"{prefix}+", "-o", f"{prefix}+", "-j", "DROP"],
    ]


def _forward_rules(prefix: str) -> list[list[str]]:
    return [
        ["-t", "filter", "FORWARD", "-i", f"{prefix}+", "!", "-o", f"{prefix}+", "-j", "ACCEPT"],
        ["-t", "filter", "FORWARD", "-o", f"{prefix}+", "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"],
    ]


def _with(verb: str, rule: list[str]) -> list[str]:
    return ["-w", *rule[:2], verb, *rule[2:]]


def _ensure(program: str, rule: list[str]) -> None:
    if subprocess.run([program, *_with("-C", rule)], capture_output=True, check=False).returncode:
        _run([program, *_with("-I", rule)], "")


def _run(argv: list[str], text: str) -> None:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        cause = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise Unsupported(f"{argv[0]} cannot let a step's packets out: {cause}", _REMEDY)
