"""What this kernel and this user may do, with the reason for each "no" and what to try."""

from __future__ import annotations


class Unsupported(Exception):
    """Something that this host does not let us do; `remedy` may be empty."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


def in_user_namespace() -> bool:
    """Whether this process lives in a user namespace other than the first (whose map is everything onto itself)."""
    try:
        with open("/proc/self/uid_map") as stream:
            return [line.split() for line in stream] != [["0", "0", "4294967295"]]
    except OSError:
        return False
