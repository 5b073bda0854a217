"""As whom a command works: root as it is, an ordinary user as root of a user namespace of its own."""

from __future__ import annotations

from builder.cli.settings import Environment, registry_settings, store_root
from builder.engine.workshop import WorkshopSettings


def workshop_settings(env: Environment, root: str | None, insecure: tuple[str, ...] = ()) -> WorkshopSettings:
    """Where things are; an ordinary user is inside a user namespace when this returns."""
    path = store_root(env, root)
    if env.uid == 0:
        return WorkshopSettings(path, registry_settings(env, insecure))
    from runtime.userns import enter_user_namespace

    enter_user_namespace()
    return WorkshopSettings(path, registry_settings(env, insecure), state_dir=f"{path}/run", xattr_prefix="user.overlay.")
