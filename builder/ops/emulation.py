"""Whether this machine can execute programs of a platform: natively, or by binfmt_misc and qemu-user."""

from __future__ import annotations

from pathlib import Path

from builder.errors import LayerwrightError
from builder.oci.platform import Platform, host_platform

BINFMT = Path("/proc/sys/fs/binfmt_misc")

_QEMU = {
    "amd64": "x86_64", "386": "i386", "arm64": "aarch64", "arm": "arm", "ppc64le": "ppc64le", "s390x": "s390x",
    "riscv64": "riscv64", "mips64le": "mips64el", "mips64": "mips64", "loong64": "loongarch64",
}  # fmt: skip

_NATIVE = {("amd64", "386"), ("arm64", "arm")}
"""Pairs of (host, wanted) that the processor itself can usually run."""


def require_platform(platform: Platform, otherwise: str = "build the stage with --platform=$BUILDPLATFORM") -> None:
    """Raise where a RUN of this platform cannot work here; the help names the package to install, or what to do `otherwise`."""
    host = host_platform()
    if platform.os != "linux":
        raise LayerwrightError(
            "foreign-platform", f"RUN for {platform} cannot run on Linux", help="build stages that RUN with --platform=$BUILDPLATFORM"
        )
    if platform.architecture == host.architecture or (host.architecture, platform.architecture) in _NATIVE:
        return
    name = _QEMU.get(platform.architecture, platform.architecture)
    if _registered(name):
        return
    raise LayerwrightError(
        "foreign-platform",
        f"this machine ({host}) cannot run programs for {platform}",
        help=f"{_remedy(name)}; or {otherwise}",
    )


def _remedy(name: str) -> str:
    """What to do as root: install the emulator, or tell the kernel of the one that is there."""
    program = f"/usr/bin/qemu-{name}-static"
    if not Path(program).exists():
        return f"apt-get install qemu-user-static binfmt-support, so that binfmt_misc has qemu-{name}"
    mounted = "" if (BINFMT / "register").exists() else f"mount -t binfmt_misc none {BINFMT} && "
    return f"{program} is there, but the kernel does not know it: {mounted}apt-get install --reinstall binfmt-support qemu-user-static"


def _registered(name: str) -> bool:
    """Whether binfmt_misc has an enabled interpreter with flag F, which needs no file inside the root."""
    try:
        text = (BINFMT / f"qemu-{name}").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return text.startswith("enabled") and any(line.startswith("flags:") and "F" in line for line in text.splitlines())
