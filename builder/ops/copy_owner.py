"""--chown, and the owner WORKDIR gives: names as the target stage's passwd has them.

A user that is not there becomes 0:0 and a group that is not there is left out, with a warning where BuildKit is
silent; a number out of range is an error.
"""

from __future__ import annotations

from builder.fs.ownership import lookup_chown
from builder.fs.tree import Tree
from grammar.diagnostics import Diagnostic


def owner_of(spec: str, users: Tree, warnings: list[Diagnostic], what: str = "--chown") -> tuple[int, int]:
    """The (uid, gid) of `user[:group]`."""
    owner = lookup_chown(users, spec)
    for name in owner.unknown:
        message = f"{what}={spec}: the stage's root filesystem has no {name!r} in /etc/passwd or /etc/group, so it does not count"
        warnings.append(Diagnostic("unknown-owner", message, help="create it in an earlier RUN, or give numeric ids", severity="warning"))
    return owner.uid, owner.gid
