"""--chmod: octal, or symbolic as BSD's chmod has it, which is what BuildKit's parser follows; the umask is 0.

clauses = clause {"," clause}; clause = {"u"|"g"|"o"|"a"} action {action}; action = ("+"|"-"|"=") perms;
perms = {"r"|"w"|"x"|"X"|"s"|"t"} | "u" | "g" | "o". FreeBSD lib/libc/gen/setmode.c.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from builder.errors import UsageError

_WHO = {"u": 0o4700, "g": 0o2070, "o": 0o0007, "a": 0o6777}
_ALL = 0o6777
_PERMS = {"r": 0o444, "w": 0o222, "x": 0o111, "s": 0o6000, "t": 0o1000}
_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]+|[ugo])?)+)\Z")
_ACTION = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_SHIFT = {"u": 6, "g": 3, "o": 0}
_HELP = "write an octal mode up to 7777, or a symbolic one as u=rwX,go=rX"


class _Action(msgspec.Struct, frozen=True):
    who: int
    """The bits that this may touch; 0 when nobody was named: all, sticky too."""
    sign: str
    perms: str


def parse_chmod(spec: str) -> Callable[[int, bool], int]:
    """A function of a mode and whether it is a directory's, giving the new mode; raises UsageError."""
    if re.fullmatch(r"[0-7]{1,5}", spec) and int(spec, 8) <= 0o7777:
        mode = int(spec, 8)
        return lambda _mode, _is_dir: mode
    actions = [action for clause in spec.split(",") for action in _clause(spec, clause)]

    def change(mode: int, is_dir: bool) -> int:
        new = mode
        for action in actions:
            new = _apply(action, new, executable=is_dir or bool(mode & 0o111))
        return new & 0o7777

    return change


def _clause(spec: str, clause: str) -> list[_Action]:
    match = _CLAUSE.match(clause)
    if match is None:
        raise UsageError("invalid-chmod", f"{spec!r} is not a file mode", help=_HELP)
    who = 0
    for letter in match[1]:
        who |= _WHO[letter]
    return [_Action(who, action[1], action[2]) for action in _ACTION.finditer(match[2])]


def _apply(action: _Action, mode: int, *, executable: bool) -> int:
    who = action.who or _ALL
    if action.perms in _SHIFT and action.perms:
        bits = (mode >> _SHIFT[action.perms]) & 7
        value = (bits * 0o111) & who
    else:
        value = 0
        for letter in action.perms:
            if letter == "X":
                value |= 0o111 if executable else 0
            elif letter in "st" and action.who and not action.who & ~0o7:
                # "o" has neither set-id nor sticky.
                continue
            else:
                value |= _PERMS[letter]
        value &= who | 0o1000
    match action.sign:
        case "+":
            return mode | value
        case "-":
            return mode & ~value
        case _:
            return (mode & ~who) | value
