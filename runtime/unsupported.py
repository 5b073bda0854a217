"""What this host does not let us do, and the few facts about it that everything else asks for."""

from __future__ import annotations

from runtime import idmap
from runtime.child import kernel

SUBIDS_REMEDY = "ask the administrator for a range of ids: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER"


PRIVILEGE_REMEDY = (
    "run the builder as root, or as an ordinary user who may make user namespaces; in a container it needs CAP_SYS_ADMIN"
)
KERNEL_REMEDY = "use Linux {}.{} or newer".format(*kernel.NEEDED)
PROC_REMEDY = "run the container with procMount: Unmasked"
ONE_ID_REMEDY = "start the command without `unshare -r`: it makes a user namespace of its own, with every id of /etc/subuid"
_SETUP_REMEDIES = (
    ("cannot make a mount namespace", PRIVILEGE_REMEDY),
    ("cannot make the sandbox's namespaces", PRIVILEGE_REMEDY),
    ("cannot mount /proc", PROC_REMEDY),
    ("user namespace has no such id", ONE_ID_REMEDY),
    ("this user namespace denies setgroups", ONE_ID_REMEDY),
)


class Unsupported(Exception):
    """Something that this host does not let us do; `remedy` may be empty."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


def user_namespace_remedy() -> str:
    """What keeps an ordinary user from a full user namespace on this host, as far as its settings tell."""
    for path, bad, what in (
        ("/proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "sysctl kernel.apparmor_restrict_unprivileged_userns=0"),
    ):
        if read(path).strip() == bad:
            return f"ask the administrator for `{what}`, or run the builder as root"
    return "run the builder as root, or in a container that allows user namespaces"


def setup_remedy(error: str, release: str | None = None) -> str:
    """What to try when a sandbox could not be set up; empty where the host is not to blame, or is not known to be."""
    if kernel.version(release) < kernel.NEEDED:
        return KERNEL_REMEDY
    return next((remedy for words, remedy in _SETUP_REMEDIES if words in error), "")


def in_user_namespace() -> bool:
    """Whether this process lives in a user namespace other than the first (whose map is everything onto itself)."""
    ranges = idmap.parse(read("/proc/self/uid_map"))
    return bool(ranges) and not idmap.is_initial(ranges)


def read(path: str) -> str:
    """A small file of procfs, sysfs or /etc as text; empty when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read(1 << 16)
    except OSError:
        return ""
