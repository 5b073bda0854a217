"""What a step is given and how it ends: environment, user, capabilities, exit, output, descriptors."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.sandbox import NamespaceSandbox, Sandbox
from runtime.spec import Directory, Exit, Overlay, Process, TmpfsMount, Ulimit, User
from tests.privileges import needs_root
from tests.runtime.box import PATH, Box

DEFAULT_CAPS = "00000000a80425fb"
NONE = "0000000000000000"


def _status(box: Box, **process: object) -> dict[str, str]:
    lines = box.run(["cat", "/proc/self/status"], **process).lines()
    return {name: value.strip() for name, _colon, value in (line.partition(":") for line in lines)}


def test_environment_is_exactly_what_was_given(box: Box) -> None:
    done = box.run(["env"], env=(PATH, ("A", "b c"), ("EMPTY", ""), ("RAW", "\udcff")))
    assert sorted(done.lines()) == ["A=b c", "EMPTY=", "PATH=/bin:/usr/bin", "RAW=\udcff"]


def test_root_has_dockers_default_capabilities(box: Box) -> None:
    status = _status(box)
    assert {name: status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {
        "CapInh": NONE,
        "CapPrm": DEFAULT_CAPS,
        "CapEff": DEFAULT_CAPS,
        "CapBnd": DEFAULT_CAPS,
        "CapAmb": NONE,
    }
    assert status["Seccomp"] == "2"
    assert status["NoNewPrivs"] == "0"
    assert status["Groups"] == ""


def test_an_ordinary_user_has_none_but_setuid_programs_may_get_them(box: Box) -> None:
    status = _status(box, user=User(1000, 1001, (7, 2000)))
    assert status["Uid"].split() == ["1000"] * 4
    assert status["Gid"].split() == ["1001"] * 4
    assert status["Groups"] == "7 2000"
    assert (status["CapPrm"], status["CapEff"], status["CapAmb"]) == (NONE, NONE, NONE)
    assert status["CapBnd"] == DEFAULT_CAPS


def test_an_insecure_step_has_every_capability_and_no_filter(box: Box) -> None:
    status = _status(box, insecure=True)
    assert status["CapEff"] == status["CapPrm"] == status["CapBnd"]
    assert int(status["CapEff"], 16) > int(DEFAULT_CAPS, 16)
    assert status["Seccomp"] == "0"
    assert box.run(
        "mount -t tmpfs none /tmp && echo 1 > /proc/sys/net/ipv4/ip_forward && cat /proc/sys/net/ipv4/ip_forward", insecure=True
    ).lines() == ["1"]


def test_refused_calls_give_eperm(box: Box) -> None:
    done = box.run("mount -t tmpfs none /tmp")
    assert done.exit.code != 0
    assert "Operation not permitted" in done.stderr or "permission denied" in done.stderr


@pytest.mark.parametrize(("command", "code"), [("exit 7", 7), ("exit 0", 0), ("kill -TERM $$; exit 4", 4)])
def test_exit_code(box: Box, command: str, code: int) -> None:
    """The last: pid 1 of a namespace ignores signals it has no handler for (pid_namespaces(7)), as under runc."""
    done = box.run(command)
    assert (done.exit.code, done.exit.signal, done.exit.setup_error) == (code, None, None)


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["nosuch"], 127, 'exec: "nosuch": executable file not found in $PATH'),
        (["/bin/nosuch"], 127, 'exec: "/bin/nosuch": no such file or directory'),
        (["/etc/passwd"], 126, 'exec: "/etc/passwd": permission denied'),
        (["/bin"], 126, 'exec: "/bin": is a directory'),
        (["/bin/text"], 126, 'exec: "/bin/text": exec format error: not a program for this machine, nor a script with a #! line'),
        (["/bin/script"], 127, 'exec: "/bin/script": the interpreter or loader that it names is not in the image'),
    ],
)
def test_a_program_that_cannot_be_run(box: Box, argv: list[str], code: int, message: str) -> None:
    (box.lower / "bin").mkdir()
    for name, text in (("text", "hello"), ("script", "#!/no/such\n")):
        (box.lower / "bin" / name).write_text(text)
        (box.lower / "bin" / name).chmod(0o755)
    done = box.run(argv)
    assert (done.exit.code, done.exit.setup_error) == (code, message)
    assert not done.exit.ok


def test_the_path_of_the_step_is_searched_inside_the_root(box: Box) -> None:
    (box.lower / "opt").mkdir()
    (box.lower / "opt/tool").write_text("#!/bin/sh\necho tool $0 $1\n")
    (box.lower / "opt/tool").chmod(0o755)
    assert box.run(["tool", "x"], env=(("PATH", "/nowhere:/opt"),)).lines() == ["tool /opt/tool x"]
    assert box.run(["./tool", "x"], cwd="/opt").lines() == ["tool ./tool x"]


def test_working_directory(box: Box) -> None:
    (box.lower / "srv/deep").mkdir(parents=True)
    assert box.run(["pwd"], cwd="/srv/deep").lines() == ["/srv/deep"]
    assert box.run(["pwd"], cwd="/missing").lines() == ["/missing"], "made, as runc makes it"
    (box.lower / "file").write_text("")
    wrong = box.run(["pwd"], cwd="/file")
    assert wrong.exit.setup_error == "cannot change to directory /file: not a directory"


@pytest.mark.parametrize("number", [3, 4, 7, 9, 10, 12, 20])
def test_no_directory_descriptor_to_escape_by(box: Box, number: int) -> None:
    """CVE-2024-21626."""
    done = box.run(["pwd"], cwd=f"/proc/self/fd/{number}")
    assert done.exit.setup_error is not None


def test_no_descriptor_leaks_in(box: Box) -> None:
    assert box.run("for fd in /proc/self/fd/*; do echo ${fd##*/}; done").lines() == [
        "0",
        "1",
        "2",
        "3",
    ]  # 3: the shell reading the directory
    assert box.run(["readlink", "/proc/self/fd/0"]).lines() == ["/dev/null"]


def test_both_streams_arrive_apart_and_whole(box: Box) -> None:
    done = box.run("seq 1 20000; echo wrong >&2; echo last")
    assert done.stdout == "".join(f"{n}\n" for n in range(1, 20001)) + "last\n"
    assert done.stderr == "wrong\n"


def test_output_comes_while_the_step_runs(box: Box) -> None:
    seen: list[float] = []
    process = Process(argv=("/bin/sh", "-c", "echo a; sleep 0.4; echo b"), root=box.root, env=(PATH,), network="none")
    exit = box.sandbox.run(process, lambda _stream, _data: seen.append(time.monotonic()), threading.Event())
    assert exit.ok
    assert seen[-1] - seen[0] > 0.3


def test_an_ordinary_user_can_open_its_streams(box: Box) -> None:
    assert box.run("echo out > /dev/stdout; echo err > /dev/stderr", user=User(1000, 1000)).stdout == "out\n"


def test_limits_and_umask(box: Box) -> None:
    done = box.run("umask; ulimit -n; ulimit -c; ulimit -H -n", ulimits=(Ulimit("nofile", 64, 128),))
    assert done.lines() == ["0022", "64", "0", "128"]
    assert box.run("ulimit -n").lines() == ["1024"]
    assert box.run(["true"], ulimits=(Ulimit("bogus", 1, 1),)).exit.setup_error == "there is no limit called bogus"
    assert "cannot set the limit nofile=5:3: " in str(box.run(["true"], ulimits=(Ulimit("nofile", 5, 3),)).exit.setup_error)


def test_a_limit_that_cannot_be_raised_is_as_high_as_may_be(box: Box) -> None:
    ceiling = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    done = box.run("ulimit -u; ulimit -H -u", ulimits=(Ulimit("nproc", -1, -1),))
    if done.exit.notes and ceiling != resource.RLIM_INFINITY:
        assert done.lines() == [str(ceiling)] * 2
        assert done.exit.notes[0] == f"the limit nproc of a step is {ceiling}:{ceiling}, as much as the builder itself may have"
    else:
        assert done.lines() == ["unlimited"] * 2


def test_signals_are_as_a_program_expects_them(box: Box) -> None:
    status = _status(box)
    assert (status["SigIgn"], status["SigBlk"]) == (NONE, NONE)


@needs_root
@pytest.mark.parametrize("ignored", [signal.SIGHUP, 32], ids=["nohup", "the C library's own"])
def test_signals_the_builder_was_started_without_are_there_for_the_program(ignored: int, busybox_root: Path, tmp_path: Path) -> None:
    libc = ctypes.CDLL(None)
    number = {"x86_64": 13, "aarch64": 134}[platform.machine()]  # rt_sigaction: the C library refuses 32
    before = ctypes.create_string_buffer(32)
    assert libc.syscall(number, int(ignored), struct.pack("=4Q", 1, 0, 0, 0), before, 8) == 0
    try:
        with NamespaceSandbox(str(tmp_path / "state"), None) as sandbox:
            assert _status(Box(sandbox, busybox_root, tmp_path / "box"))["SigIgn"] == NONE
    finally:
        assert libc.syscall(number, int(ignored), before, None, 8) == 0


def test_what_is_left_running_is_dead_on_return(box: Box) -> None:
    done = box.run("(while :; do date >> /tmp/alive; sleep 0.05; done) & sleep 0.2; echo done")
    assert done.lines() == ["done"]
    before = (box.upper / "tmp/alive").read_bytes()
    time.sleep(0.3)
    assert (box.upper / "tmp/alive").read_bytes() == before != b""


def test_cancel_kills_everything_at_once(box: Box) -> None:
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    started = time.monotonic()
    done = box.run("sleep 60 & trap '' TERM INT; sleep 60; sleep 60", cancel=cancel)
    assert time.monotonic() - started < 30  # of the 60 it would take
    assert (done.exit.code, done.exit.signal) == (None, signal.SIGKILL)


def test_several_at_once(new_box: Callable[[str], Box]) -> None:
    answers: dict[int, list[str]] = {}

    def one(number: int) -> None:
        answers[number] = new_box(f"n{number}").run(f"sleep 0.2; echo {number}; exit 0").lines()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: [str(number)] for number in range(6)}


def test_usage_is_told(box: Box) -> None:
    usage = box.run("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done").exit.usage
    assert usage.wall_ns > usage.user_ns > 0
    assert usage.peak_memory > 100_000


def test_a_directory_as_root(sandbox: Sandbox, busybox_root: Path) -> None:
    process = Process(argv=("/bin/pwd",), root=Directory(str(busybox_root), read_only=True), network="none")
    missing = sandbox.run(process, lambda _stream, _data: None, threading.Event())
    assert missing.setup_error == "cannot mount /etc/resolv.conf: Read-only file system"


def test_a_directory_is_written_in_place_and_keeps_no_stub_but_runcs(sandbox: Sandbox, busybox_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    os.link(busybox_root / "bin/busybox", root / "bin/busybox")
    os.utime(root, (1000, 2000))
    script = "/bin/busybox touch /bin/new; /bin/busybox stat -c %Y /"
    process = Process(argv=("/bin/busybox", "sh", "-c", script), root=Directory(str(root)), network="none", mounts=(TmpfsMount("/a/b"),))
    seen: list[bytes] = []
    assert sandbox.run(process, lambda _stream, data: seen.append(data), threading.Event()).ok
    assert seen == [b"2000\n"]
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == ["bin", "bin/busybox", "bin/new", "dev", "proc", "sys"]
    assert int(root.stat().st_mtime) == 2000


def test_a_root_of_many_layers_with_awkward_names(sandbox: Sandbox, busybox_root: Path, tmp_path: Path) -> None:
    layers = []
    for number in range(120):
        layer = tmp_path / ("a,b:c\\ " + "x" * 60 + str(number))
        layer.mkdir()
        (layer / "top").write_text(f"{number}\n")
        (layer / f"file{number}").touch()
        layers.insert(0, str(layer))
    box = Box(sandbox, busybox_root, tmp_path / "up,per:dir")
    root = Overlay((*layers, str(busybox_root)), str(box.upper), str(box.work))
    done = box.run("cat top; ls -d file* | wc -l; grep -c upper /proc/mounts; grep up,per /proc/mounts || true", root=root, cwd="/")
    assert done.lines() == ["119", "120", "1"]


def test_a_root_without_layers(sandbox: Sandbox, busybox_root: Path, tmp_path: Path) -> None:
    box = Box(sandbox, busybox_root, tmp_path / "scratch")
    (box.upper / "bin").mkdir()
    os.link(busybox_root / "bin/busybox", box.upper / "bin/busybox")
    done = box.run(["/bin/busybox", "ls", "/"], root=Overlay((), str(box.upper), str(box.work)))
    assert done.lines() == ["bin", "dev", "etc", "proc", "sys"]
    assert sorted(os.listdir(box.upper)) == ["bin", "dev", "proc", "sys"]


def test_a_volatile_root_can_be_used_again(sandbox: Sandbox, busybox_root: Path, tmp_path: Path) -> None:
    box = Box(sandbox, busybox_root, tmp_path / "volatile")
    root = Overlay((str(busybox_root),), str(box.upper), str(box.work), volatile=True)
    assert box.run("echo 1 > /a; sync", root=root).exit.ok
    assert box.run("cat /a", root=root).lines() == ["1"]


def test_closing_ends_what_runs(busybox_root: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    sandbox = NamespaceSandbox(str(tmp_path / "state"), None)
    box = Box(sandbox, busybox_root, tmp_path / "box")
    ends: list[object] = []
    thread = threading.Thread(target=lambda: ends.append(box.run("sleep 60")))
    thread.start()
    time.sleep(0.5)
    sandbox.close()
    sandbox.close()
    thread.join(5)
    assert len(ends) == 1
    assert box.run("true").exit.setup_error == "the sandbox is closed"


def _children() -> set[int]:
    return {int(pid) for task in Path("/proc/self/task").glob("*/children") for pid in task.read_text().split()}


def test_a_launcher_that_was_killed_is_replaced(box: Box, busybox_root: Path, tmp_path: Path) -> None:
    with NamespaceSandbox(str(tmp_path / "state"), None) as sandbox:
        own = Box(sandbox, busybox_root, tmp_path / "own")
        before = _children()
        assert own.run("true").exit.ok
        ends: list[Exit] = []
        thread = threading.Thread(target=lambda: ends.append(own.run("sleep 60").exit))
        thread.start()
        time.sleep(0.3)
        (launcher,) = _children() - before
        os.kill(launcher, signal.SIGKILL)
        thread.join(5)
        assert [end.signal for end in ends] == [signal.SIGKILL]
        time.sleep(0.1)
        assert own.run("echo again").lines() == ["again"]
