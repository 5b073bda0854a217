"""From the options of `build` to a request: values parsed, the environment's share added."""

from __future__ import annotations

import sys
from typing import Any

from builder.cli.build_scripts import refuse_attestations, spread_resources
from builder.cli.settings import Environment, parse_epoch
from builder.cli.values import build_arguments, parse_hosts, parse_pairs, parse_secrets, parse_size, parse_ssh
from builder.engine.request import BuildRequest
from builder.errors import UsageError
from builder.ops.limits import parse_ulimit
from runtime.spec import Resources

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")


def make_request(options: dict[str, Any], env: Environment) -> BuildRequest:
    """The request that these options make; raises UsageError."""
    refuse_attestations(options["provenance"], options["sbom"], options["attest"])
    options = spread_resources(options)
    arguments = build_arguments(options["build_args"], env)
    epoch_text = arguments.get("SOURCE_DATE_EPOCH") or env.get("SOURCE_DATE_EPOCH")
    epoch: int | None = None
    if epoch_text:
        # A word that is no number names a context or a stage; the engine finds what time it stands for.
        epoch = parse_epoch(epoch_text) if epoch_text[:1].isdigit() or epoch_text[:1] in "+-" else None
        arguments["SOURCE_DATE_EPOCH"] = epoch_text
    allow = tuple(part for item in options["allow"] for part in item.split(",") if part)
    if options["network"] == "host":
        allow = (*allow, "network.host")
    for name in allow:
        if name not in ("network.host", "security.insecure"):
            raise UsageError(
                "bad-entitlement", f"--allow {name!r} is not an entitlement", help="the entitlements are network.host and security.insecure"
            )
    return BuildRequest(
        context=options["context"],
        dockerfile=options["dockerfile"],
        tags=tuple(options["tags"]),
        target=options["target"],
        build_args=arguments,
        labels=parse_pairs("--label", options["labels"]),
        annotations=tuple(options["annotations"]),
        platforms=tuple(options["platforms"]),
        contexts=parse_pairs("--build-context", options["contexts"]),
        no_cache=options["no_cache"],
        no_cache_stages=tuple(part for item in options["no_cache_filter"] for part in item.split(",") if part),
        pull=options["pull"],
        cache_from=tuple(options["cache_from"]),
        cache_to=tuple(options["cache_to"]),
        cache_mounts=options["cache_mounts"],
        network=options["network"],
        hosts=parse_hosts(options["hosts"]),
        shm_size=parse_size("--shm-size", options["shm_size"]),
        ulimits=_ulimits(options["ulimits"]),
        resources=_resources(options),
        allow=allow,
        secrets=parse_secrets(options["secrets"], env),
        ssh=parse_ssh(options["ssh"], env),
        outputs=tuple(options["outputs"]),
        push=options["push"],
        load=options["load"],
        strict=options["strict"],
        jobs=options["jobs"],
        epoch=epoch,
        proxies=_proxies(arguments),
        stdin=sys.stdin.buffer,
        stdout=sys.stdout.buffer,
    )


def _proxies(arguments: dict[str, str]) -> dict[str, str]:
    """The predefined proxy arguments, in both cases (reference 1.8)."""
    given = {key: value for key, value in arguments.items() if key.upper() in PROXIES}
    return {name: value for key, value in given.items() for name in (key.upper(), key.lower())}


def _ulimits(items: tuple[str, ...]) -> tuple[str, ...]:
    """As they were given, once each was found to be one; the last of a name holds."""
    return tuple({parse_ulimit(item).name: item for item in items}.values())


def _resources(options: dict[str, Any]) -> Resources:
    swap = options["memory_swap"]
    return Resources(
        memory=parse_size("--memory", options["memory"]) if options["memory"] else None,
        memory_swap=(-1 if swap == "-1" else parse_size("--memory-swap", swap)) if swap else None,
        cpu_shares=options["cpu_shares"],
        cpu_period=options["cpu_period"],
        cpu_quota=options["cpu_quota"],
        cpuset_cpus=options["cpuset_cpus"],
        cpuset_mems=options["cpuset_mems"],
        pids=options["pids_limit"],
        cgroup_parent=options["cgroup_parent"],
    )
