"""Flags that scripts written for buildx carry along: resources in one flag, attestations turned off."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from builder.errors import UsageError
from grammar.diagnostics import suggest

_TEXTS = ("memory", "memory-swap", "cpuset-cpus", "cpuset-mems", "cgroup-parent")
_NUMBERS = ("cpu-shares", "cpu-period", "cpu-quota", "pids-limit")
_OFF = ("false", "0", "f", "disabled", "disabled=true", "disabled=1")


def spread_resources(options: dict[str, Any]) -> dict[str, Any]:
    """The options with every --resource NAME=VALUE[,…] put where its own option would be; that one wins."""
    changed = dict(options)
    for item in options["resource_list"]:
        for name, value in _pairs(item):
            if name not in _TEXTS + _NUMBERS:
                near = suggest(name, _TEXTS + _NUMBERS)
                help = f"did you mean {near}?" if near else f"it is one of {', '.join(_TEXTS + _NUMBERS)}"
                raise UsageError("bad-resource", f"--resource {name!r} is not a resource", help=help)
            key = name.replace("-", "_")
            if options[key] is None:
                changed[key] = _number(name, value) if name in _NUMBERS else value
    return changed


def refuse_attestations(provenance: str | None, sbom: str | None, attest: Iterable[str]) -> None:
    """Raises UsageError unless every attestation is turned off: none are made."""
    for option, value in (("--provenance", provenance), ("--sbom", sbom)):
        if value is not None and value.lower() not in _OFF:
            raise _unsupported(f"{option}={value}", f"leave it out, or write {option}=false")
    for value in attest:
        if not any(field.strip().lower() in _OFF for field in value.split(",")):
            raise _unsupported(f"--attest {value}", "leave it out, or add disabled=true")


def _unsupported(written: str, help: str) -> UsageError:
    return UsageError("attestations", f"{written}: attestations are not supported", help=help)


def _pairs(item: str) -> list[tuple[str, str]]:
    """NAME=VALUE fields; one without `=` belongs to the value before it (cpuset-cpus=0,2)."""
    pairs: list[tuple[str, str]] = []
    for field in item.split(","):
        name, equals, value = field.partition("=")
        if equals:
            pairs.append((name.strip().lower(), value.strip()))
        elif pairs:
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]},{field.strip()}")
        else:
            raise UsageError("bad-resource", f"--resource {item!r} is not NAME=VALUE", help="write as memory=512m,cpu-shares=512")
    return pairs


def _number(name: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise UsageError("bad-resource", f"--resource {name}={value!r} is not a number") from None
