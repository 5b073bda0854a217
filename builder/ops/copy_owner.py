"""--chown, and the owner WORKDIR gives: names as the target stage's passwd has them.

A name that is not there becomes 0 with a warning, as BuildKit does silently; a number out of range is an error.
"""

from __future__ import annotations

from builder.errors import NotFoundError
from builder.fs.ownership import lookup_chown
from builder.fs.tree import Tree
from grammar.diagnostics import Diagnostic


def owner_of(spec: str, users: Tree, warnings: list[Diagnostic], what: str = "--chown") -> tuple[int, int]:
    """The (uid, gid) of `user[:group]`."""
    try:
        identity = lookup_chown(users, spec)
    except NotFoundError as error:
        message = f"{what}={spec}: {error.message}; root is the owner instead"
        warnings.append(Diagnostic("unknown-owner", message, help=error.help, severity="warning"))
        return 0, 0
    return identity.uid, identity.gid
