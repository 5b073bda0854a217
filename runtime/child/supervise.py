"""One sandbox from its request to its report: namespaces, root, payload, and the clean-up after it.

Two mount namespaces: in the outer one there is the root and nothing in it; the inner one, a copy, holds
everything else, and dies with the payload. Afterwards the supervisor goes back to the outer one and removes
the mount points it made there (see stubs), unmounts the root, and only then reports. So when run() returns
nothing of the step runs, is mounted, or is left in the layer.

The payload is pid 1 of its namespace, as under runc: when it ends the kernel kills whatever it left behind
(pid_namespaces(7)), before waitpid(2) returns here.
"""

from __future__ import annotations

import fcntl
import os
import resource
import select
import signal
import socket
from typing import TYPE_CHECKING

from runtime.child import libc
from runtime.child.errors import SetupError, doing
from runtime.child.furnish import furnish
from runtime.child.mounts import Stacker, attach, forget_volatile, fresh
from runtime.child.payload import become
from runtime.child.stubs import Stubs

if TYPE_CHECKING:
    from runtime.child.furnish import Room
    from runtime.child.request import Request, Result

_BLOCK = 512  # getrusage(2): ru_inblock and ru_oublock count these


_CHANNEL, _MOUNTS, _PIDS, _NETWORK, _ROOT, _FIRST_FREE = range(3, 9)


class Home:
    """The namespaces and the root a supervisor came from, kept in the lowest descriptors, to go back to after each sandbox."""

    def __init__(self, channel_fd: int) -> None:
        flags = os.O_RDONLY | os.O_CLOEXEC
        opened = [channel_fd, *(os.open(f"/proc/self/ns/{name}", flags) for name in ("mnt", "pid", "net")), os.open("/", os.O_PATH | flags)]
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE) for fd in opened]  # first out of the way of one another
        for number, fd in enumerate(high, _CHANNEL):
            os.dup2(fd, number, inheritable=False)
        libc.close_all(_FIRST_FREE)
        self.channel = socket.socket(fileno=_CHANNEL)

    def back(self) -> bool:
        """Whether this process is again as it was forked: every descriptor of the last sandbox closed, every namespace left."""
        try:
            # A new pid namespace for children can be made only from the own one (copy_pid_ns()); hostname and IPC
            # are made anew for each sandbox, so they need no way back.
            for fd, kind in ((_MOUNTS, libc.CLONE_NEWNS), (_PIDS, libc.CLONE_NEWPID), (_NETWORK, libc.CLONE_NEWNET)):
                libc.setns(fd, kind)
            os.fchdir(_ROOT)  # setns(2) goes to the root of the mount namespace, which is not ours under chroot
            os.chroot(".")
        except OSError:
            return False
        libc.close_all(_FIRST_FREE)
        return True


class Sandbox:
    """The supervisor's state during one sandbox."""

    def __init__(self, request: Request, fds: list[int], channel: socket.socket, mount_point: str, seccomp: bytes) -> None:
        self._request = request
        self._stdout, self._stderr = fds[:2]
        self._network = fds[2] if len(fds) > 2 else None
        self._locks = fds[3:]  # held for as long as the step may use its network
        self._status = channel
        self._scratch = mount_point
        self._seccomp = seccomp
        self._stubs: Stubs | None = None
        self._outer = -1
        self._payload = 0

    def run(self) -> tuple[Result, bool]:
        """The report, and whether this process may be used again."""
        signal.signal(signal.SIGTERM, self._terminate)
        try:
            result = self._run()
        except SetupError as error:
            result = _not_started(error.code, error.message)
        except OSError as error:
            result = _not_started(125, f"cannot prepare the sandbox: {error.strerror}")
        except Exception as error:  # a bug of ours, told where a person can see it
            result = _not_started(125, f"the sandbox failed in itself: {error!r}")
        finally:
            clean = self._clean_up()
        for fd in self._locks:
            os.close(fd)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        return result, clean and result["setup_error"] is None and not self._request["process"]["insecure"]

    def _terminate(self, _number: int, _frame: object) -> None:
        if self._payload:
            os.kill(self._payload, signal.SIGKILL)
        else:
            raise SetupError("the build was stopped")

    def _run(self) -> Result:
        read_end, write_end = os.pipe()
        room = self._prepare()
        failed = fcntl.fcntl(write_end, fcntl.F_DUPFD_CLOEXEC, 10)
        os.close(write_end)
        pid = os.fork()
        if not pid:
            become(self._request, room, self._stdout, self._stderr, failed, self._seccomp)
        self._payload = pid
        for fd in (failed, self._stdout, self._stderr):
            os.close(fd)
        for fd in (room.root_fd, room.proc_fd, room.sys_fd, room.empty_fd, room.null_fd):
            os.close(fd)
        status, usage = self._wait(pid)
        self._payload = 0
        return _result(status, usage, os.read(read_end, 1 << 16).decode("utf-8", "surrogateescape"))

    def _prepare(self) -> Room:
        with doing("make a mount namespace"):
            libc.unshare(libc.CLONE_NEWNS)
            libc.mount("none", "/", None, libc.MS_REC | libc.MS_PRIVATE)
            self._outer = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            empty_fd = os.open(self._scratch, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            attach(fresh("tmpfs", (("mode", "700"),), libc.ATTR_NOSUID | libc.ATTR_NODEV), os.dup(empty_fd))
        devices = self._request["guarded"] or self._request["process"]["insecure"]
        stacker = Stacker(self._scratch, empty_fd, self._request["in_user_namespace"], devices=devices)
        with doing("mount the root file system"):
            plain_fd = stacker.mount(self._request["process"]["root"])
        self._enter_namespaces()
        root_fd = os.open(f"{self._scratch}/m0", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._stubs = Stubs(root_fd, plain_fd)
        return furnish(self._request, root_fd, self._stubs, stacker, self._scratch)

    def _enter_namespaces(self) -> None:
        kinds = libc.CLONE_NEWNS | libc.CLONE_NEWPID | libc.CLONE_NEWIPC | libc.CLONE_NEWUTS
        mode = self._request["process"]["network"]
        with doing("make the sandbox's namespaces"):
            if self._network is not None:
                libc.setns(self._network, libc.CLONE_NEWNET)
                os.close(self._network)
            elif mode != "host":
                kinds |= libc.CLONE_NEWNET
            libc.unshare(kinds if self._request["cgroups"] else kinds | libc.CLONE_NEWCGROUP)
            libc.sethostname(os.fsencode(self._request["process"]["hostname"]))
            if kinds & libc.CLONE_NEWNET:
                _raise_loopback()

    def _wait(self, pid: int) -> tuple[int, resource.struct_rusage]:
        """Until the payload has ended; killed as soon as the builder hangs up."""
        pidfd = os.pidfd_open(pid)
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        poller.register(self._status, select.POLLIN)
        while True:
            ready = {fd for fd, _event in poller.poll()}
            if pidfd in ready:
                break
            os.kill(pid, signal.SIGKILL)
            poller.unregister(self._status)
        os.close(pidfd)
        _pid, status, usage = os.wait4(pid, 0)
        return status, usage

    def _clean_up(self) -> bool:
        """Back to the outer mount namespace, the inner one being gone with that; then nothing but the root is left."""
        if self._stubs is None:
            return False
        try:
            libc.setns(self._outer, libc.CLONE_NEWNS)
            self._stubs.remove()
            self._stubs.close()
            libc.umount(f"{self._scratch}/m0", 0)
            forget_volatile(self._request["process"]["root"])
        except OSError:
            return False  # the process ends in a moment, and its mount namespace with it
        return True


def _raise_loopback() -> None:
    """`ip link set lo up`: SIOCGIFFLAGS, IFF_UP, SIOCSIFFLAGS (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = bytearray(b"lo".ljust(40, b"\0"))
        fcntl.ioctl(control, 0x8913, request)
        request[16] |= 1
        fcntl.ioctl(control, 0x8914, request)


def _not_started(code: int, message: str) -> Result:
    return {
        "code": code,
        "signal": None,
        "setup_error": message,
        "user_ns": 0,
        "system_ns": 0,
        "peak_memory": 0,
        "read_bytes": 0,
        "written_bytes": 0,
        "again": False,
    }


def _result(status: int, usage: resource.struct_rusage, complaint: str) -> Result:
    if complaint:
        code, _space, message = complaint.partition(" ")
        return _not_started(int(code), message)
    signalled = os.WIFSIGNALED(status)
    return {
        "code": None if signalled else os.WEXITSTATUS(status),
        "signal": os.WTERMSIG(status) if signalled else None,
        "setup_error": None,
        "user_ns": int(usage.ru_utime * 1e9),
        "system_ns": int(usage.ru_stime * 1e9),
        "peak_memory": usage.ru_maxrss * 1024,
        "read_bytes": usage.ru_inblock * _BLOCK,
        "written_bytes": usage.ru_oublock * _BLOCK,
        "again": False,
    }
