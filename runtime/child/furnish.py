"""A step's root, furnished: the mounts of its room moved in, and the mounts of its own.

The room (see room) was made before the root was known; /proc in it by the payload, which alone is in its pid namespace.
"""

from __future__ import annotations

import binascii
import os
import stat

from runtime.child import libc
from runtime.child.errors import SetupError, doing
from runtime.child.mounts import LOCKED_DOWN, Stacker, attach, clone, fresh
from runtime.child.paths import open_inside

TYPE_CHECKING = False  # see request
if TYPE_CHECKING:
    from runtime.child.request import BindData, FileData, MountData, Request, SocketData, TmpfsData
    from runtime.child.room import Files, Room
    from runtime.child.stubs import Stubs


def furnish(request: Request, room: Room, stubs: Stubs, stacker: Stacker) -> None:
    """Mounts everything on the root that `stubs` is for."""
    for name in ("proc", "dev", "sys"):
        with doing(f"make the mount point /{name}"):
            attach(room.tree(name), stubs.lasting(name))
    for path, mount_fd in room.etc:
        with doing(f"mount /{path}"):
            attach(mount_fd, stubs.file(path))
    process = request["process"]
    devices = process["insecure"] or request["guarded"]
    for mount in sorted(process["mounts"], key=lambda one: _parts(one["target"])):
        _mount_one(mount, stubs, stacker, room.files, devices=devices)


def _mount_one(mount: MountData, stubs: Stubs, stacker: Stacker, files: Files, *, devices: bool) -> None:
    target = mount["target"]
    parts = _parts(target)
    if not parts or parts[0] == "proc":
        raise SetupError(f"cannot mount at {target}: neither the root nor anything in /proc may be mounted over")
    with doing(f"mount {mount['type']} at {target}"):
        if mount["type"] == "bind":
            _bind(mount, stubs, stacker)
        elif mount["type"] == "tmpfs":
            _tmpfs(mount, stubs, devices=devices)
        elif mount["type"] == "file":
            _file(mount, stubs, files)
        else:
            _socket(mount, stubs)


def _bind(mount: BindData, stubs: Stubs, stacker: Stacker) -> None:
    base = stacker.mount(mount["root"])
    try:
        source = open_inside(base, mount["source"])
    except OSError as error:
        raise SetupError(f"cannot mount {mount['source']} at {mount['target']}: {error.strerror}") from error
    finally:
        os.close(base)
    try:
        directory = stat.S_ISDIR(os.fstat(source).st_mode)
        tree = clone(source, libc.ATTR_RDONLY if mount["read_only"] else 0, recursive=True)
    finally:
        os.close(source)
    attach(tree, stubs.directory(mount["target"]) if directory else stubs.file(mount["target"]))


def _tmpfs(mount: TmpfsData, stubs: Stubs, *, devices: bool) -> None:
    options = [("mode", f"{mount['mode']:o}")]
    if mount["size"] is not None:
        options.append(("size", str(mount["size"])))
    attach(fresh("tmpfs", options, libc.ATTR_NOSUID | (0 if devices else libc.ATTR_NODEV)), stubs.directory(mount["target"]))


def _file(mount: FileData, stubs: Stubs, files: Files) -> None:
    source = files.write(binascii.a2b_base64(mount["content"]), mount["mode"], mount["uid"], mount["gid"])
    attributes = libc.ATTR_RDONLY | LOCKED_DOWN
    if mount["executable"]:
        attributes &= ~libc.ATTR_NOEXEC
    attach(clone(source, attributes), stubs.file(mount["target"]))
    os.close(source)


def _socket(mount: SocketData, stubs: Stubs) -> None:
    source = os.open(mount["path"], os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(source).st_mode):
            raise SetupError(f"cannot mount a socket at {mount['target']}: {mount['path']} is no socket")
        here = f"/proc/self/fd/{source}"
        os.chown(here, mount["uid"], mount["gid"])
        os.chmod(here, mount["mode"])
        attach(clone(source, LOCKED_DOWN), stubs.file(mount["target"]))
    finally:
        os.close(source)


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in os.path.normpath("/" + path).split("/") if part)
