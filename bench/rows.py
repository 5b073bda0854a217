"""The rows of the table: what is built, how it is measured, and what is to be reached (issue "Speed", its targets)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from bench import floor, workloads
from bench.builders import Buildah, Builder, Compression, Layerwright
from bench.measure import Sample, median
from bench.result import MEMORY_LIMIT, RowResult
from bench.session import Session, Turns
from tests.peers.debian import TAG, debian_layout
from tests.peers.distribution import Registry

Row = Callable[[Session], Iterator[RowResult]]


def _compared(name: str, limit: float, turns: Turns, floor_name: str = "", note: str = "") -> RowResult:
    """A row whose target is a ratio to the faster peer."""
    return RowResult(name, "", f"<= {limit}", limit, turns.samples, turns.floors, floor_name, turns.skipped, note)


def _value(name: str, unit: str, limit: float, value: float, firm: bool = False) -> RowResult:
    """A row whose target is a number of ours."""
    return RowResult(f"  {name}", unit, f"<= {limit:.4g} {unit}".strip(), limit, value=value, firm=firm)


def _memory(name: str, samples: list[Sample]) -> RowResult:
    return _value(name, "MiB", MEMORY_LIMIT >> 20, max(sample.peak for sample in samples) / (1 << 20), firm=True)


def _walls(turns: Turns) -> list[float]:
    return [sample.wall for sample in turns.samples["layerwright"]]


def trivial_runs(session: Session) -> Iterator[RowResult]:
    """30 RUNs, none cached"""
    context = workloads.runs(session.context("runs"), 30)
    root = session.state / "root"
    session.ours.root_filesystem(root, session.archive.with_name("base"))
    rounds = 2 if session.quick else 5
    turns = session.in_turn(rounds, lambda b, _: b.build(context, "runs", cache=False), floor=lambda: floor.chroot_exec(root, 30))
    yield _compared("30 trivial RUNs", 0.2, turns, "chroot+exec")
    session.step = median(_walls(turns)) / 30
    yield _value("a step, all told", "ms", 12, session.step * 1000)


def trivial_runs_archive(session: Session) -> Iterator[RowResult]:
    """30 RUNs, none cached, written as an OCI archive"""
    context = workloads.runs(session.context("runs"), 30)
    out = session.state / "out.tar"
    yield _compared("30 trivial RUNs, OCI tar", 0.25, session.in_turn(5, lambda b, _: b.build_archive(context, "runs", out, cache=False)))


def nothing_changed(session: Session) -> Iterator[RowResult]:
    """20 steps, all cached"""
    context = workloads.steps20(session.context("steps20"))
    session.in_turn(1, lambda builder, _: builder.build(context, "steps20"))
    turns = session.in_turn(7 if session.quick else 25, lambda b, _: b.build(context, "steps20"), floor=floor.import_click)
    row = _compared("nothing changed, 20 steps", 1.0, turns, "import click")
    yield row
    yield _value("against the floor", "x", 2.0, row.to_floor)


def nothing_changed_archive(session: Session) -> Iterator[RowResult]:
    """20 cached steps, and the 60 MB image written out"""
    context = workloads.steps20_large(session.context("steps20-large"))
    out = session.state / "out.tar"
    session.in_turn(1, lambda builder, _: builder.build_archive(context, "steps20l", out))
    turns = session.in_turn(5, lambda builder, _: builder.build_archive(context, "steps20l", out))
    yield _compared("nothing changed, OCI tar of 60 MB", 0.35, turns)


def big_copy_gzip(session: Session) -> Iterator[RowResult]:
    """COPY of 512 MB into a gzip OCI archive"""
    yield from _big_copy(session, "gzip", session.builders)


def big_copy_zstd(session: Session) -> Iterator[RowResult]:
    """COPY of 512 MB into a zstd OCI archive"""
    yield from _big_copy(session, "zstd", [builder for builder in session.builders if builder.has("zstd")])


def _big_copy(session: Session, compression: Compression, builders: list[Builder]) -> Iterator[RowResult]:
    size = 128 if session.quick else 512
    context = workloads.big_copy(session.context("big"), size)
    out = session.state / "out.tar"
    turns = session.in_turn(
        2 if session.quick else 4,
        lambda builder, _: builder.build_archive(context, "big", out, cache=False, compression=compression),
        builders=builders,
        before_each=lambda _: workloads.renew(context / "data"),
        floor=lambda: floor.hash_and_compress(context / "data", compression),
    )
    out.unlink()
    note = "dockerd has no exporter for archives: its image goes through skopeo" if compression == "gzip" else "dockerd writes no zstd"
    row = _compared(f"COPY of {size} MB, {compression} OCI tar", 0.25, turns, "hash+compress", note)
    yield row
    yield _value("against the floor", "x", 1.3, row.to_floor)
    yield _memory("peak memory", row.ours)


def many_files(session: Session) -> Iterator[RowResult]:
    """COPY of small files: into the store"""
    count, context = _many_files(session)
    turns = session.in_turn(
        2 if session.quick else 4,
        lambda builder, _: builder.build(context, "files", cache=False),
        before_each=lambda _: workloads.renew(context / "tree"),
        floor=lambda: floor.read_all(context / "tree"),
    )
    yield _compared(f"COPY of {count:,} files", 0.35, turns, "read+hash")


def many_files_archive(session: Session) -> Iterator[RowResult]:
    """COPY of small files: into an OCI archive"""
    count, context = _many_files(session)
    out = session.state / "out.tar"
    turns = session.in_turn(
        4,
        lambda builder, _: builder.build_archive(context, "files", out, cache=False),
        before_each=lambda _: workloads.renew(context / "tree"),
    )
    yield _compared(f"COPY of {count:,} files, OCI tar", 0.25, turns)


def changed_file(session: Session) -> Iterator[RowResult]:
    """COPY of small files: rebuilt after one was touched and one changed"""
    count, context = _many_files(session)
    session.in_turn(1, lambda builder, _: builder.build(context, "files"))

    def change(number: int) -> None:
        (context / "tree/d0/e0/f0.txt").touch()
        (context / "tree/d0/e0/f1.txt").write_text(f"changed {number}")

    turns = session.in_turn(3 if session.quick else 5, lambda builder, _: builder.build(context, "files"), before_round=change)
    yield _compared(f"{count:,} files, one touched, one changed", 0.3, turns)


def _many_files(session: Session) -> tuple[int, Path]:
    count = 5_000 if session.quick else 30_000
    return count, workloads.many_files(session.context(f"files{count}"), count)


def unchanged_files(session: Session) -> Iterator[RowResult]:
    """100,000 files and nothing changed"""
    context = workloads.many_files(session.context("files100000"), 100_000)
    fresh = session.in_turn(1, lambda builder, _: builder.build(context, "files100k"))
    turns = session.in_turn(5, lambda b, _: b.build(context, "files100k"), floor=lambda: floor.walk_and_stat(context))
    row = _compared("100,000 files, nothing changed", 0.5, turns, "walk+stat")
    yield row
    yield _value("against the floor", "x", 2.0, row.to_floor)
    yield _memory("peak memory, copied", fresh.samples["layerwright"])
    yield _memory("peak memory, unchanged", row.ours)


def parallel_stages(session: Session) -> Iterator[RowResult]:
    """Four stages that wait two seconds each"""
    context = workloads.parallel(session.context("parallel"))
    turns = session.in_turn(1 if session.quick else 3, lambda builder, _: builder.build(context, "parallel", cache=False, jobs=4))
    yield RowResult("4 stages that wait 2 s, joined", samples=turns.samples, skipped=turns.skipped)
    yield _value("1.1 x 2 s and a step, all told", "s", round(2.2 + session.step, 3), median(_walls(turns)))


def relinked(session: Session) -> Iterator[RowResult]:
    """Another base beneath COPY --link of 512 MB"""
    size = 128 if session.quick else 512
    context = workloads.big_copy(session.context("big"), size)
    for number, base in enumerate((workloads.BASE, "scratch", "layerwright/relinked")):
        (context / f"Dockerfile.link{number}").write_text(f"FROM {base}\nCOPY --link data /data\n")
    (context / "Dockerfile.other").write_text(f"FROM {workloads.BASE}\nRUN echo other > /other\n")
    session.ours.build_file(context, "layerwright/relinked", "Dockerfile.other")
    session.ours.build_file(context, "linked", "Dockerfile.link0")
    before = session.ours.large_blobs()
    # A base that was not beneath it yet, then those that were.
    walls = [session.ours.build_file(context, "linked", f"Dockerfile.link{number}").wall for number in (1, 2, 0, 1, 2)]
    yield RowResult(f"base replaced under COPY --link, {size} MB", "s", "<= 1 s", 1.0, value=median(walls))
    yield _value("the slowest: a base that is new", "s", 1.0, max(walls))
    yield _value("layers rewritten", "", 0, len(session.ours.large_blobs() - before))


def push_large(session: Session) -> Iterator[RowResult]:
    """A layer of 512 MB to a registry on loopback; it was built before"""
    context = workloads.big_copy(session.context("big"), 512)
    for builder in session.builders:
        builder.build(context, "big")
    before = session.ours.large_blobs()
    # An empty registry each round: in one that has the layer, builders mount it from the repository of the round before.
    registries: list[Registry] = []

    def start(number: int) -> None:
        while registries:
            registries.pop().stop()
        registries.append(session.registry(f"registry{number}"))

    turns = session.in_turn(3, lambda b, _: b.build_push(context, f"{registries[0].host}/{b.name}:1"), before_round=start)
    registries.pop().stop()
    yield _compared("push of a 512 MB layer", 0.5, turns)
    yield _value("layers compressed again", "", 0, len(session.ours.large_blobs() - before))


def cold_pull(session: Session) -> Iterator[RowResult]:
    """A Debian base from a registry on loopback, pulled and unpacked for one RUN"""
    # An image of its own each round: after a removal ext4 looks for inodes that were not freed just now, which was half of a pull.
    layouts = workloads.variants(debian_layout(), session.state / "variants", 3, TAG)
    registry = session.registry()
    references = [registry.push_layout(layout, TAG, f"{layout.name}:{TAG}") for layout in layouts]
    contexts = [workloads.from_registry(session.context(f"cold{number}"), reference) for number, reference in enumerate(references)]
    alone: list[Builder] = [session.alone(Layerwright(session.state / "cold")), *(b for b in session.builders if b.name == "dockerd")]
    if "buildah" in {builder.name for builder in session.builders}:
        alone.append(session.alone(Buildah(session.state / "cold")))
    turns = session.in_turn(3, lambda builder, number: builder.build(contexts[number], f"cold{number}"), builders=alone)
    yield _compared("cold pull and unpack of Debian", 0.6, turns)


QUICK: tuple[Row, ...] = (trivial_runs, nothing_changed, big_copy_gzip, many_files, changed_file, parallel_stages, relinked)
ALL: tuple[Row, ...] = (
    trivial_runs,
    trivial_runs_archive,
    nothing_changed,
    nothing_changed_archive,
    parallel_stages,
    big_copy_gzip,
    big_copy_zstd,
    push_large,
    relinked,
    many_files,
    many_files_archive,
    changed_file,
    unchanged_files,
    cold_pull,
)
