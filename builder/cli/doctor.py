"""`layerwright doctor`: what this machine and this user can do, and what to mend."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.settings import Environment, read_environment, registry_settings, store_root

if TYPE_CHECKING:
    from runtime.host import Capability, HostReport

EPILOG = """\b
Examples:
  layerwright doctor
  layerwright doctor --json
"""

_MODES = {
    "root": "steps run as root, in namespaces of their own",
    "userns": "steps run as root of a user namespace: no root needed",
    "none": "steps cannot run here",
}
_OPTIONAL = frozenset({"overlay", "devices", "network", "limits", "seccomp", "logins"})
"""What a build can do without, in a slower or lesser way."""

_LOW_SPACE = 2 << 30


@click.command(epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--root", metavar="DIR", help="The store.")
def doctor(as_json: bool, root: str | None) -> int:
    """Show what this machine can do, and what to mend. The exit code is 1 when a build cannot work."""
    env = read_environment()
    path = store_root(env, root)
    report = _probe(env, path)
    checks = (*report.capabilities, *_settings_checks(env, path))
    broken = report.mode == "none" or any(not check.ok and check.name not in _OPTIONAL for check in checks)
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(report, capabilities=checks)), indent=2).decode())
        return 1 if broken else 0
    click.echo(_MODES[report.mode])
    click.echo(f"the store is {path}\n")
    width = max(len(check.name) for check in checks)
    for check in checks:
        mark = "ok" if check.ok else ("--" if check.name in _OPTIONAL else "NO")
        click.echo(f"{mark}  {check.name.ljust(width)}  {check.reason}".rstrip())
        if check.remedy:
            click.echo(f"{' ' * (width + 6)}try: {check.remedy}")
    return 1 if broken else 0


def _probe(env: Environment, path: Path) -> HostReport:
    """The host as a build would find it: an ordinary user tries from inside the user namespace, where there is one."""
    from runtime.host import Unsupported, probe

    if env.uid != 0:
        from runtime.userns import enter_user_namespace

        try:
            enter_user_namespace()
        except Unsupported:
            return probe()
    place = next((parent for parent in (path, *path.parents) if parent.is_dir()), None)
    return probe(str(place) if place is not None and os.access(place, os.W_OK) else None)


def _settings_checks(env: Environment, path: Path) -> tuple[Capability, ...]:
    """The disk of the store, and the files that say how registries are reached."""
    from builder.errors import LayerwrightError
    from builder.progress.plain import size_text
    from builder.registry.credentials import lookup
    from builder.registry.mirrors import load_mirrors
    from builder.store.space import free_bytes
    from runtime.host import Capability

    place = next(parent for parent in (path, *path.parents) if parent.is_dir())
    free = free_bytes(place)[0]
    low = free < _LOW_SPACE
    found = [
        Capability(
            "disk",
            not low,
            f"{size_text(free)} are free at {place}",
            "free some with `layerwright prune`, or use another --root" if low else "",
        )
    ]
    settings = registry_settings(env)
    try:
        load_mirrors(settings)
        found.append(Capability("registries.conf", True))
    except LayerwrightError as error:
        found.append(Capability("registries.conf", False, error.message, error.help or ""))
    try:
        notes = lookup(settings, "docker.io").notes
        found.append(
            Capability("logins", not notes, "; ".join(notes), "install the helper, or take it out of the docker config" if notes else "")
        )
    except LayerwrightError as error:
        found.append(Capability("logins", False, error.message, error.help or ""))
    return tuple(found)
