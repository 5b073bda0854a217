"""The images that the cases stand on, as docker archives: `base` (a busybox), `rich` (every field of the config), `trigger` (ONBUILD)."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

TIME = 1_577_836_800
CREATED = "2020-01-01T00:00:00Z"
CAPABILITY = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
"""security.capability as VFS_CAP_REVISION_2 with cap_net_bind_service, permitted and effective."""


class LayerTar:
    """A layer in the making; every entry has the one time."""

    def __init__(self) -> None:
        self._out = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._out, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - closed by bytes()

    def add(
        self, name: str, mode: int, owner: tuple[int, int] = (0, 0), *, data: bytes | None = None, link: str | None = None,
        hard: str | None = None, fifo: bool = False, xattrs: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        """One entry: a file with `data`, a link, a pipe, else a directory."""
        info = tarfile.TarInfo(name)
        info.mode, info.mtime, (info.uid, info.gid) = mode, TIME, owner
        info.pax_headers = {f"SCHILY.xattr.{key}": value for key, value in (xattrs or {}).items()}
        if data is not None:
            info.size = len(data)
        elif link is not None:
            info.type, info.linkname = tarfile.SYMTYPE, link
        elif hard is not None:
            info.type, info.linkname = tarfile.LNKTYPE, hard
        else:
            info.type = tarfile.FIFOTYPE if fifo else tarfile.DIRTYPE
        self._tar.addfile(info, io.BytesIO(data) if data is not None else None)

    def bytes(self) -> bytes:
        """The finished tar."""
        self._tar.close()
        return self._out.getvalue()


def busybox_layer(root: Path) -> bytes:
    """The files of the fixture `busybox_root`, with owners and times that do not depend on the machine."""
    layer = LayerTar()
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            layer.add(name, 0o777, link=os.readlink(path))
        elif path.is_dir():
            layer.add(name, path.stat().st_mode & 0o7777)
        else:
            layer.add(name, path.stat().st_mode & 0o7777, data=path.read_bytes())
    return layer.bytes()


def data_layer() -> bytes:
    """Files to be changed, removed, linked and copied from."""
    layer = LayerTar()
    layer.add("data", 0o755)
    layer.add("data/plain", 0o644, data=b"plain\n")
    layer.add("data/owned", 0o640, (1000, 2000), data=b"owned\n")
    layer.add("data/setuid", 0o4755, data=b"#!/bin/sh\n")
    layer.add("data/setgid", 0o2755, (0, 42), data=b"#!/bin/sh\n")
    layer.add("data/hard1", 0o644, data=b"linked\n")
    layer.add("data/hard2", 0o644, hard="data/hard1")
    layer.add("data/link", 0o777, link="plain")
    layer.add("data/absolute", 0o777, link="/data/plain")
    layer.add("data/dangling", 0o777, link="nowhere")
    layer.add("data/pipe", 0o600, fifo=True)
    layer.add("data/capable", 0o755, data=b"capable\n", xattrs={"security.capability": CAPABILITY.decode("latin-1")})
    layer.add("data/dir", 0o750, (1000, 1000))
    layer.add("data/dir/a", 0o600, (1000, 1000), data=b"a\n")
    layer.add("data/dir/b", 0o644, data=b"b\n")
    layer.add("data/dir/sub", 0o700)
    layer.add("data/dir/sub/c", 0o644, data=b"c\n")
    layer.add("data/linkdir", 0o777, link="dir")
    layer.add("data/sticky", 0o1777)
    layer.add("srv", 0o755)
    layer.add("srv/real", 0o755)
    layer.add("srv/current", 0o777, link="real")
    layer.add("srv/absolute", 0o777, link="/srv/real")
    layer.add("srv/escape", 0o777, link="../../../../srv/real")
    return layer.bytes()


RICH: dict[str, object] = {
    "User": "app",
    "Env": ["PATH=/bin:/usr/bin", "FROM_BASE=base", "EMPTY="],
    "Entrypoint": ["/bin/echo"],
    "Cmd": ["from", "base"],
    "WorkingDir": "/data",
    "Volumes": {"/vol": {}},
    "ExposedPorts": {"80/tcp": {}},
    "Labels": {"base": "yes", "both": "base"},
    "StopSignal": "SIGTERM",
    "Shell": ["/bin/ash", "-c"],
    "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000},
}


def docker_archive(name: str, layers: list[bytes], config: dict[str, object], author: str = "") -> bytes:
    """An archive as `docker save` writes it."""
    diff_ids = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
    history = [{"created": CREATED, "created_by": f"layer {number} of {name}"} for number in range(len(layers))]
    history.append({"created": CREATED, "created_by": f"config of {name}", "empty_layer": True})  # type: ignore[dict-item]
    document: dict[str, object] = {
        "architecture": "amd64", "os": "linux", "created": CREATED, "config": config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history,
    }  # fmt: skip
    if author:
        document["author"] = author
    raw = json.dumps(document).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:

        def put(path: str, data: bytes) -> None:
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))

        for number, layer in enumerate(layers):
            put(f"{number}/layer.tar", layer)
        config_name = hashlib.sha256(raw).hexdigest() + ".json"
        put(config_name, raw)
        saved = {"Config": config_name, "RepoTags": [f"{name}:latest"], "Layers": [f"{number}/layer.tar" for number in range(len(layers))]}
        put("manifest.json", json.dumps([saved]).encode())
    return out.getvalue()


def base_archives(root: Path) -> list[bytes]:
    """Every image that a case may name."""
    busybox, data = busybox_layer(root), data_layer()
    triggers = [
        "ARG WHO=world", "ENV GREETED=$WHO", "COPY greeting /greeting", "RUN echo hello $WHO > /hello", "LABEL triggered=yes",
        "WORKDIR /on",
    ]  # fmt: skip
    plain: dict[str, object] = {"Env": ["PATH=/bin:/usr/bin"], "Cmd": ["sh"]}
    return [
        docker_archive("base", [busybox], plain),
        docker_archive("data", [busybox, data], plain),
        docker_archive("rich", [busybox, data], RICH, author="somebody"),
        docker_archive("trigger", [busybox], {**plain, "OnBuild": triggers}),
        docker_archive("nopath", [busybox], {"Env": ["A=1"]}),
    ]
