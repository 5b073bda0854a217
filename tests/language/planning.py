"""Dockerfiles converted without a store: bases come from a table."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from builder.errors import LayerwrightError, NotFoundError
from builder.frontend.convert import convert
from builder.frontend.settings import FrontendSettings
from builder.graph.operations import Operation
from builder.graph.plan import BaseImage, BuildPlan
from builder.oci.config import Health, History, ImageConfig, RootFS, RunConfig
from builder.oci.digest import DiffID, digest_of
from builder.oci.manifest import Descriptor
from builder.oci.platform import Platform
from grammar.diagnostics import DockerfileError
from grammar.parse import parse

AMD64 = Platform("amd64", "linux")
PLAIN = RunConfig(env=("PATH=/bin",), cmd=("sh",))
RICH = RunConfig(
    user="app",
    exposed_ports={"80/tcp": {}},
    env=("PATH=/bin", "FROM_BASE=base"),
    entrypoint=("/entry",),
    cmd=("from", "base"),
    volumes={"/vol": {}},
    working_dir="/work",
    labels={"base": "yes"},
    stop_signal="SIGTERM",
    healthcheck=Health(("CMD-SHELL", "true"), interval=5_000_000_000),
    shell=("/bin/ash", "-c"),
)
IMAGES = {
    "base": PLAIN,
    "rich": RICH,
    "nopath": RunConfig(env=("A=1",)),
    "oddenv": RunConfig(env=("PATH=/bin", "A=1", "A=2", "BARE", "Z=z")),
    "trigger": RunConfig(env=("PATH=/bin",), on_build=("ENV TRIGGERED=$FROM_CHILD", "RUN triggered")),
}


class Table:
    """A BaseResolver over IMAGES; remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def resolve(self, reference: str, platform: Platform) -> BaseImage:
        """The image of a name without its tag."""
        self.asked.append(reference)
        name = reference.removeprefix("docker.io/library/").removesuffix(":latest")
        if name not in IMAGES:
            raise NotFoundError("image-not-found", f"there is no {reference}")
        diff_id = DiffID(digest_of(name.encode()))
        config = ImageConfig(
            architecture=platform.architecture,
            os=platform.os,
            author="somebody" if name == "rich" else "",
            created="2020-01-01T00:00:00Z",
            config=IMAGES[name],
            rootfs=RootFS(diff_ids=(diff_id,)),
            history=(History(created="2020-01-01T00:00:00Z", created_by=f"made {name}"),),
        )
        layer = Descriptor("application/vnd.oci.image.layer.v1.tar+gzip", diff_id, 1)
        return BaseImage(reference, digest_of(b"manifest"), config, (layer,), (diff_id,), "")


def plan(text: str, resolver: Table | None = None, **settings: Any) -> BuildPlan:
    """The plan for linux/amd64."""
    given = {"platform": AMD64, "build_platform": AMD64, **settings}
    return convert(parse(text.encode()), FrontendSettings(**given), resolver or Table())


def config(text: str, **settings: Any) -> RunConfig:
    """The config that a Dockerfile gives."""
    return plan(text, **settings).config.config


def history(text: str, **settings: Any) -> list[str]:
    """The lines of history of its own; those with a layer end in ` [layer]`."""
    return [line.created_by + (" [layer]" if line.vertex is not None else "") for line in plan(text, **settings).history]


def operation(text: str, **settings: Any) -> Operation:
    """The operation of the target's last step."""
    made = plan(text, **settings)
    return made.graph.vertices[made.target].operation


def failure(text: str, **settings: Any) -> str:
    """The code of the error that a Dockerfile ends in; it must have a place."""
    with pytest.raises((DockerfileError, LayerwrightError)) as caught:
        plan(text, **settings)
    error = caught.value
    if isinstance(error, DockerfileError):
        return error.diagnostic.code
    assert isinstance(error, LayerwrightError)
    assert error.span is not None or error.exit_code == 2, "an error without a place"
    return error.code


def changed(base: RunConfig, **fields: Any) -> RunConfig:
    """A base's config with fields replaced."""
    return msgspec.structs.replace(base, **fields)
