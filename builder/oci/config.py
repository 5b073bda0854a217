"""The image config: what a container runs, the layers' DiffIDs and the history.

OCI image-spec v1.1 config.md, with Docker's further fields (Healthcheck, OnBuild, Shell, ArgsEscaped).
"""

from collections.abc import Mapping

import msgspec

from builder.errors import CorruptionError
from builder.oci.digest import DiffID, parse_digest
from builder.oci.golang import decode_go
from builder.oci.platform import Platform, normalize

MAX_CONFIG = 8 << 20
"""Bytes of a config blob that are read at the most."""


class Health(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """A health check; durations in nanoseconds, 0: the engine's default."""

    test: tuple[str, ...] | None = None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class RunConfig(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """The `config` object; an absent list is None, as Go's omitempty writes it."""

    user: str = ""
    exposed_ports: dict[str, dict[str, str]] | None = None
    env: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    volumes: dict[str, dict[str, str]] | None = None
    working_dir: str = ""
    labels: dict[str, str] | None = None
    stop_signal: str = ""
    args_escaped: bool = False
    healthcheck: Health | None = None
    on_build: tuple[str, ...] | None = None
    shell: tuple[str, ...] | None = None


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of history."""

    created: str | None = None
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class RootFS(msgspec.Struct, frozen=True):
    """The stack, lowest first."""

    type: str = "layers"
    diff_ids: tuple[DiffID, ...] = ()


class ImageConfig(msgspec.Struct, frozen=True, omit_defaults=True, rename={"os_version": "os.version", "os_features": "os.features"}):
    """A whole image config blob."""

    architecture: str = ""
    os: str = ""
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] | None = None
    author: str = ""
    created: str | None = None
    config: RunConfig = RunConfig()
    rootfs: RootFS = RootFS()
    history: tuple[History, ...] | None = None

    @property
    def platform(self) -> Platform:
        """The platform in normal form."""
        return normalize(Platform(self.architecture, self.os, self.os_version, self.os_features or (), self.variant))


def encode_config(config: ImageConfig, extra: Mapping[str, bytes] | None = None) -> bytes:
    """The bytes we write: keys sorted on top and in maps, as Go sorts them; `config`, `rootfs` and `history` always there.

    `extra` are further keys on top, each with its value as JSON.
    """
    fields = msgspec.to_builtins(config)
    fields.update((key, msgspec.Raw(value)) for key, value in (extra or {}).items())
    run = fields.setdefault("config", {})
    run.update({name: dict(sorted(run[name].items())) for name in ("ExposedPorts", "Volumes", "Labels") if name in run})
    fields["history"] = msgspec.to_builtins(config.history or ())
    fields["rootfs"] = {"type": config.rootfs.type, "diff_ids": list(config.rootfs.diff_ids)}
    return msgspec.json.encode({key: fields[key] for key in sorted(fields)})


def decode_config(raw: bytes) -> ImageConfig:
    """A foreign config; raises CorruptionError. `null` stands for an absent list or object, as Go writes it."""
    if len(raw) > MAX_CONFIG:
        raise CorruptionError("config-too-large", f"an image config of {len(raw)} bytes is over the limit of {MAX_CONFIG}")
    try:
        config = msgspec.convert(decode_go(raw), type=ImageConfig)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptionError("config-invalid", f"an image config cannot be decoded: {error}") from None
    for diff_id in config.rootfs.diff_ids:
        parse_digest(diff_id)
    return config
