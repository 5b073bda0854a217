"""Platforms: parsing, normal form and matching (OCI image-index.md "platform"; containerd's normalisation)."""

import platform as _host

import msgspec

from builder.errors import UsageError

_ARCH = {
    "x86_64": ("amd64", ""), "x86-64": ("amd64", ""), "aarch64": ("arm64", ""), "i386": ("386", ""),
    "i686": ("386", ""), "armhf": ("arm", "v7"), "armel": ("arm", "v6"), "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
}  # fmt: skip
_OS = {"macos": "darwin"}


class Platform(msgspec.Struct, frozen=True, rename={"os_version": "os.version", "os_features": "os.features"}, omit_defaults=True):
    """An operating system and architecture in normal form; `variant` is empty for arm64/v8 and amd64/v1."""

    architecture: str
    os: str
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def normalize(platform: Platform) -> Platform:
    """The same platform by its usual names."""
    os = _OS.get(platform.os.lower(), platform.os.lower())
    arch, variant = platform.architecture.lower(), platform.variant.lower()
    if arch in _ARCH:
        arch, implied = _ARCH[arch]
        variant = variant or implied
    if variant.isdigit():
        variant = "v" + variant
    if (arch, variant) in (("arm64", "v8"), ("amd64", "v1")):
        variant = ""
    if arch == "arm" and not variant:
        variant = "v7"
    return msgspec.structs.replace(platform, os=os, architecture=arch, variant=variant)


def parse_platform(text: str) -> Platform:
    """`os/arch[/variant]`, or `os` or `arch` alone, or `local`; raises UsageError."""
    if text == "local":
        return host_platform()
    parts = text.strip().split("/")
    if not all(part and part.replace("_", "").replace("-", "").replace(".", "").isalnum() for part in parts) or len(parts) > 3:
        raise UsageError("invalid-platform", f"{text[:300]!r} is not a platform", help="write os/arch[/variant], as linux/arm64")
    host = host_platform()
    if len(parts) == 1:
        known_os = parts[0].lower() in ("linux", "windows", "darwin", "macos", "freebsd")
        guess = (
            Platform(os=parts[0], architecture=host.architecture, variant=host.variant)
            if known_os
            else Platform(os="linux", architecture=parts[0])
        )
        return normalize(guess)
    return normalize(Platform(os=parts[0], architecture=parts[1], variant=parts[2] if len(parts) == 3 else ""))


def host_platform() -> Platform:
    """The platform this machine runs without emulation."""
    return normalize(Platform(os="linux", architecture=_host.machine()))


def matches(wanted: Platform, offered: Platform) -> bool:
    """Whether an image for `offered` is the one asked for by `wanted`."""
    a, b = normalize(wanted), normalize(offered)
    if (a.os, a.architecture) != (b.os, b.architecture):
        return False
    return a.variant == b.variant or (a.architecture == "amd64" and not b.variant)
