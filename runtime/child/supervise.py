"""One supervisor: sandboxes one after another, each from its request to its report, and the room for the next one.

A sandbox has one mount namespace, its room's, in which everything is mounted. Its root is held a second time by a mount
that is attached nowhere and has nothing in it. Afterwards the supervisor goes back to where it came from and removes the
mount points it made in there (see stubs), lets go of the root, and only then reports. So when the builder hears of it,
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

from runtime.child import libc, wire
from runtime.child.errors import SetupError, doing
from runtime.child.furnish import furnish
from runtime.child.mounts import Stacker, clone, forget_volatile
from runtime.child.payload import become
from runtime.child.room import Room, kind
from runtime.child.stubs import Stubs

TYPE_CHECKING = False  # see request
if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.child.request import Request, Result

_BLOCK = 512  # getrusage(2): ru_inblock and ru_oublock count these


_CHANNEL, _MOUNTS, _PIDS, _NETWORK, _ROOT, _LEASED, _FIRST_FREE = range(3, 10)


class Home:
    """The namespaces and the root a supervisor came from, kept in the lowest descriptors, to go back to after each sandbox."""

    def __init__(self, channel_fd: int) -> None:
        _own_mounts()
        flags = os.O_RDONLY | os.O_CLOEXEC
        opened = [channel_fd, *(os.open(f"/proc/self/ns/{name}", flags) for name in ("mnt", "pid", "net")), os.open("/", os.O_PATH | flags)]
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE) for fd in opened]  # first out of the way of one another
        for number, fd in enumerate(high, _CHANNEL):
            os.dup2(fd, number, inheritable=False)
        libc.close_all(_LEASED)
        self.channel = socket.socket(fileno=_CHANNEL)
        self.leased: int | None = None
        """The network that the last sandbox had a lease of, to make a room in."""
        self.keep(None)

    def keep(self, network: int | None) -> None:
        """The network of this sandbox, kept for the next."""
        os.dup2(_ROOT if network is None else network, _LEASED, inheritable=False)  # always something, so that the number stays ours
        self.leased = None if network is None else _LEASED

    def leave_mounts(self) -> None:
        """Out of the sandbox's mount namespace, and to our own root: setns(2) goes to the namespace's, another one under chroot."""
        libc.setns(_MOUNTS, libc.CLONE_NEWNS)
        os.fchdir(_ROOT)
        os.chroot(".")

    def let_go(self) -> None:
        """Every descriptor of the last sandbox is closed, and with the last of them its root is unmounted."""
        libc.close_all(_FIRST_FREE)

    def leave_rest(self) -> None:
        """Every other namespace is left; raises OSError in a user namespace, which does not own those of the host."""
        # A new pid namespace for children can be made only from the own one (copy_pid_ns()); hostname and IPC
        # are made anew for each sandbox, so they need no way back.
        for fd, flag in ((_PIDS, libc.CLONE_NEWPID), (_NETWORK, libc.CLONE_NEWNET)):
            libc.setns(fd, flag)


def _own_mounts() -> None:
    """A mount namespace to come back to: one of the host's cannot be entered again by root of a user namespace (setns(2))."""
    try:
        libc.unshare(libc.CLONE_NEWNS)
        libc.mount("none", "/", None, libc.MS_REC | libc.MS_PRIVATE)
    except OSError:
        return  # the room will not be had either, and says so


class Supervisor:
    """The state between sandboxes: the room that was made ahead."""

    def __init__(self, channel_fd: int, scratch: str, seccomp: bytes) -> None:
        self._home = Home(channel_fd)
        self._scratch = scratch
        self._seccomp = seccomp
        self._ahead: Place | None = None

    def serve(self, guarded: bool) -> None:
        """Until the builder hangs up, or a sandbox leaves a state that is not as it was."""
        channel = self._home.channel
        while (message := wire.receive(channel)) is not None:
            request, fds = message
            request["guarded"] = guarded and request["guarded"]
            sandbox = Sandbox(request, fds, self._home)
            result, again = sandbox.run(self._place)
            result["again"] = again
            wire.send(channel, result)
            if not again:
                break
            if not request["cgroups"]:  # those of the next step are others
                self._ahead = Place(request, self._home.leased, self._scratch, self._seccomp)
            wire.send(channel, {})  # ready

    def _place(self, request: Request, network: int | None) -> Place:
        """What was made ahead if it is of this kind, else a new one."""
        place, self._ahead = self._ahead, None
        if place is not None and place.room.kind != kind(request, network):
            place.abandon()
            self._home.leave_mounts()
            libc.setns(_PIDS, libc.CLONE_NEWPID)
            libc.setns(_NETWORK, libc.CLONE_NEWNET)
            place = None
        return place or Place(request, network, self._scratch, self._seccomp)


class Place:
    """A room, and in it the process that becomes the payload, waiting for its orders."""

    def __init__(self, request: Request, network: int | None, scratch: str, seccomp: bytes) -> None:
        self.room = Room(request, network, scratch)
        self.orders, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.pid = os.fork()
        if not self.pid:
            os.closerange(_CHANNEL, _FIRST_FREE)
            self.orders.close()  # so that it hears of a supervisor that ended before it had asked for a signal then
            become(request, self.room, far, seccomp)
        far.close()

    def await_proc(self) -> None:
        """Returns when the payload has mounted /proc; raises SetupError with what stopped it."""
        complaint = self.orders.recv(1 << 16)
        if complaint != b"+":
            code, _space, message = complaint.decode("utf-8", "surrogateescape").partition(" ")
            raise SetupError(message or "the sandbox's first process was killed", int(code or 125))

    def ended(self) -> tuple[int, resource.struct_rusage, str]:
        """How the payload ended, what it used, and what stopped it before its program ran; nothing when it ran."""
        _pid, status, usage = os.wait4(self.pid, 0)
        self.pid = 0
        try:
            complaint = self.orders.recv(1 << 16).decode("utf-8", "surrogateescape")
        except ConnectionResetError:  # killed before it had read its orders
            complaint = ""
        self.orders.close()
        return status, usage, complaint

    def abandon(self) -> None:
        """Nobody will live here; idempotent."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.ended()


class Sandbox:
    """The supervisor's state during one sandbox."""

    def __init__(self, request: Request, fds: list[int], home: Home) -> None:
        self._request = request
        self._stdout, self._stderr = fds[:2]
        self._network = fds[2] if len(fds) > 2 else None
        # Further ones are locks, held until all is put away: for as long as the step may use its network.
        self._home = home
        self._place: Place | None = None
        self._stubs: Stubs | None = None
        self._runs = False

    def run(self, place: Callable[[Request, int | None], Place]) -> tuple[Result, bool]:
        """The report, and whether this process may be used again."""
        signal.signal(signal.SIGTERM, self._terminate)
        try:
            result = self._run(place)
        except SetupError as error:
            result = _not_started(error.code, error.message)
        except OSError as error:
            result = _not_started(125, f"cannot prepare the sandbox: {error.strerror}")
        except Exception as error:  # a bug of ours, told where a person can see it
            result = _not_started(125, f"the sandbox failed in itself: {error!r}")
        finally:
            clean = self._clean_up()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        return result, clean and result["setup_error"] is None and not self._request["process"]["insecure"]

    def _terminate(self, _number: int, _frame: object) -> None:
        if self._runs and self._place is not None:
            os.kill(self._place.pid, signal.SIGKILL)
        else:
            raise SetupError("the build was stopped")

    def _run(self, find: Callable[[Request, int | None], Place]) -> Result:
        self._home.keep(self._network)
        place = self._place = find(self._request, self._network)
        self._furnish(place)
        process = self._request["process"]
        orders = {key: value for key, value in process.items() if key not in ("root", "mounts")}
        wire.send(place.orders, orders, (self._stdout, self._stderr))
        self._runs = True
        os.close(self._stdout)
        os.close(self._stderr)
        self._watch(place.pid)
        self._runs = False
        return _result(*place.ended())

    def _furnish(self, place: Place) -> None:
        request, room = self._request, place.room
        devices = request["guarded"] or request["process"]["insecure"]
        stacker = Stacker(room.scratch, room.empty_fd, request["in_user_namespace"], devices=devices)
        with doing("mount the root file system"):
            root_fd = stacker.mount(request["process"]["root"])
            plain_fd = clone(root_fd)
        self._stubs = Stubs(root_fd, plain_fd)
        place.await_proc()
        furnish(request, room, self._stubs, stacker)

    def _watch(self, pid: int) -> None:
        """Until the payload has ended; killed as soon as the builder hangs up."""
        pidfd = os.pidfd_open(pid)
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        poller.register(self._home.channel, select.POLLIN)
        while True:
            ready = {fd for fd, _event in poller.poll()}
            if pidfd in ready:
                break
            os.kill(pid, signal.SIGKILL)
            poller.unregister(self._home.channel)
        os.close(pidfd)

    def _clean_up(self) -> bool:
        """Back home, the sandbox's mount namespace being gone with that; then nothing but the root is left."""
        if self._place is not None:
            self._place.abandon()
        if self._stubs is None:
            return False
        try:
            self._home.leave_mounts()
            self._stubs.remove()
            self._home.let_go()
            forget_volatile(self._request["process"]["root"])
            self._home.leave_rest()
        except OSError:
            return False  # the process ends in a moment, and its mounts with it
        return True


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
