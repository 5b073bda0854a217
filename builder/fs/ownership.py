"""Users and groups by name, as the files of an image's root say; nothing of the host is asked.

The rules of moby/sys/user (USER) and of BuildKit's file operations (--chown); reference 1.3, 1.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import msgspec

from builder.errors import LayerwrightError, NotFoundError
from builder.fs.limits import DEFAULT
from builder.fs.resolve import resolve
from builder.fs.tree import Tree

MAX_ID = (1 << 31) - 1
"""A larger id could wrap to root or to "unchanged" (CVE-2024-40635)."""


class Identity(msgspec.Struct, frozen=True):
    """Who a process runs as; `home` is that of the first account with the uid, as runc looks it up, and "/" where there is none."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"

    @property
    def all_groups(self) -> tuple[int, ...]:
        """The supplementary groups with the primary one among them, so that no setgid program sheds it (CVE-2022-36109)."""
        return tuple(dict.fromkeys((self.gid, *self.groups)))


class Ownership(msgspec.Struct, frozen=True):
    """What files are to belong to; `unknown` are names that were not found, for which 0 stands (as BuildKit does, silently)."""

    uid: int
    gid: int
    unknown: tuple[str, ...] = ()


class _Account(msgspec.Struct, frozen=True):
    name: str
    uid: int
    gid: int
    home: str


class _Group(msgspec.Struct, frozen=True):
    name: str
    gid: int
    members: tuple[str, ...]


def lookup_user(tree: Tree, spec: str) -> Identity:
    """USER: `name|uid[:group|gid]`; "" is 0:0 without supplementary groups, as BuildKit has it, whatever /etc/group says of root.

    Without a group the account's own one counts, with the supplementary groups it is a member of; with one, no
    supplementary groups do. A numeric user need not exist. Raises LayerwrightError for an unknown name.
    """
    user, _, group = spec.partition(":")
    account = _find_account(tree, user or "0")
    if not spec:
        return Identity(0, 0, (), account.home if account else "/")
    if account is None and not _is_number(user or "0"):
        raise NotFoundError(
            "unknown-user", f"there is no user {user!r} in /etc/passwd", help="create it in an earlier RUN, or give a numeric id"
        )
    uid = account.uid if account else _checked(user or "0", "user")
    home = next((found.home for found in _accounts(tree) if found.uid == uid), "/")
    if group:
        return Identity(uid, _group_id(tree, group), (), home)
    if account is None:
        return Identity(uid, 0, (), home)
    groups = tuple(dict.fromkeys(found.gid for found in _groups(tree) if account.name in found.members))
    return Identity(uid, account.gid, groups, home)


ROOT = ("", "root")
"""What --chown takes for 0 without a look into the files."""


def lookup_chown(tree: Tree, spec: str) -> Ownership:
    """--chown: `name|uid[:group|gid]`. A number alone is the group too, a name brings its own group.

    As BuildKit has it: an unknown user is 0:0, an unknown group leaves the user's, `root` and an empty part are 0 unasked.
    A number out of range is a name there, which nobody has.
    """
    user, colon, group = spec.partition(":")
    unknown: list[str] = []
    uid = gid = 0
    if _is_id(user):
        uid = gid = int(user)
    elif user not in ROOT:
        account = next((found for found in _accounts(tree) if found.name == user), None)
        if account is None:
            unknown.append(user)
        else:
            uid, gid = account.uid, account.gid
    if _is_id(group):
        gid = int(group)
    elif group in ROOT:
        gid = 0 if colon else gid
    else:
        named = next((found for found in _groups(tree) if found.name == group), None)
        # A negative number is passed on to chown(2), to which -1 means unchanged: 0 in a new file.
        gid = named.gid if named is not None else 0 if _is_number(group) and group.startswith("-") else gid
        if named is None:
            unknown.append(group)
    return Ownership(uid, gid, tuple(unknown))


def _find_account(tree: Tree, user: str) -> _Account | None:
    if _is_number(user):
        wanted = _checked(user, "user")
        return next((found for found in _accounts(tree) if found.uid == wanted), None)
    return next((found for found in _accounts(tree) if found.name == user), None)


def _group_id(tree: Tree, group: str) -> int:
    if _is_number(group):
        return _checked(group, "group")
    for found in _groups(tree):
        if found.name == group:
            return found.gid
    raise NotFoundError(
        "unknown-group", f"there is no group {group!r} in /etc/group", help="create it in an earlier RUN, or give a numeric id"
    )


def _is_number(text: str) -> bool:
    return text != "" and text.isascii() and text.lstrip("+-")[:1].isdigit() and text[text[0] in "+-" :].isdigit()


def _is_id(text: str) -> bool:
    return _is_number(text) and len(text) <= 11 and 0 <= int(text) <= MAX_ID


def _checked(text: str, what: str) -> int:
    # The length first: turning a long text into a number takes quadratic time.
    if len(text) > 11 or not 0 <= int(text) <= MAX_ID:
        raise LayerwrightError("id-out-of-range", f"the {what} id {text[:20]} is not between 0 and {MAX_ID}")
    return int(text)


def _accounts(tree: Tree) -> tuple[_Account, ...]:
    return _parse_accounts(_read(tree, "etc/passwd"))


def _groups(tree: Tree) -> tuple[_Group, ...]:
    return _parse_groups(_read(tree, "etc/group"))


# Kept by content: each step of a build asks, mostly of the same files. Measured: half a millisecond of a step.
@lru_cache(maxsize=2)
def _parse_accounts(data: bytes) -> tuple[_Account, ...]:
    return tuple(
        _Account(fields[0], int(fields[2]), int(fields[3]), fields[5])
        for fields in _lines(data, 7)
        if _fits(fields[2]) and _fits(fields[3])
    )


@lru_cache(maxsize=2)
def _parse_groups(data: bytes) -> tuple[_Group, ...]:
    return tuple(
        _Group(fields[0], int(fields[2]), tuple(name for name in fields[3].split(",") if name))
        for fields in _lines(data, 4)
        if _fits(fields[2])
    )


def _fits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAX_ID


def _read(tree: Tree, path: str) -> bytes:
    """A file of accounts; nothing when it is no regular file.

    Links are followed inside the tree. A file over the cap is an error: what stands behind it could be what is asked for.
    """
    try:
        fd = tree.open(resolve(tree, path))
    except (OSError, ValueError):
        return b""
    with open(fd, "rb") as file:
        data = file.read(DEFAULT.accounts + 1)
    if len(data) > DEFAULT.accounts:
        raise LayerwrightError("accounts-too-large", f"/{path} is larger than {DEFAULT.accounts} bytes")
    return data


def _lines(data: bytes, least: int) -> Iterator[list[str]]:
    """The lines of a colon-separated file, missing fields empty."""
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        text = line.strip()
        if text and not text.startswith("#"):
            fields = text.split(":")
            yield fields + [""] * (least - len(fields))
