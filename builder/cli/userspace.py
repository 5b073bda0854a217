"""As whom a command works: root as it is, an ordinary user as root of a user namespace of its own."""

from __future__ import annotations

import os

from builder.cli.settings import Environment, registry_settings, store_root, store_size
from builder.engine.workshop import WorkshopSettings
from builder.errors import LayerwrightError


def workshop_settings(env: Environment, root: str | None, insecure: tuple[str, ...] = (), *, size: str | None = None) -> WorkshopSettings:
    """Where things are, and how large the store may grow (`size`: as an option says).

    An ordinary user is inside a user namespace when this returns.
    """
    path = store_root(env, root)
    limit = store_size(env, size)
    registry = registry_settings(env, insecure)
    engine = env.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    from runtime.unsupported import in_user_namespace

    if env.uid == 0 and not in_user_namespace():
        return WorkshopSettings(path, registry, docker_engine=engine, store_size=limit)
    # In a user namespace that is there already, only pasta wants more: a mount namespace. What it takes loads in some milliseconds.
    if env.uid != 0 or os.access("/dev/net/tun", os.R_OK | os.W_OK):
        _enter_user_namespace()
    # Root of a user namespace may not set trusted attributes, and /run is seldom its own (overlayfs.rst, "userxattr").
    return WorkshopSettings(path, registry, state_dir=f"{path}/run", xattr_prefix="user.overlay.", docker_engine=engine, store_size=limit)


def _enter_user_namespace() -> None:
    """Raises LayerwrightError where this user has none."""
    from runtime.unsupported import Unsupported
    from runtime.userns import enter_user_namespace

    try:
        enter_user_namespace()
    except Unsupported as error:
        raise LayerwrightError("no-user-namespace", error.reason, help=error.remedy or "`layerwright doctor` tells more") from None
