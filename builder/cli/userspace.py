"""As whom a command works: root as it is, an ordinary user as root of a user namespace of its own."""

from __future__ import annotations

from builder.cli.settings import Environment, registry_settings, store_root, store_size
from builder.engine.workshop import WorkshopSettings


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
    if env.uid != 0:
        from runtime.userns import enter_user_namespace

        enter_user_namespace()
    # Root of a user namespace may not set trusted attributes, and /run is seldom its own (overlayfs.rst, "userxattr").
    return WorkshopSettings(path, registry, state_dir=f"{path}/run", xattr_prefix="user.overlay.", docker_engine=engine, store_size=limit)
