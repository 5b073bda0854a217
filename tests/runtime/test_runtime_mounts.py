"""What a step sees of the machine, and what its mounts and mount points do: to it, and to the layer."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.sandbox import Sandbox
from runtime.spec import BindMount, Directory, FileMount, Mount, Overlay, SocketMount, TmpfsMount, User
from tests.runtime.box import Box

STANDARD_DEV = [
    *(["core"] if os.path.exists("/proc/kcore") else []),
    "fd",
    "full",
    "mqueue",
    "null",
    "ptmx",
    "pts",
    "random",
    "shm",
    "stderr",
    "stdin",
    "stdout",
    "tty",
    "urandom",
    "zero",
]


def _tree(path: Path) -> list[str]:
    return sorted(str(found.relative_to(path)) for found in path.rglob("*"))


def _layer(box: Box) -> list[str]:
    """What a layer would hold of the root: not an empty directory, copied up to mount in it, that equals the lower one."""
    return [name for name in _tree(box.upper) if not any(_unchanged(box.upper / name, lower / name) for lower in (box.lower, box.base))]


def _unchanged(upper: Path, lower: Path) -> bool:
    if not (upper.is_dir() and lower.is_dir()) or os.listdir(upper):
        return False
    before, after = lower.stat(), upper.stat()
    return (before.st_mode, before.st_mtime_ns) == (after.st_mode, after.st_mtime_ns)


def _options(box: Box, target: str, **process: object) -> set[str]:
    for line in box.run(["cat", "/proc/self/mounts"], **process).lines():
        fields = line.split()
        if fields[1] == target:
            return set(fields[3].split(","))
    raise AssertionError(f"nothing is mounted at {target}")


def test_dev(box: Box) -> None:
    assert box.run(["ls", "/dev"]).lines() == STANDARD_DEV
    assert box.run("echo x > /dev/null; head -c 4 /dev/zero | od -An -tx1; readlink /dev/fd; stat -c '%t:%T %a' /dev/full").lines() == [
        " 00 00 00 00",
        "/proc/self/fd",
        "1:7 666",
    ]
    assert {"rw", "nosuid", "nodev", "noexec", "size=65536k"} <= _options(box, "/dev/shm")
    assert "size=1024k" in _options(box, "/dev/shm", shm_size=1 << 20)


def test_proc_is_masked_and_partly_read_only(box: Box) -> None:
    assert box.run("echo 1 > /proc/sys/vm/drop_caches").exit.code != 0
    assert box.run("echo h > /proc/sysrq-trigger").exit.code != 0
    assert box.run(
        "cat /proc/keys /proc/timer_list /proc/kcore | wc -c; ls /proc/acpi /proc/scsi 2>/dev/null | grep -v : | wc -w"
    ).lines() == ["0", "0"]
    assert "ro" in _options(box, "/proc/sys")


def test_sys_is_read_only(box: Box) -> None:
    assert {"ro", "nosuid", "nodev", "noexec"} <= _options(box, "/sys")
    assert box.run("ls /sys/firmware | wc -l").lines() == ["0"]
    assert box.run("mkdir /sys/fs/cgroup/x || mkdir /sys/fs/cgroup/*/x").exit.code != 0
    assert "rw" in _options(box, "/sys", insecure=True)


def test_only_its_own_processes_are_seen(box: Box) -> None:
    assert box.run("echo $$; set -- /proc/[0-9]*; echo $#").lines() == ["1", "1"]


def test_hostname_hosts_and_resolv_conf(box: Box) -> None:
    done = box.run("hostname; cat /etc/hosts; echo x >> /etc/hosts || echo read-only", hosts=(("10.1.2.3", "db"),))
    assert done.stdout.splitlines() == [
        "buildkitsandbox",
        "127.0.0.1\tlocalhost buildkitsandbox",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "10.1.2.3\tdb",
        "read-only",
    ]
    assert "nameserver" in box.run(["cat", "/etc/resolv.conf"]).stdout


def test_a_step_that_does_nothing_leaves_nothing(box: Box) -> None:
    (box.lower / "etc").mkdir()
    os.utime(box.lower / "etc", (1000, 2000))
    os.utime(box.upper, (3000, 4000))
    seen = box.run("stat -c %Y / /etc; ls /etc")
    assert seen.lines()[:2] == ["4000", "2000"]
    assert _layer(box) == []
    assert int((box.upper / "etc").stat().st_mtime) == 2000


def test_the_times_of_the_steps_own_changes_stay(box: Box) -> None:
    (box.lower / "etc").mkdir()
    os.utime(box.lower / "etc", (1000, 2000))
    assert box.run("touch /etc/new; touch -d @5000 /etc").exit.ok
    assert int((box.upper / "etc").stat().st_mtime) == 5000
    assert _layer(box) == ["etc", "etc/new"]


def test_stubs_of_mounts_go_and_what_the_step_puts_beside_them_stays(box: Box, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("here\n")
    mounts: tuple[Mount, ...] = (
        BindMount(Directory(str(source)), "/", "/a/b/c"),
        BindMount(Directory(str(source)), "/file", "/a/x/file"),
        TmpfsMount("/run/t"),
        FileMount("/run/secrets/token", b"canary", 0o400),
    )
    done = box.run("cat /a/b/c/file /a/x/file /run/secrets/token; touch /a/b/own /run/t/gone", mounts=mounts)
    assert done.stdout == "here\nhere\ncanary"
    assert _layer(box) == ["a", "a/b", "a/b/own"]
    assert b"canary" not in b"".join(path.read_bytes() for path in box.upper.rglob("*") if path.is_file())


def test_a_stub_whose_parent_became_a_link_harms_nothing_outside(box: Box, tmp_path: Path) -> None:
    """CVE-2024-23652: the cleaner must not follow what the step left in place of the stub's parent."""
    outside = tmp_path / "outside"
    (outside / "b").mkdir(parents=True)
    (outside / "f").touch()
    mounts: tuple[Mount, ...] = (TmpfsMount("/a/b"), FileMount("/c/f", b"x", 0o444))
    done = box.run(f"mv /a /moved; mv /c /moved2; ln -s {outside} /a; ln -s {outside} /c", mounts=mounts)
    assert done.exit.ok
    assert _tree(outside) == ["b", "f"]
    assert _layer(box) == ["a", "c", "moved", "moved2"]


def test_a_bind_is_read_only_unless_asked(box: Box, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    assert box.run("touch /m/x", mounts=(BindMount(Directory(str(source)), "/", "/m"),)).exit.code != 0
    assert box.run("touch /m/x", mounts=(BindMount(Directory(str(source)), "/", "/m", read_only=False),)).exit.ok
    assert _tree(source) == ["x"]
    assert box.run("mount -o remount,rw /m", mounts=(BindMount(Directory(str(source)), "/", "/m"),)).exit.code != 0


def test_a_bind_from_another_stack_whose_writes_are_thrown_away(box: Box, new_box: Callable[[str], Box]) -> None:
    other = new_box("other")
    (other.lower / "data").write_text("from there\n")
    mount = BindMount(other.root, "/", "/mnt", read_only=False)
    assert box.run("cat /mnt/data; echo more > /mnt/data; cat /mnt/data", mounts=(mount,)).lines() == ["from there", "more"]
    assert (other.lower / "data").read_text() == "from there\n"
    reading = BindMount(Overlay((str(other.lower),)), "/data", "/mnt/file")
    assert box.run("cat /mnt/file; echo x > /mnt/file || echo no", mounts=(reading,)).lines() == ["from there", "no"]


def test_mounts_nest_in_the_order_of_their_paths(box: Box, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    mounts: tuple[Mount, ...] = (
        FileMount("/w/in/er/secret", b"s", 0o444),
        TmpfsMount("/w"),
        BindMount(Directory(str(tmp_path)), "cache", "/w/in"),
    )
    assert box.run("ls /w /w/in", mounts=(mounts[1], TmpfsMount("/w/in/er"), mounts[0])).exit.ok
    done = box.run("ls /w/in", mounts=mounts)
    assert done.exit.setup_error is not None
    assert "Read-only" in done.exit.setup_error


def test_a_secret_file(box: Box) -> None:
    mounts = (FileMount("/run/secrets/a", b"\x00\xff", 0o440, uid=1000, gid=1001),)
    done = box.run("stat -c '%a %u %g %s' /run/secrets/a; echo x > /run/secrets/a || echo no", mounts=mounts, user=User(1000, 1001))
    assert done.lines() == ["440 1000 1001 2", "no"]
    assert {"ro", "nosuid", "nodev", "noexec"} <= _options(box, "/run/secrets/a", mounts=mounts)


def test_a_script_from_a_file_mount_runs_if_it_may(box: Box) -> None:
    script = b"#!/bin/sh\necho ran $0\n"
    assert box.run(["/dev/pipes/EOF"], mounts=(FileMount("/dev/pipes/EOF", script, 0o755, executable=True),)).lines() == [
        "ran /dev/pipes/EOF"
    ]
    assert box.run(["/dev/pipes/EOF"], mounts=(FileMount("/dev/pipes/EOF", script, 0o755),)).exit.code == 126


def test_tmpfs_size(box: Box) -> None:
    assert "size=64k" in _options(box, "/t", mounts=(TmpfsMount("/t", size=65536),))
    assert box.run("head -c 100000 /dev/zero > /t/x", mounts=(TmpfsMount("/t", size=65536),)).exit.code != 0


def test_a_socket(box: Box, tmp_path: Path) -> None:
    path = tmp_path / "agent"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        mount = SocketMount(str(path), "/run/ssh/agent", 0o600, uid=1000, gid=1000)
        assert box.run("stat -c '%F %a %u' /run/ssh/agent", mounts=(mount,), user=User(1000, 1000)).lines() == ["socket 600 1000"]
    (tmp_path / "plain").touch()
    wrong = box.run("true", mounts=(SocketMount(str(tmp_path / "plain"), "/s", 0o600),))
    assert wrong.exit.setup_error == f"cannot mount a socket at /s: {tmp_path}/plain is no socket"
    assert _layer(box) == []


@pytest.mark.parametrize("link", ["/", "/../../..", "../../../../../../..", "/proc/self/root", "/proc/1/cwd"])
def test_the_source_of_a_mount_stays_inside_its_root(box: Box, new_box: Callable[[str], Box], link: str) -> None:
    """CVE-2024-1753, CVE-2024-11218."""
    other = new_box("other")
    (other.lower / "marker").touch()
    (other.lower / "link").symlink_to(link)
    done = box.run("ls /m", mounts=(BindMount(Directory(str(other.lower)), "/link", "/m"),))
    assert done.exit.setup_error is not None or done.lines() == ["link", "marker"], done
    if link.startswith("/proc"):
        assert done.exit.setup_error == "cannot mount /link at /m: No such file or directory"


@pytest.mark.parametrize("target", ["/abs/new", "/rel/./new", "/loop/x"])
def test_the_target_of_a_mount_stays_inside_the_root(box: Box, tmp_path: Path, target: str) -> None:
    """CVE-2021-30465, CVE-2026-42306."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (box.lower / "abs").symlink_to(outside)
    (box.lower / "rel").symlink_to("../" * 30 + str(outside).lstrip("/"))
    (box.lower / "loop").symlink_to("loop")
    done = box.run(f"ls -d {outside}/new && touch {outside}/new/inside", mounts=(TmpfsMount(target),))
    assert _tree(outside) == []
    if "loop" in target:
        assert done.exit.setup_error == "cannot mount tmpfs at /loop/x: Too many levels of symbolic links"
    else:
        assert done.exit.ok, done
    assert _layer(box) == []


@pytest.mark.parametrize("link", ["../run/systemd/resolve/stub-resolv.conf", "/run/resolv.conf", "/etc/real"])
def test_resolv_conf_may_be_a_link(box: Box, link: str) -> None:
    (box.lower / "etc").mkdir()
    (box.lower / "etc/resolv.conf").symlink_to(link)
    done = box.run("cat /etc/resolv.conf; readlink /etc/resolv.conf")
    assert "nameserver" in done.stdout
    assert done.stdout.endswith(link + "\n")
    assert _layer(box) == []


@pytest.mark.parametrize(("target", "word"), [("/", "root"), ("/proc/sys", "/proc"), ("/x/../proc", "/proc")])
def test_places_that_may_not_be_mounted_over(box: Box, target: str, word: str) -> None:
    done = box.run("true", mounts=(TmpfsMount(target),))
    assert done.exit.setup_error is not None
    assert word in done.exit.setup_error


def test_a_missing_source_is_told(box: Box, tmp_path: Path) -> None:
    done = box.run("true", mounts=(BindMount(Directory(str(tmp_path)), "/nothing", "/m"),))
    assert done.exit.setup_error == "cannot mount /nothing at /m: No such file or directory"
    assert _layer(box) == []


def test_a_file_in_the_way_of_a_directory_is_told(box: Box) -> None:
    (box.lower / "f").touch()
    done = box.run("true", mounts=(TmpfsMount("/f"),))
    assert done.exit.setup_error == "cannot mount tmpfs at /f: Not a directory (/f)"


def test_nothing_of_the_host_is_reachable(box: Box, tmp_path: Path) -> None:
    (tmp_path / "canary").touch()
    done = box.run(f"ls {tmp_path} /proc/1/root{tmp_path} /proc/1/cwd{tmp_path}; grep -c {tmp_path} /proc/self/mountinfo")
    assert done.stdout == "0\n"


def test_the_host_interpreter_cannot_be_written(box: Box) -> None:
    """CVE-2019-5736: a step whose program is /proc/self/exe runs the launcher's interpreter, from a read-only mount."""
    done = box.run(["/proc/self/exe", "-c", "open('/proc/self/exe', 'r+b')"])
    assert not done.exit.ok


def test_no_mount_is_left_behind(box: Box, sandbox: Sandbox) -> None:
    assert box.run("true", mounts=(TmpfsMount("/t"),)).exit.ok
    assert str(box.directory) not in Path("/proc/self/mountinfo").read_text()
    assert stat.S_ISDIR(os.stat(box.upper).st_mode)
