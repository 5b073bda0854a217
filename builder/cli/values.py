"""Values of options: sizes, key=value pairs, hosts, secrets; each with an error that says what was expected."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from builder.cli.settings import Environment
from builder.errors import UsageError
from builder.ops.secrets import SecretFile, SecretValue

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?\Z", re.IGNORECASE)
FILTER = "Only what meets it, as type=step or description~=apt; may be repeated."
"""Help of --filter."""

_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}


def parse_size(option: str, text: str) -> int:
    """`64m` in bytes; units are powers of 1,024, as docker's are."""
    match = _SIZE.match(text.strip())
    if match is None:
        raise UsageError("bad-size", f"{option} {text!r} is not a size", help="write a number of bytes with k, m or g, as 512m")
    return int(float(match[1]) * (1 << _UNITS[match[2].lower()]))


def parse_span(option: str, text: str) -> int:
    """A length of time in ns: `90s`, `48h`, `1h30m`, or days as `7d`."""
    from grammar.durations import parse_duration

    match = re.fullmatch(r"(\d{1,6})d", text.strip())
    try:
        span = int(match[1]) * 86400 * 10**9 if match else parse_duration(text.strip())
    except ValueError:
        span = -1
    if span < 0:
        raise UsageError("bad-duration", f"{option} {text!r} is not a length of time", help="write a number with s, m, h or d, as 48h")
    return span


def parse_pairs(option: str, items: Iterable[str]) -> dict[str, str]:
    """`key=value` items; a later one wins."""
    pairs: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not key:
            raise UsageError("bad-pair", f"{option} {item!r} has no name", help=f"write {option} NAME=VALUE")
        pairs[key] = value if equals else ""
    return pairs


def build_arguments(items: Iterable[str], env: Environment) -> dict[str, str]:
    """--build-arg: without a value the environment's is taken; one that is not set there is not passed."""
    values: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not key:
            raise UsageError("bad-pair", f"--build-arg {item!r} has no name", help="write --build-arg NAME=VALUE")
        if equals:
            values[key] = value
        elif key in env.variables:
            values[key] = env.variables[key]
    return values


def parse_hosts(items: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """--add-host: `name:address` or `name=address`."""
    hosts: list[tuple[str, str]] = []
    for item in items:
        name, separator, address = item.partition("=") if "=" in item else item.partition(":")
        address = address.removeprefix("[").removesuffix("]")
        if not name or not separator or not _is_address(address):
            raise UsageError(
                "bad-host",
                f"--add-host {item!r} is not a host and an address",
                help="write --add-host NAME:ADDRESS, as db:10.0.0.7 or gateway:host-gateway",
            )
        hosts.append((name, address))
    return tuple(hosts)


def _is_address(text: str) -> bool:
    from ipaddress import ip_address

    try:
        return text == "host-gateway" or bool(ip_address(text))
    except ValueError:
        return False


def parse_secrets(items: Iterable[str], env: Environment) -> dict[str, SecretFile | SecretValue]:
    """--secret: `id=x[,src=file][,env=VAR][,type=file|env]`; without src and env a variable of that name, else a file."""
    secrets: dict[str, SecretFile | SecretValue] = {}
    for item in items:
        fields = _fields("--secret", item, {"id", "src", "source", "env", "type"})
        source, variable = fields.get("src") or fields.get("source"), fields.get("env")
        identity = fields.get("id") or (source or variable or "").rpartition("/")[2]
        if not identity:
            raise UsageError("bad-secret", f"--secret {item!r} has no id", help="write --secret id=NAME,src=FILE")
        if fields.get("type") == "env" and variable is None:
            variable, source = source or identity, None
        if variable is None and source is None and fields.get("type") != "file" and identity in env.variables:
            variable = identity
        if variable is not None:
            if variable not in env.variables:
                raise UsageError(
                    "bad-secret", f"--secret {identity}: the variable {variable} is not set", help="export it, or name a file with src="
                )
            secrets[identity] = SecretValue(env.variables[variable].encode("utf-8", "surrogateescape"))
        else:
            secrets[identity] = SecretFile(_absolute(source or identity, env))
    return secrets


def parse_ssh(items: Iterable[str], env: Environment) -> dict[str, tuple[str, ...]]:
    """--ssh: `default` or `id[=socket]` or `id=key[,key...]`; the socket of SSH_AUTH_SOCK where none is named."""
    agents: dict[str, tuple[str, ...]] = {}
    for item in items:
        identity, _, named = item.partition("=")
        socket = env.get("SSH_AUTH_SOCK")
        paths = tuple(path for path in named.split(",") if path) or ((socket,) if socket else ())
        if not paths:
            raise UsageError(
                "bad-ssh",
                f"--ssh {item}: no agent, for SSH_AUTH_SOCK is not set",
                help="start one with `eval $(ssh-agent)` and ssh-add, or name a socket or a key: --ssh default=SOCKET",
            )
        agents[identity or "default"] = tuple(_absolute(path, env) for path in paths)
    return agents


def _fields(option: str, item: str, known: set[str]) -> Mapping[str, str]:
    fields: dict[str, str] = {}
    for part in item.split(","):
        key, equals, value = part.partition("=")
        if not equals or key.lower() not in known:
            raise UsageError("bad-option", f"{option} {item!r}: {part!r} is not one of {', '.join(sorted(known))} with a value")
        fields[key.lower()] = value
    return fields


def _absolute(path: str, env: Environment) -> str:
    if path.startswith("~/"):
        path = f"{env.home}/{path[2:]}"
    return path if path.startswith("/") else f"{env.cwd}/{path}"
