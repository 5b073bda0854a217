"""The builders that are measured, each as one class: ours, dockerd's BuildKit, buildah."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal, Protocol

from bench import workloads
from bench.measure import Failed, Sample, timed, total
from tests.peers.engine import Engine, start_engine
from tests.peers.service import Unavailable

Compression = Literal["gzip", "zstd"]
REPOSITORY = Path(__file__).resolve().parent.parent


class Builder(Protocol):
    """A builder with a store of its own. Every method raises bench.measure.Failed when a command fails."""

    name: str

    def has(self, feature: str) -> bool:
        """Whether it can do a thing at all: `zstd`."""
        ...

    def load(self, archive: Path) -> None:
        """Takes a docker archive as local images."""
        ...

    def build(self, context: Path, tag: str, *, cache: bool = True, jobs: int | None = None) -> Sample:
        """Builds into the local store."""
        ...

    def build_archive(self, context: Path, tag: str, out: Path, *, cache: bool = True, compression: Compression = "gzip") -> Sample:
        """Builds, and writes an OCI archive of compressed layers."""
        ...

    def build_push(self, context: Path, reference: str, *, cache: bool = True) -> Sample:
        """Builds, and pushes to a registry on loopback."""
        ...

    def close(self) -> None:
        """Ends what was started and removes the store."""
        ...


def program(name: str) -> list[str]:
    """Our command as pip installed it beside the interpreter, else by its module."""
    path = Path(sys.executable).parent / name
    if path.exists():
        return [str(path)]
    module = {"build": "builder.cli.build", "layerwright": "builder.cli.main"}[name]
    return [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); from {module} import main; main()"]


class Layerwright:
    """Ours; nothing runs between builds."""

    name = "layerwright"

    def __init__(self, state: Path) -> None:
        self.root = state / "layerwright"
        self.env = {"LAYERWRIGHT_ROOT": str(self.root)}

    def has(self, feature: str) -> bool:
        return True

    def load(self, archive: Path) -> None:
        """The base is made in place (`layerwright base`), so an archive is not needed."""

    def make_base(self, archive: Path) -> None:
        """The embedded base, here and as a docker archive for the others."""
        timed([*program("layerwright"), "base"], self.env)
        archive.with_name("base").mkdir(parents=True, exist_ok=True)
        (archive.with_name("base") / "Dockerfile").write_text("FROM layerwright/base\n")
        output = f"type=docker,dest={archive}"
        timed([*program("build"), "-t", "layerwright/base", "-o", output, str(archive.with_name("base"))], self.env)

    def large_blobs(self) -> set[tuple[str, int]]:
        """The layers of some size in the store, by name and inode: one that is written again has another."""
        with os.scandir(self.root / "blobs" / "sha256") as entries:
            return {(entry.name, entry.inode()) for entry in entries if entry.stat().st_size > 1 << 20}

    def build_file(self, context: Path, tag: str, dockerfile: str) -> Sample:
        """Builds with a Dockerfile of another name in the context."""
        return timed([*program("build"), "-t", tag, "-f", str(context / dockerfile), "--progress=plain", str(context)], self.env)

    def root_filesystem(self, directory: Path, context: Path) -> None:
        """What a context builds to, as files."""
        timed([*program("build"), "-o", f"type=local,dest={directory}", str(context)], self.env)

    def build(self, context: Path, tag: str, *, cache: bool = True, jobs: int | None = None) -> Sample:
        several = ["--jobs", str(jobs)] if jobs else []
        return timed([*program("build"), "-t", tag, *_cache(cache), *several, "--progress=plain", str(context)], self.env)

    def build_archive(self, context: Path, tag: str, out: Path, *, cache: bool = True, compression: Compression = "gzip") -> Sample:
        out.unlink(missing_ok=True)
        output = f"type=oci,dest={out},compression={compression}"
        return timed([*program("build"), "-t", tag, *_cache(cache), "--progress=plain", "-o", output, str(context)], self.env)

    def build_push(self, context: Path, reference: str, *, cache: bool = True) -> Sample:
        return timed([*program("build"), "-t", reference, *_cache(cache), "--progress=plain", "--push", str(context)], self.env)

    def close(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)


class BuildKit:
    """The BuildKit inside dockerd; the daemon is running and warm. Its archives are made by skopeo, since it has no exporter for them."""

    name = "dockerd"

    def __init__(self, state: Path) -> None:
        if shutil.which("skopeo") is None:
            raise Unavailable("skopeo is not installed")
        self._engine: Engine = start_engine(state / "dockerd")
        self._client = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else "docker"

    def has(self, feature: str) -> bool:
        return feature != "zstd"

    def load(self, archive: Path) -> None:
        timed([self._client, "load", "-i", str(archive)], self._engine.env)

    def build(self, context: Path, tag: str, *, cache: bool = True, jobs: int | None = None) -> Sample:
        return timed([self._client, "build", "-t", tag, *_cache(cache), "--progress=plain", str(context)], self._engine.env)

    def build_archive(self, context: Path, tag: str, out: Path, *, cache: bool = True, compression: Compression = "gzip") -> Sample:
        out.unlink(missing_ok=True)
        source = f"docker-daemon:{tag}:latest"
        host = f"unix://{self._engine.socket}"
        copy = ["skopeo", "copy", "--quiet", "--src-daemon-host", host, source, f"oci-archive:{out}:{tag}"]
        return total([self.build(context, tag, cache=cache), timed(copy)])

    def build_push(self, context: Path, reference: str, *, cache: bool = True) -> Sample:
        return total([self.build(context, reference, cache=cache), timed([self._client, "push", "-q", reference], self._engine.env)])

    def close(self) -> None:
        self._engine.stop()


class Buildah:
    """buildah as root with overlay and layers; runc, since crun refuses hosts where cgroups are half v1."""

    name = "buildah"

    def __init__(self, state: Path) -> None:
        if shutil.which("buildah") is None or os.geteuid() != 0:
            raise Unavailable("buildah needs to be installed, and root")
        self._state = state / "buildah"
        self._state.mkdir(parents=True, exist_ok=True)
        policy = self._state / "policy.json"
        policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        self._policy = ["--signature-policy", str(policy)]
        self._base = ["buildah", "--root", f"{self._state}/root", "--runroot", f"{self._state}/run", "--storage-driver", "overlay"]

    def has(self, feature: str) -> bool:
        return True

    def load(self, archive: Path) -> None:
        pull = [*self._base, "pull", "-q", *self._policy, f"docker-archive:{archive}"]
        done = subprocess.run(pull, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"buildah took no archive: {done.stderr[-500:]}")
        timed([*self._base, "tag", done.stdout.split()[-1], workloads.BASE])

    def build(self, context: Path, tag: str, *, cache: bool = True, jobs: int | None = None) -> Sample:
        several = ["--jobs", str(jobs)] if jobs else []
        argv = [
            *self._base,
            "bud",
            *self._policy,
            "--tls-verify=false",
            "--runtime",
            "runc",
            "--layers",
            *_cache(cache),
            *several,
            "-t",
            tag,
            str(context),
        ]
        return timed(argv)

    def build_archive(self, context: Path, tag: str, out: Path, *, cache: bool = True, compression: Compression = "gzip") -> Sample:
        out.unlink(missing_ok=True)
        push = [*self._base, "push", "-q", *self._policy, "--compression-format", compression, tag, f"oci-archive:{out}:{tag}"]
        return total([self.build(context, tag, cache=cache), timed(push)])

    def build_push(self, context: Path, reference: str, *, cache: bool = True) -> Sample:
        push = [*self._base, "push", "-q", *self._policy, "--tls-verify=false", reference, f"docker://{reference}"]
        return total([self.build(context, reference, cache=cache), timed(push)])

    def close(self) -> None:
        subprocess.run([*self._base, "rm", "-a"], check=False, capture_output=True)
        subprocess.run(["umount", "-l", f"{self._state}/root/overlay"], check=False, capture_output=True)
        shutil.rmtree(self._state, ignore_errors=True)


def _cache(use: bool) -> list[str]:
    return [] if use else ["--no-cache"]
