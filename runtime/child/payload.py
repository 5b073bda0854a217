"""The last steps of the process that becomes the payload: first of its pid namespace, from /proc to execve.

What every step has alike it does ahead, then it waits for its orders: what to run, and the streams. When these come the
root stands complete in the scratch space.

Rules, in the order they matter:
- From pivot_root on, only system calls and execve: nothing is imported, no NSS, no codec, no locale
  (CVE-2019-14271): everything this module needs is imported before the fork.
- All descriptors but 0, 1, 2 are closed before the working directory is entered (CVE-2024-21626); one
  close-on-exec pipe stays, to say what went wrong.
- The filter is loaded while CAP_SYS_ADMIN is still held, so no_new_privs is not needed and setuid works.
- Inheritable and ambient capabilities are empty (CVE-2022-27651); supplementary groups are exactly those
  of the step (CVE-2022-2990).
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import termios

from runtime.child import libc, wire
from runtime.child.cgroups import mount_cgroups
from runtime.child.devices import open_node
from runtime.child.errors import SetupError, doing
from runtime.child.mounts import LOCKED_DOWN, attach, clone, fresh
from runtime.child.room import mask

TYPE_CHECKING = False  # see request
if TYPE_CHECKING:
    import socket
    from typing import NoReturn

    from runtime.child.request import ProcessData, Request
    from runtime.child.room import Room

# moby daemon/pkg/oci/defaults.go
MASKED_PROC = ("acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats")
READ_ONLY_PROC = ("bus", "fs", "irq", "sys", "sysrq-trigger")
# chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot mknod audit_write setfcap
DEFAULT_CAPABILITIES = 0xA80425FB
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOT_FOUND = 127
NOT_EXECUTABLE = 126
_LIMITS = {name[7:].lower(): getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
_OPEN_FILES = (1024, 524288)  # systemd's defaults


def become(request: Request, room: Room, channel: socket.socket, seccomp: bytes) -> NoReturn:
    """Never returns: the payload runs, or what stopped it is written to the channel as `code message`."""
    try:
        insecure, userns = request["process"]["insecure"], request["in_user_namespace"]
        _stand_apart()
        _mount_proc(room, insecure=insecure)
        keep = _limit_capabilities(insecure=insecure)
        channel.send(b"+")
        orders, (stdout, stderr) = wire.receive(channel) or os._exit(0)  # nobody came
        _enter_cgroups(request["cgroups"], room.sys_fd, read_only=not insecure)
        _pivot(f"{room.scratch}/m0")
        _stand_alone(orders, stdout, stderr, channel.fileno())
        _enter_directory(orders["cwd"])
        with doing("drop capabilities"):
            if seccomp and not insecure:
                libc.install_filter(seccomp)
        _become_user(orders, keep, in_user_namespace=userns)
        _run(orders)
    except SetupError as error:
        _report(channel, error.code, error.message)
    except OSError as error:
        _report(channel, 125, f"cannot prepare the sandbox: {error.strerror}")
    finally:
        os._exit(125)


def _report(channel: socket.socket, code: int, message: str) -> None:
    channel.send(f"{code} {message}".encode("utf-8", "surrogateescape"))


def _stand_apart() -> None:
    """A session, signals, limits and keys of its own; what dies with its supervisor."""
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # the only one that a supervisor ignores
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)
    _set_limits()
    try:
        libc.new_session_keyring()
    except OSError:
        return  # a kernel without keyrings, or another runtime's filter: nothing to keep apart


def _enter_cgroups(files: list[str], sys_fd: int, *, read_only: bool) -> None:
    """Into cgroups of the step's own, and their namespace; without any the supervisor has seen to it."""
    if not files:
        return
    with doing("enter the step's cgroup"):
        for path in files:
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            os.write(fd, b"0")
            os.close(fd)
    libc.unshare(libc.CLONE_NEWCGROUP)
    mount_cgroups(sys_fd, read_only=read_only)


def _mount_proc(room: Room, *, insecure: bool) -> None:
    with doing("mount /proc"):
        mounted = fresh("proc", (), LOCKED_DOWN)
        proc = os.dup(mounted)
        attach(mounted, room.tree("proc"))
        if insecure:
            return
        for name in READ_ONLY_PROC:
            try:
                fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=proc)
            except FileNotFoundError:
                continue
            attach(clone(fd, libc.ATTR_RDONLY | LOCKED_DOWN), fd)
        for name in MASKED_PROC:
            mask(proc, name, room.empty_fd, room.null_fd)


def _limit_capabilities(*, insecure: bool) -> int:
    """What the payload may keep: the rest goes from the bounding set already."""
    keep = libc.permitted()  # the builder may itself have less than everything
    if not insecure:
        keep &= DEFAULT_CAPABILITIES
    with doing("drop capabilities"):
        for number in range(_last_capability() + 1):
            if not keep >> number & 1:
                libc.prctl(libc.PR_CAPBSET_DROP, number)
    return keep


def _pivot(root: str) -> None:
    with doing("enter the root"):
        os.chdir(root)
        libc.pivot_root(".", ".")
        libc.umount(".", libc.MNT_DETACH)
        os.chdir("/")


def _stand_alone(orders: ProcessData, stdout: int, stderr: int, channel: int) -> None:
    """Standard streams and the step's own limits; every other descriptor goes."""
    stdin = stdout if orders["terminal"] else open_node("null", os.O_RDWR)
    for number, fd in enumerate((stdin, stdout, stderr)):  # all above 2, since the launcher keeps 0 to 2 open
        os.dup2(fd, number)
    if orders["terminal"]:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    libc.close_all(3, but=channel)
    user = orders["user"]
    for number in (1, 2):
        try:
            # So that an ordinary user can open /dev/stdout (runc fixStdioPermissions).
            os.fchown(number, user["uid"], user["gid"])
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EPERM):
                raise
    for limit in orders["ulimits"]:
        with doing(f"set the limit {limit['name']}={limit['soft']}:{limit['hard']}"):
            if limit["name"] not in _LIMITS:
                raise SetupError(f"there is no limit called {limit['name']}")
            try:
                resource.setrlimit(_LIMITS[limit["name"]], (limit["soft"], limit["hard"]))
            except ValueError as error:  # what Python makes of EINVAL and EPERM
                raise OSError(errno.EPERM, str(error)) from None


def _set_limits() -> None:
    wanted = {"nofile": _OPEN_FILES, "core": (0, resource.RLIM_INFINITY)}
    for name in ("as", "cpu", "data", "fsize", "locks", "rss"):
        wanted[name] = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    for name, pair in wanted.items():
        kind = _LIMITS.get(name)
        if kind is not None:
            _lower_to(kind, *pair)


def _lower_to(kind: int, soft: int, hard: int) -> None:
    """The default if it may be had, else as much of it as the builder itself has."""
    try:
        resource.setrlimit(kind, (soft, hard))
    except (OSError, ValueError):
        ceiling = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (ceiling if soft in (resource.RLIM_INFINITY,) else min(soft, ceiling), ceiling))


def _become_user(orders: ProcessData, keep: int, *, in_user_namespace: bool) -> None:
    """The step's user and groups, with the capabilities `keep` for root and none for others; none are inheritable."""
    user = orders["user"]
    what = f"become user {user['uid']}:{user['gid']}"
    try:
        os.setgroups(user["groups"])
    except OSError as error:
        # In a user namespace that somebody made without newgidmap(1), setgroups(2) is denied to everybody: groups stay
        # as they are, those of whoever started the build, and they only count for files of that person's.
        if error.errno != errno.EPERM or not in_user_namespace or set(user["groups"]) - {user["gid"]}:
            denied = "this user namespace denies setgroups" if in_user_namespace and error.errno == errno.EPERM else _unmapped(error)
            raise SetupError(f"cannot {what} with the groups {user['groups']}: {denied}") from error
    try:
        os.setresgid(user["gid"], user["gid"], user["gid"])
        os.setresuid(user["uid"], user["uid"], user["uid"])
    except OSError as error:
        raise SetupError(f"cannot {what}: {_unmapped(error)}") from error
    with doing("drop capabilities"):
        libc.clear_ambient()
        effective = keep if user["uid"] == 0 else 0
        libc.capset(effective, effective, 0)
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)  # becoming another user has cleared it


def _unmapped(error: OSError) -> str:
    """EINVAL stands for an id without a mapping (user_namespaces(7))."""
    return "the builder's user namespace has no such id" if error.errno == errno.EINVAL else (error.strerror or "failed").lower()


def _last_capability() -> int:
    """The highest capability this kernel knows (capabilities(7), /proc/sys/kernel/cap_last_cap)."""
    fd = os.open("/proc/sys/kernel/cap_last_cap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return int(os.read(fd, 16))
    finally:
        os.close(fd)


def _enter_directory(path: str) -> None:
    """As root, so that a directory closed to the step's user can be its place (runc does so too)."""
    try:
        try:
            os.chdir(path)
        except FileNotFoundError:
            os.makedirs(path, 0o755, exist_ok=True)  # a mount covers what the caller made, or `..` leads elsewhere; runc does so
            os.chdir(path)
    except OSError as error:
        raise SetupError(f"cannot change to directory {path}: {(error.strerror or '').lower()}") from error
    try:
        beneath = os.getcwd().startswith("/")
    except FileNotFoundError:
        beneath = False
    if not beneath:
        raise SetupError(f"cannot change to directory {path}: it is outside the root")


def _run(orders: ProcessData) -> NoReturn:
    argv = orders["argv"]
    env = dict(orders["env"])
    path = _find(argv[0], env.get("PATH", DEFAULT_PATH))
    try:
        os.execve(path, argv, env)
    except OSError as error:
        code = NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE
        raise SetupError(f'exec: "{argv[0]}": {_exec_cause(error)}', code) from error


def _exec_cause(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "the interpreter or loader that it names is not in the image"
    if error.errno == errno.ENOEXEC:
        return "exec format error: not a program for this machine, nor a script with a #! line"
    return (error.strerror or "cannot be run").lower()


def _find(name: str, search: str) -> str:
    if "/" in name:
        _check_executable(name, name)
        return name
    for folder in search.split(":"):
        candidate = f"{folder or '.'}/{name}"
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
            if not candidate.startswith("/"):  # Go's exec.LookPath refuses it, and so runc
                raise SetupError(f'exec: "{name}": it is at {candidate}, and a relative directory of $PATH is not searched', NOT_FOUND)
            return candidate
    raise SetupError(f'exec: "{name}": executable file not found in $PATH', NOT_FOUND)


def _check_executable(path: str, name: str) -> None:
    if not os.path.exists(path):
        raise SetupError(f'exec: "{name}": no such file or directory', NOT_FOUND)
    if os.path.isdir(path):
        raise SetupError(f'exec: "{name}": is a directory', NOT_EXECUTABLE)
    if not os.access(path, os.X_OK):
        raise SetupError(f'exec: "{name}": permission denied', NOT_EXECUTABLE)
