"""Device nodes: a step uses its own wherever it makes them, and opens no other, by either version of control groups or by its mounts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime.devicegroup import DeviceGroup, open_device_group
from runtime.hierarchy import Hierarchy, Layout, read_layout
from runtime.sandbox import NamespaceSandbox
from runtime.spec import BindMount, Directory, Resources, TmpfsMount
from runtime.unsupported import Unsupported
from tests.privileges import root_of_the_machine_only
from tests.runtime.box import Box

NewBox = Callable[..., Box]
# What debootstrap asks of the place it is to fill, and what mmdebstrap makes there.
USE = "mknod -m 666 /t/null c 1 3 && echo x > /t/null && mknod -m 666 /t/zero c 1 5 && head -c 3 /t/zero | wc -c"
OTHERS = """
for node in "b 254 0" "b 7 0" "b 8 0" "b 259 0" "c 1 1" "c 1 11" "c 5 1" "c 10 200" "c 10 229"; do
  for place in / /t /cache /dev /dev/shm; do
    mknod -m 666 $place/other $node || echo not made
    (: < $place/other) 2>/dev/null && echo read $place $node; (: > $place/other) 2>/dev/null && echo written $place $node
    dd if=$place/other of=/dev/null bs=1 count=1 2>/dev/null && echo copied $place $node
    rm $place/other
  done
done
for node in /image/*; do (: < $node) 2>/dev/null && echo read $node; done
echo done
"""


def _version(number: int) -> Callable[[], DeviceGroup | None]:
    def guard() -> DeviceGroup:
        layout = read_layout()
        wanted = Layout(layout.old, None) if number == 1 else Layout((), layout.unified)
        return open_device_group(wanted)

    return guard


GUARDS = {"version-1": _version(1), "version-2": _version(2), "host": None, "mounts": lambda: None}


@pytest.fixture(params=GUARDS)
def guarded(request: pytest.FixtureRequest, busybox_root: Path, tmp_path: Path) -> Iterator[Box]:
    """A box in each way of guarding devices; with an image that brings some, a cache and a tmpfs."""
    root_of_the_machine_only()
    guard = GUARDS[request.param]
    if guard is not None:
        try:
            group = guard()
        except Unsupported as error:
            pytest.skip(error.reason)
        if group is not None:
            group.close()
    with NamespaceSandbox(str(tmp_path), None, guard) as sandbox:
        box = Box(sandbox, busybox_root, tmp_path / "box")
        (box.lower / "image").mkdir()
        for name, kind, number in (("disk", 0o60666, (254, 0)), ("loop", 0o60666, (7, 0)), ("log", 0o20666, (1, 11))):
            os.mknod(box.lower / "image" / name, kind, os.makedev(*number))
        (tmp_path / "cache").mkdir()
        (tmp_path / "cache").chmod(0o777)
        yield box


def _mounts(box: Box) -> dict[str, tuple[BindMount | TmpfsMount, ...]]:
    cache = BindMount(Directory(str(box.directory.parent / "cache")), "/", "/cache", read_only=False)
    return {"mounts": (cache, TmpfsMount("/t"))}


def _can_make_and_use(box: Box) -> bool:
    done = box.run(USE, **_mounts(box))
    assert done.stdout in ("3\n", ""), done
    return done.exit.ok


def test_no_other_device_can_be_opened(guarded: Box) -> None:
    assert guarded.run(OTHERS, **_mounts(guarded)).lines() == ["done"]


def test_a_step_with_limits_is_kept_from_them_too(guarded: Box) -> None:
    done = guarded.run(OTHERS, resources=Resources(pids=100), **_mounts(guarded))
    if done.exit.setup_error:
        pytest.skip(done.exit.setup_error)
    assert done.lines() == ["done"]


def test_own_devices_work_wherever_they_are_made(guarded: Box, request: pytest.FixtureRequest) -> None:
    """But for a host without a group for them, where nothing that a step makes opens."""
    kind = request.node.callspec.params["guarded"]
    if kind == "host":
        pytest.skip("depends on the host")
    assert _can_make_and_use(guarded) == (kind != "mounts")
    assert guarded.run("echo x > /dev/null && head -c 3 /dev/urandom | wc -c && (: > /dev/full)").lines() == ["3"]


def test_what_root_of_a_step_makes_is_in_the_layer(guarded: Box) -> None:
    assert guarded.run("mknod /disk b 254 0; mkdir /deb; mknod /deb/console c 5 1").exit.ok
    assert os.stat(guarded.upper / "disk").st_rdev == os.makedev(254, 0)
    assert os.stat(guarded.upper / "deb/console").st_rdev == os.makedev(5, 1)


def test_an_insecure_step_opens_every_device(guarded: Box) -> None:
    """It was given them on the command line; here the kernel's log, which every host has."""
    assert guarded.run("mknod /log c 1 11 && (: < /log) && echo opened", insecure=True).lines() == ["opened"]
    assert guarded.run(OTHERS, **_mounts(guarded)).lines() == ["done"]  # and the next step is kept from them again


def test_a_group_that_does_not_hold_is_not_believed(busybox_root: Path, tmp_path: Path) -> None:
    """Whatever the builder was told, the launcher tries: here a group in name only, and one that lets nobody in."""
    root_of_the_machine_only()
    (tmp_path / "cgroup.procs").touch()
    for directory in (tmp_path, tmp_path / "missing"):
        with NamespaceSandbox(str(tmp_path), None, lambda: DeviceGroup(str(directory), "", None)) as sandbox:  # noqa: B023
            box = Box(sandbox, busybox_root, tmp_path / f"box-{directory.name}")
            (tmp_path / "cache").mkdir(exist_ok=True)
            assert box.run(OTHERS, **_mounts(box)).lines() == ["done"]
            assert not _can_make_and_use(box)


def test_a_half_made_list_is_made_again() -> None:
    """In a place of the test's own, for the host's group has steps in it."""
    root_of_the_machine_only()
    found = dict(read_layout().old).get("devices")
    if found is None:
        pytest.skip("version 1 has no device controller here")
    place = Hierarchy(1, found.mount_point, f"{found.own}/lwtest{os.getpid()}")
    listed = Path(place.base()) / "devices/devices.list"
    layout = Layout((("devices", place),), None)
    try:
        open_device_group(layout).close()
        whole = listed.read_text()
        (listed.parent / "devices.deny").write_text("c 1:7 rwm")
        assert "c 1:7" not in listed.read_text()
        open_device_group(layout).close()
        again = listed.read_text()
    except Unsupported as error:
        pytest.skip(error.reason)
    finally:
        for directory in (listed.parent, *listed.parent.parents[:2]):
            directory.rmdir()
    assert sorted(again.splitlines()) == sorted(whole.splitlines())
    assert "c 1:3 rwm" in whole
    assert "a *:* rwm" not in whole


def test_a_group_elsewhere_gets_the_same_rule() -> None:
    """In version 2 a step with limits is in a group of its own."""
    unified = read_layout().unified
    try:
        group = open_device_group(Layout((), unified))
    except Unsupported as error:
        pytest.skip(error.reason)
    assert unified is not None
    place = Path(unified.mount_point) / f"layerwright/{os.getpid()}-rule"
    place.mkdir(parents=True)
    try:
        group.guard(str(place))
        script = f"open('{place}/cgroup.procs', 'w').write('0'); open('/dev/null'); print('null', flush=True); open('/dev/kmsg')"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    finally:
        place.rmdir()
        group.close()
    assert done.stdout == "null\n"
    assert "Operation not permitted: '/dev/kmsg'" in done.stderr
