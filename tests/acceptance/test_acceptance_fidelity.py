"""One of each thing a file system can hold: built, pushed, pulled by skopeo, unpacked by umoci, compared entry by entry."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.command import Command
from tests.peers.distribution import Registry
from tests.privileges import needs_root_of_the_machine

LONG = "/".join(["d" * 90] * 3) + "/" + "f" * 80

DOCKERFILE = rf"""
FROM scratch AS base
ADD box.tar /
RUN mkdir -p /below/emptied /below/replaced /below/kept && echo lower > /below/file \
 && echo x > /below/emptied/x && echo y > /below/replaced/y && echo one > /below/linked \
 && echo gone > /below/kept/gone && mkdir /below/tofile && echo z > /below/tofile/z
FROM base
RUN mkdir -p /made/{LONG.rpartition("/")[0]} && cd /made && echo long > {LONG} \
 && echo plain > plain && touch -d @1000000000 plain && ln plain hard && ln -s plain soft \
 && ln -s /nowhere/.. dangling && echo s > suid && chmod 4755 suid && echo g > sgid && chmod 2755 sgid \
 && mkdir sticky && chmod 1777 sticky && echo owned > owned && chown 1234:5678 owned && mkfifo fifo \
 && mknod null c 1 3 && mknod loop b 7 9 && echo n > "$(printf 'bad\377name')" && mkdir empty \
 && echo spaced > 'a b' && echo > "$(printf 'new\nline')" && : > zero \
 && truncate -s 64M sparse && echo end >> sparse
RUN --mount=type=bind,source=attrs,target=/attrs /attrs /made/xattr /made/capable
RUN cd /below && rm file && rm -r emptied && mkdir emptied && rm -r replaced && echo now > replaced \
 && ln linked also && rm kept/gone && rm -r tofile && ln -s kept tofile
RUN cd /below && rm replaced && mkdir replaced && echo back > replaced/back
"""


@pytest.fixture
def attrs(command: Command) -> Path:
    """A static program that sets the attributes busybox cannot."""
    source = command.cwd / "attrs.c"
    source.write_text(
        """
        #include <fcntl.h>
        #include <string.h>
        #include <sys/xattr.h>
        #include <unistd.h>
        int main(int argc, char **argv) {
            unsigned char cap[20] = {1, 0, 0, 2, 0, 4, 0, 0};
            close(open(argv[1], O_CREAT | O_WRONLY, 0644));
            close(open(argv[2], O_CREAT | O_WRONLY, 0755));
            if (setxattr(argv[1], "user.note", "a\\0b", 3, 0)) return 1;
            return setxattr(argv[2], "security.capability", cap, sizeof cap, 0) ? 2 : 0;
        }
        """
    )
    subprocess.run(["gcc", "-static", "-o", str(command.cwd / "attrs"), str(source)], check=True)
    return command.cwd / "attrs"


@needs_root_of_the_machine
def test_one_of_each_survives_the_whole_way(command: Command, attrs: Path, box_tar: Path, registry: Registry, tmp_path: Path) -> None:
    os.link(box_tar, command.cwd / "box.tar")
    (command.cwd / "Dockerfile").write_text(DOCKERFILE)
    name = f"{registry.host}/fidelity:1"
    command.build("-t", name, "--push", "-o", "type=tar,dest=out.tar", ".")
    layout = tmp_path / "layout"
    subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{name}", f"oci:{layout}:x"], check=True)
    subprocess.run(["umoci", "unpack", "--image", f"{layout}:x", str(tmp_path / "bundle")], check=True, capture_output=True)
    theirs = tmp_path / "bundle/rootfs"
    _check_made(theirs / "made")
    _check_below(theirs / "below")
    ours = command.cwd / "out"
    ours.mkdir()
    extract = ["tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", str(command.cwd / "out.tar"), "-C", str(ours)]
    subprocess.run(extract, check=True)
    assert _listing(ours) == _listing(theirs)


def _check_made(made: Path) -> None:
    at = {name: os.lstat(made / name) for name in os.listdir(made)}
    assert int(at["plain"].st_mtime) == 1000000000
    assert at["plain"].st_ino == at["hard"].st_ino
    assert os.readlink(made / "soft") == "plain"
    assert os.readlink(made / "dangling") == "/nowhere/.."
    modes = {name: stat.S_IMODE(at[name].st_mode) for name in ("suid", "sgid", "sticky")}
    assert modes == {"suid": 0o4755, "sgid": 0o2755, "sticky": 0o1777}
    assert (at["owned"].st_uid, at["owned"].st_gid) == (1234, 5678)
    assert stat.S_ISFIFO(at["fifo"].st_mode)
    assert (stat.S_ISCHR(at["null"].st_mode), at["null"].st_rdev) == (True, os.makedev(1, 3))
    assert (stat.S_ISBLK(at["loop"].st_mode), at["loop"].st_rdev) == (True, os.makedev(7, 9))
    assert b"bad\xffname" in os.listdir(os.fsencode(made))
    assert (made / LONG).read_text() == "long\n"
    assert (at["zero"].st_size, at["sparse"].st_size) == (0, (64 << 20) + 4)
    assert os.getxattr(made / "xattr", "user.note") == b"a\0b"
    assert os.getxattr(made / "capable", "security.capability")[4:8] == bytes([0, 4, 0, 0])
    assert "new\nline" in at


def _check_below(below: Path) -> None:
    assert sorted(os.listdir(below)) == ["also", "emptied", "kept", "linked", "replaced", "tofile"]
    assert os.listdir(below / "emptied") == []
    assert os.listdir(below / "replaced") == ["back"]
    assert os.listdir(below / "kept") == []
    assert os.readlink(below / "tofile") == "kept"
    assert os.stat(below / "linked").st_ino == os.stat(below / "also").st_ino


def _listing(root: Path) -> list[tuple[object, ...]]:
    """Every entry with all that matters of it; hard links by the first name of their group."""
    top = os.fsencode(root)
    first: dict[tuple[int, int], bytes] = {}
    paths = sorted(os.path.join(place, name) for place, names, files in os.walk(top) for name in names + files)
    return [_row(path, path[len(top) :], first) for path in paths]


def _row(path: bytes, relative: bytes, first: dict[tuple[int, int], bytes]) -> tuple[object, ...]:
    info = os.lstat(path)
    kind = stat.S_IFMT(info.st_mode)
    group = relative if kind == stat.S_IFDIR else first.setdefault((info.st_dev, info.st_ino), relative)
    content = Path(os.fsdecode(path)).read_bytes() if kind == stat.S_IFREG and info.st_size < 1 << 20 else None
    link = os.readlink(path) if kind == stat.S_IFLNK else None
    names = () if link is not None else sorted(os.listxattr(path))
    attrs = tuple((name, os.getxattr(path, name)) for name in names if not name.startswith(("user.umoci", "user.rootless")))
    size = info.st_size if kind == stat.S_IFREG else 0
    times = int(info.st_mtime)
    return (relative, info.st_mode, info.st_uid, info.st_gid, size, times, info.st_rdev, group, content, link, attrs)
