"""A million damaged inputs for what reads other people's bytes: only typed errors, and bounded time and memory.

In CI a few thousand; all of them with LAYERWRIGHT_PROVE. Inputs that once failed are kept in testdata/fuzz, by target,
and are always tried, whole and as seeds.
"""

from __future__ import annotations

import io
import os
import random
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from builder.errors import LayerwrightError
from builder.fs.limits import Limits
from builder.fs.tarread import read_tar
from builder.fs.tree import EmptyTree
from builder.fs.unpack import unpack
from builder.oci.config import decode_config
from builder.oci.digest import digest_of
from builder.oci.manifest import Descriptor, decode
from builder.oci.media import OCI_INDEX
from builder.oci.platform import Platform, parse_platform
from builder.oci.reference import parse_reference
from builder.registry.resolved import resolve_image
from builder.registry.tokens import parse_challenges
from tests.fuzz.mutation import Mutator
from tests.privileges import XATTR_PREFIX

CORPUS = Path(__file__).resolve().parents[2] / "testdata/fuzz"
PROVE = bool(os.environ.get("LAYERWRIGHT_PROVE"))
LIMITS = Limits(entries=200, plain=1 << 18, file=1 << 17, header=1 << 14, segments=64, path=512, depth=32)
PLATFORM = Platform("amd64", "linux")
HALF_SECOND = 0.5
GROWTH = 64 << 10  # KiB

Target = Callable[[bytes], object]


def tar(data: bytes) -> None:
    """Entries stay inside, and have as many bytes as they say."""
    for entry, body in read_tar(io.BytesIO(data), LIMITS):
        assert ".." not in entry.path.split("/")
        assert not entry.path.startswith("/")
        assert len(body.read()) == entry.size or entry.kind in ("whiteout", "opaque")


def layer(data: bytes) -> None:
    """A layer applied to a directory in memory; what is beside the directory stays as it is."""
    place = tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    target = f"{place}/target"
    os.mkdir(target)
    try:
        unpack(io.BytesIO(data), target, EmptyTree(), f"{XATTR_PREFIX}opaque", LIMITS)
    finally:
        beside = os.listdir(place)
        shutil.rmtree(place)
        assert beside == ["target"]


def replies(data: bytes) -> None:
    """A registry's answers to a pull: a challenge, and a document that leads to others."""
    parse_challenges(data.decode("latin-1"))

    def read(_descriptor: Descriptor, _limit: int = 0) -> bytes:
        return data

    resolve_image(REFERENCE, Descriptor(OCI_INDEX, digest_of(data), len(data)), PLATFORM, read)


def names(data: bytes) -> None:
    """References, platforms and digests as a user or a document writes them."""
    text = data.decode("utf-8", "surrogateescape")
    parse_platform(text) if "/" in text[:8] and ":" not in text else parse_reference(text)


REFERENCE = parse_reference("registry.test/name:tag")
TARGETS: dict[str, tuple[Target, int]] = {
    "tar": (tar, 300_000),
    "layer": (layer, 100_000),
    "config": (decode_config, 200_000),
    "manifest": (decode, 200_000),
    "replies": (replies, 150_000),
    "names": (names, 50_000),
}


def seeds(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def _outcome(target: Target, data: bytes) -> str:
    started = time.process_time()
    said = ""
    try:
        target(data)
    except LayerwrightError as error:
        said = str(error) or error.code
    assert len(said) < 2000, "an error that quotes its whole input"
    if time.process_time() - started > HALF_SECOND:
        return "slow"
    return "refused" if said else "taken"


def test_it_is_a_million() -> None:
    assert sum(count for _target, count in TARGETS.values()) == 1_000_000


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.timeout(3600)
def test_only_typed_errors(name: str) -> None:
    if name == "layer" and os.geteuid() != 0:
        pytest.skip("layers are unpacked by root")
    target, count = TARGETS[name]
    corpus = seeds(name)
    assert corpus
    mutator = Mutator(random.Random(f"{name} 1"), corpus)
    found = {"taken": 0, "refused": 0, "slow": 0}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    inputs = count if PROVE else max(count // 200, 500)
    for number in range(inputs):
        data = corpus[number] if number < len(corpus) else mutator.next()
        try:
            found[_outcome(target, data)] += 1
        except Exception as error:
            raise AssertionError(f"{name}: {type(error).__name__}: {error} for {data[:3000]!r}") from error
    assert found["slow"] == 0
    assert found["refused"] > inputs // 20, "nothing was damaged"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GROWTH


def test_the_corpus_is_small() -> None:
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 100 << 10
    assert msgspec.json.decode((CORPUS / "manifest/manifest").read_bytes())
