"""Several platforms in one build, and steps of a foreign one."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from builder.errors import LayerwrightError
from builder.oci.manifest import Index
from builder.oci.platform import host_platform
from builder.ops import emulation
from builder.store.store import Store
from tests.engine.site import Site, image

HANDLERS = Path("/proc/sys/fs/binfmt_misc")


def foreign_program(says: bytes) -> bytes:
    """A whole arm64 program of a few instructions: write(1, says), exit(0)."""
    words = [
        0xD2800808,  # mov x8, 64: write
        0xD2800020,  # mov x0, 1
        0x100000C1,  # adr x1, 24 bytes on
        0xD2800002 | len(says) << 5,  # mov x2, length
        0xD4000001,  # svc 0
        0xD2800BA8,  # mov x8, 93: exit
        0xD2800000,  # mov x0, 0
        0xD4000001,  # svc 0
    ]
    code = struct.pack("<8I", *words) + says
    base, start = 0x400000, 64 + 56
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 183, 1, base + start, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, start + len(code), start + len(code), 0x1000)
    return head + segment + code


@pytest.fixture
def arm64_handler() -> Iterator[None]:
    """binfmt_misc with an emulator for arm64; what was not there before goes again."""
    if host_platform().architecture != "amd64":
        pytest.skip("arm64 is not foreign here")
    if (HANDLERS / "qemu-aarch64").exists():
        yield
        return
    rules = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
    if shutil.which("qemu-aarch64-static") is None or not rules.exists():
        pytest.skip("qemu-user-static is not installed")
    mounted = not (HANDLERS / "register").exists()
    if mounted and subprocess.run(["mount", "-t", "binfmt_misc", "none", HANDLERS], check=False, capture_output=True).returncode != 0:
        pytest.skip("binfmt_misc cannot be mounted")
    try:
        (HANDLERS / "register").write_bytes(rules.read_bytes().strip().splitlines()[-1])
    except OSError as error:
        pytest.skip(f"binfmt_misc takes no handler: {error}")
    yield
    (HANDLERS / "qemu-aarch64").write_text("-1")
    if mounted:
        subprocess.run(["umount", HANDLERS], check=True)


def test_several_platforms_make_an_index(site: Site) -> None:
    site.dockerfile(
        """
        FROM --platform=$BUILDPLATFORM box AS build
        ARG TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT BUILDARCH
        RUN echo "$TARGETPLATFORM $TARGETOS $TARGETARCH $TARGETVARIANT $BUILDARCH" > /made
        FROM scratch
        ARG TARGETARCH
        COPY --from=build /made /made-for-$TARGETARCH
        ENV ARCH=$TARGETARCH
        """
    )
    outcome = site.build(platforms=("linux/amd64,linux/arm64", "linux/arm/v7", "linux/arm64/v8"))
    platforms = [str(one.platform) for one in outcome.result.images]
    assert platforms == ["linux/amd64", "linux/arm64", "linux/arm/v7"]
    assert outcome.result.index_raw is not None
    index = msgspec.json.decode(outcome.result.index_raw, type=Index)
    assert [str(entry.platform) for entry in index.manifests] == platforms
    assert [(one.config.architecture, one.config.variant, one.config.config.env) for one in outcome.result.images] == [
        (arch, variant, (image_path(), f"ARCH={arch}")) for arch, variant in (("amd64", ""), ("arm64", ""), ("arm", "v7"))
    ]
    host = host_platform().architecture
    with Store.open(site.settings.root) as store:
        tree = [_only_file(store, one.manifest.layers[0].digest) for one in outcome.result.images]
    assert tree == [
        ("made-for-amd64", f"linux/amd64 linux amd64  {host}\n"),
        ("made-for-arm64", f"linux/arm64 linux arm64  {host}\n"),
        ("made-for-arm", f"linux/arm/v7 linux arm v7 {host}\n"),
    ]


def image_path() -> str:
    """What an image from scratch has before anything else."""
    return "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _only_file(store: Store, digest: str) -> tuple[str, str]:
    import io
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(store.blobs.read(digest, 1 << 20))) as archive:  # type: ignore[arg-type]
        (member,) = archive.getmembers()
        file = archive.extractfile(member)
        assert file is not None
        return member.name, file.read().decode()


def test_a_foreign_step_goes_through_binfmt(site: Site, arm64_handler: None) -> None:
    (site.context / "greet").write_bytes(foreign_program(b"hello from afar\n"))
    site.dockerfile("FROM scratch\nCOPY --chmod=755 greet /\nRUN [\"/greet\"]\n")
    made = image(site.build(platforms=("linux/arm64",)))
    assert site.output() == "hello from afar\n"
    assert (made.config.architecture, made.config.os) == ("arm64", "linux")


def test_a_foreign_step_without_an_emulator_says_what_to_install(site: Site) -> None:
    if (HANDLERS / "qemu-s390x").exists():
        pytest.skip("this machine runs s390x")
    site.dockerfile("FROM scratch\nCOPY . /\nRUN [\"/nothing\"]\n")
    with pytest.raises(LayerwrightError) as caught:
        site.build(platforms=("linux/s390x",))
    error = caught.value
    assert (error.code, error.span and error.span.line) == ("foreign-platform", 3)
    assert "qemu-user-static" in (error.help or "")


def test_what_is_not_linux_cannot_run_and_can_be_copied(site: Site) -> None:
    site.dockerfile("FROM scratch\nCOPY . /\n")
    assert image(site.build(platforms=("windows/amd64",))).config.os == "windows"
    site.dockerfile("FROM scratch\nRUN dir\n")
    with pytest.raises(LayerwrightError) as caught:
        site.build(platforms=("windows/amd64",))
    assert caught.value.code == "foreign-platform"


def test_emulators_are_called_by_the_names_of_qemu() -> None:
    from builder.oci.platform import parse_platform

    if host_platform().architecture != "amd64":
        pytest.skip("i386 is not native here")
    emulation.require_platform(parse_platform("linux/386"))
    with pytest.raises(LayerwrightError) as caught:
        emulation.require_platform(parse_platform("linux/made-up"))
    assert "made-up" in caught.value.message
