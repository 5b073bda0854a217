"""A Debian bookworm base image: made once by mmdebstrap, kept as an OCI layout in a cache outside the repository."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers.service import Unavailable

TAG = "bookworm"


def cache_directory() -> Path:
    """Where things that are slow to make are kept between sessions; each user has one."""
    path = Path(tempfile.gettempdir()) / f"layerwright-test-cache-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    if path.stat().st_uid != os.getuid():
        raise Unavailable(f"{path} belongs to somebody else")
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on a file, made if need be."""
    with open(path, "a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def debian_layout() -> Path:
    """The OCI layout (tag `bookworm`), made at the first call of all sessions; raises Unavailable."""
    cache = cache_directory()
    target = cache / f"debian-{TAG}-{platform.machine()}"
    with locked(cache / "debian.lock"):
        if not (target / "index.json").exists():
            _make(target)
    return target


def _make(target: Path) -> None:
    """Race: none, the caller holds the lock; a half-made one lies under another name."""
    if shutil.which("mmdebstrap") is None or os.geteuid() != 0:
        raise Unavailable("a Debian base needs mmdebstrap and root")
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        tar = Path(work) / "root.tar"
        made = subprocess.run(
            ["mmdebstrap", "--variant=minbase", '--aptopt=Acquire::Retries "3"', TAG, str(tar)], check=False, capture_output=True, text=True
        )
        if made.returncode != 0:
            raise Unavailable(f"mmdebstrap failed: {made.stderr[-1500:]}")
        layout = Path(work) / "layout"
        write_layout(layout, tar, TAG)
        shutil.rmtree(target, ignore_errors=True)
        os.rename(layout, target)


def write_layout(layout: Path, tar: Path, tag: str) -> None:
    """An OCI layout of one gzip layer, written with nothing of our own builder, so that it can bear witness against it."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    diff_id = _hash(tar)
    packed = layout / "layer"
    with open(tar, "rb") as source, open(packed, "wb") as out, gzip.GzipFile("", "wb", 5, out, mtime=0) as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
    layer = _descriptor("application/vnd.oci.image.layer.v1.tar+gzip", _hash(packed), packed.stat().st_size)
    os.rename(packed, blobs / layer["digest"].removeprefix("sha256:"))
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    config = _put(blobs, "application/vnd.oci.image.config.v1+json", {
        "architecture": machine, "os": "linux", "created": "2024-01-01T00:00:00Z",
        "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["bash"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]},
        "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "mmdebstrap --variant=minbase"}],
    })  # fmt: skip
    manifest = _put(blobs, "application/vnd.oci.image.manifest.v1+json", {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": [layer],
    })  # fmt: skip
    manifest["annotations"] = {"org.opencontainers.image.ref.name": tag}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))


def _hash(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _put(blobs: Path, media_type: str, document: object) -> dict[str, object]:
    raw = json.dumps(document).encode()
    digest = hashlib.sha256(raw).hexdigest()
    (blobs / digest).write_bytes(raw)
    return dict(_descriptor(media_type, digest, len(raw)))


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, str]:
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}  # type: ignore[dict-item]
