"""Builds that must come to the same, with no reference: cold and warm, one job and eight, pushed and written, built twice."""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from builder.engine.build import BuildOutcome, run_build
from builder.registry.client import Registry as Client
from builder.store.store import Store
from tests.differential.bases import base_archives
from tests.differential.builders import Ours
from tests.differential.casefile import Case, lay_out, read_cases
from tests.peers.distribution import Registry
from tests.privileges import needs_root_of_the_machine

DATA = Path(__file__).resolve().parents[2] / "testdata" / "differential"
EPOCH = 1_000_000_000
CHOSEN = {
    "copy": ("directory-onto-existing-directory", "modes", "hard-links", "from-stage-hard-links", "odd-names", "long-names"),
    "add": ("tar-over-existing", "tar-by-wildcard"),
    "run": ("type-changes", "metadata-changes", "remove-and-make-again", "many-files", "special-files", "copy-heredoc"),
    "stages": ("diamond", "copy-chain", "duplicate-names", "chain-of-stages"),
    "mounts": ("bind-stage", "cache-from-stage"),
    "config": ("onbuild-from-image", "user-forms", "label-forms", "scratch-with-everything"),
    "newer": ("link-file", "link-from-stage", "parents"),
}
CASES = [case for area in CHOSEN for case in read_cases(DATA / f"{area}.cases") if case.name in CHOSEN[area]]
EACH = pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=f"{case.area}-{case.name}", marks=(needs_root_of_the_machine,) if case.name == "special-files" else ())
        for case in CASES
    ],
)

WIDE = """\
FROM base AS a
RUN echo a > /a && sleep 0.1
FROM base AS b
RUN echo b > /b
COPY one /b1
FROM base AS c
COPY two /c2
RUN echo c > /c
FROM a AS d
COPY --from=b /b /b1 /from-b/
RUN echo d > /d
FROM base AS e
COPY --link --from=c /c /c2 /from-c/
WORKDIR /e
RUN echo e > e
FROM d
COPY --from=e /e /e
COPY --link --from=c /c /linked
ADD three.tar /three/
RUN --mount=from=e,source=/from-c,target=/m cat /m/c > /seen
"""


class Bench:
    """Stores with the bases, each as new."""

    def __init__(self, root: Path, busybox: Path) -> None:
        self._pattern = root / "pattern"
        self._root = root
        Ours(self._pattern, base_archives(busybox))
        self._count = 0

    def fresh(self) -> Ours:
        """A store in which nothing was built."""
        self._count += 1
        path = self._root / f"store-{self._count}"
        shutil.copytree(self._pattern, path, symlinks=True)
        return Ours(path, ())


@pytest.fixture(scope="module")
def bench(busybox_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Where stores come from."""
    if os.geteuid() != 0:
        pytest.skip("layers are compared with their owners, which takes root")
    return Bench(tmp_path_factory.mktemp("metamorphic"), busybox_root)


@pytest.fixture
def wide(tmp_path: Path) -> tuple[Case, Path]:
    """Stages that can be built at the same time, and their context."""
    return _with_context(WIDE, tmp_path)


def _with_context(text: str, directory: Path) -> tuple[Case, Path]:
    path = directory / "made.cases"
    path.write_text(
        f"\n=== made\nrow: none\n--- Dockerfile\n{text}--- one\n1\n--- two 600\n2\n--- three.tar tar\nx 0640 3:3 3\n", encoding="utf-8"
    )
    (case,) = read_cases(path)
    context = directory / "context"
    lay_out(case, context)
    return case, context


def _build(ours: Ours, case: Case, context: Path, **more: Any) -> BuildOutcome:
    """With SOURCE_DATE_EPOCH and clamped times, so that nothing depends on the clock."""
    more.setdefault("outputs", ("type=image,rewrite-timestamp=true",))
    return run_build(_replaced(ours, case, context, epoch=EPOCH, **more), ours.settings)


def _replaced(ours: Ours, case: Case, context: Path, **fields: Any) -> Any:
    import msgspec

    return msgspec.structs.replace(ours.request(case, context), **fields)


@EACH
def test_built_twice_is_the_same(bench: Bench, case: Case, tmp_path: Path) -> None:
    first_context, second_context = tmp_path / "first", tmp_path / "second"
    lay_out(case, first_context)
    lay_out(case, second_context)
    first = _build(bench.fresh(), case, first_context)
    second = _build(bench.fresh(), case, second_context)
    assert first.ran == second.ran
    assert first.digest == second.digest


@EACH
def test_cold_is_warm_also_without_an_epoch(bench: Bench, case: Case, tmp_path: Path) -> None:
    ours, context = bench.fresh(), tmp_path / "context"
    lay_out(case, context)
    cold = run_build(ours.request(case, context), ours.settings)
    time.sleep(0.01)
    warm = run_build(ours.request(case, context), ours.settings)
    assert (warm.ran, warm.digest) == (0, cold.digest)


def test_touched_and_moved_contexts_stay_warm(bench: Bench, wide: tuple[Case, Path], tmp_path: Path) -> None:
    case, context = wide
    ours = bench.fresh()
    cold = _build(ours, case, context)
    moved = tmp_path / "elsewhere"
    shutil.copytree(context, moved)
    for path in moved.rglob("*"):
        os.utime(path)
    warm = _build(ours, case, moved)
    assert (warm.ran, warm.digest) == (0, cold.digest)


@pytest.mark.parametrize("jobs", [2, 8])
def test_one_job_is_many(bench: Bench, wide: tuple[Case, Path], jobs: int) -> None:
    case, context = wide
    assert _build(bench.fresh(), case, context, jobs=1).digest == _build(bench.fresh(), case, context, jobs=jobs).digest


@pytest.fixture
def pushed(registry: Registry) -> str:
    """A name in the registry."""
    return f"{registry.host}/metamorphic:latest"


def test_pushed_is_written(bench: Bench, wide: tuple[Case, Path], pushed: str, tmp_path: Path) -> None:
    case, context = wide
    ours = bench.fresh()
    archive, layout = tmp_path / "image.tar", tmp_path / "layout"
    outputs = (
        "type=registry,rewrite-timestamp=true",
        f"type=oci,dest={archive},rewrite-timestamp=true",
        f"type=oci,dest={layout},tar=false,rewrite-timestamp=true",
    )
    outcome = _build(ours, case, context, tags=(pushed,), outputs=outputs)
    with tarfile.open(archive) as made:
        names = {name for name in made.getnames() if re.fullmatch(r"blobs/sha256/[0-9a-f]{64}", name)}
        index = json.loads(made.extractfile("index.json").read())  # type: ignore[union-attr]
    assert index["manifests"][0]["digest"] == outcome.digest
    assert names == {f"blobs/sha256/{path.name}" for path in (layout / "blobs/sha256").iterdir()}
    other = bench.fresh()
    with Store.open(other.settings.root) as store, Client(other.settings.registry, store.blobs) as client:
        from builder.oci.reference import parse_reference

        found = client.resolve(parse_reference(pushed), outcome.result.images[0].platform)
        assert found.root.digest == outcome.digest
        wanted = {layer.digest for layer in found.manifest.layers} | {found.manifest.config.digest, found.root.digest}
    assert {name.removeprefix("blobs/sha256/") for name in names} == {digest.removeprefix("sha256:") for digest in wanted}


def test_a_change_and_its_undoing_is_the_first_image(bench: Bench, wide: tuple[Case, Path]) -> None:
    case, context = wide
    ours = bench.fresh()
    first = _build(ours, case, context)
    kept = (context / "one").read_text()
    (context / "one").write_text("changed\n")
    changed = _build(ours, case, context)
    (context / "one").write_text(kept)
    again = _build(ours, case, context)
    assert changed.digest != first.digest
    assert (again.ran, again.digest) == (0, first.digest)


def test_an_order_of_builds_does_not_matter(bench: Bench, tmp_path: Path) -> None:
    contexts = []
    for case in CASES[:8]:
        contexts.append((case, tmp_path / case.name))
        lay_out(*contexts[-1])
    forward, backward = bench.fresh(), bench.fresh()
    there = {case.name: _build(forward, case, context).digest for case, context in contexts}
    back = {case.name: _build(backward, case, context).digest for case, context in reversed(contexts)}
    assert there == back


@pytest.mark.parametrize("compression", ["gzip", "zstd", "uncompressed"])
def test_compression_changes_blobs_and_no_layer(bench: Bench, wide: tuple[Case, Path], compression: str) -> None:
    case, context = wide
    ours = bench.fresh()
    plain = _build(ours, case, context).result.images[0]
    outputs = (f"type=image,rewrite-timestamp=true,compression={compression},force-compression=true",)
    other = _build(ours, case, context, outputs=outputs).result.images[0]
    assert other.config.rootfs.diff_ids == plain.config.rootfs.diff_ids
    # The base came as a plain tar, which stays one unless it is forced.
    assert (other.manifest.layers[1:] == plain.manifest.layers[1:]) == (compression == "gzip")
