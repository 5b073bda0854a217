"""`run`: which image a name means, and for which platform."""

from __future__ import annotations

import threading
import time

import pytest

from builder.engine.run import RunRequest, run_image
from builder.engine.workshop import Workshop
from builder.errors import LayerwrightError
from builder.oci.platform import host_platform
from tests.engine.site import Site


def run(site: Site, reference: str, **fields: object) -> tuple[int | None, str]:
    written: list[bytes] = []
    with Workshop(site.settings) as shop:
        request = RunRequest(reference, network="none", **fields)  # type: ignore[arg-type]
        ended = run_image(request, shop, lambda _stream, data: written.append(data), threading.Event(), time.time_ns())
    return ended.code, b"".join(written).decode()


def test_an_image_of_this_machine_runs(site: Site) -> None:
    site.dockerfile('FROM box\nENV NAME=app\nCMD ["sh", "-c", "echo it is $NAME; exit 3"]\n')
    site.build()
    assert run(site, "site") == (3, "it is app\n")


def test_a_foreign_image_of_the_store_is_not_looked_for_elsewhere(site: Site) -> None:
    """The name is no host's that could be asked: an attempt would fail with another code."""
    site.dockerfile('FROM scratch\nCOPY Dockerfile /\nCMD ["/nothing"]\n')
    site.build(platforms=("linux/made-up",), tags=("127.0.0.1:1/foreign:1",))
    with pytest.raises(LayerwrightError) as caught:
        run(site, "127.0.0.1:1/foreign:1")
    assert caught.value.code == "foreign-platform"
    assert f"one for {host_platform()}" in (caught.value.help or "")


def test_a_platform_the_processor_runs_as_well_is_run(site: Site) -> None:
    if host_platform().architecture != "amd64":
        pytest.skip("linux/386 runs on amd64")
    site.dockerfile('FROM scratch\nCOPY --from=box / /\nCMD ["/bin/sh", "-c", "echo ran"]\n')
    site.build(platforms=("linux/386",), tags=("127.0.0.1:1/older:1",))
    assert run(site, "127.0.0.1:1/older:1") == (0, "ran\n")
