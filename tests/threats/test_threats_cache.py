"""Attacks on what a build takes for its own results; the names are those of docs/reference/threats.md."""

from __future__ import annotations

from pathlib import Path

import msgspec

from builder.oci.manifest import describe, encode
from builder.store.store import Store
from tests.engine.site import Site


def test_CVE_2024_24557_an_image_that_looks_like_a_result_is_none(site: Site) -> None:
    """An image in the store whose config and history are those of the build, with other files in its layer."""
    site.dockerfile("FROM box\nRUN echo forged > /file\n")
    forged = site.build(network="none").result.images[0]
    config = forged.config_raw.replace(b"forged", b"honest")
    manifest = msgspec.structs.replace(forged.manifest, config=describe(config, forged.manifest.config.media_type))
    raw = encode(manifest)
    with Store.open(site.settings.root) as store:
        for data in (config, raw):
            with store.blobs.writer() as writer:
                writer.write(data)
                writer.commit(None)
        store.images.set("docker.io/library/site:latest", describe(raw, manifest.media_type or ""))
    site.dockerfile("FROM box\nRUN echo honest > /file\nRUN cat /file\n")
    site.build(network="none")
    assert site.ran() == ["RUN echo honest > /file", "RUN cat /file"]
    assert site.output() == "honest\n"


def test_CVE_2026_50195_a_cache_that_is_read_is_not_written(site: Site, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    site.dockerfile("FROM box\nRUN echo trusted > /file\n")
    site.build(network="none", cache_to=(f"type=local,dest={cache},mode=max",))
    before = {path: path.read_bytes() for path in cache.rglob("*") if path.is_file()}
    assert before
    site.forget()
    site.dockerfile("FROM box\nRUN echo trusted > /file\nRUN echo of a stranger > /other\n")
    site.build(network="none", cache_from=(f"type=local,src={cache}",))
    assert site.ran() == ["RUN echo of a stranger > /other"]
    assert {path: path.read_bytes() for path in cache.rglob("*") if path.is_file()} == before
