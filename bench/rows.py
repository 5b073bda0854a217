"""The rows of the table: what is built, how it is measured, and what is to be reached (issue "Speed", its targets)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench import floor, workloads
from bench.builders import Buildah, Builder, Layerwright
from bench.measure import Sample, median
from bench.result import Growth, RowResult
from bench.session import Session
from tests.peers.debian import TAG, debian_layout
from tests.peers.distribution import Registry, start_registry

Row = Callable[[Session], list[RowResult]]
MEMORY_LIMIT = 150 << 20


def trivial_runs(session: Session) -> list[RowResult]:
    """30 RUNs, none cached."""
    context = workloads.runs(session.context("runs"), 30)
    rounds = 2 if session.quick else 5
    samples, skipped = session.in_turn(rounds, lambda builder, _: builder.build(context, "runs", cache=False))
    root = session.state / "root"
    if not root.exists():
        session.ours.root_filesystem(root, session.archive.with_name("base"))
    bare = floor.best(lambda: floor.chroot_exec(root, 30))
    step = median([sample.wall for sample in samples["layerwright"]]) / 30 * 1000
    rows = [
        RowResult(
            "30 trivial RUNs", target="ratio <= 0.2", limit=0.2, samples=samples, skipped=skipped, floor=bare, floor_name="chroot+exec"
        ),
        RowResult("  a step, all told", unit="ms", target="<= 12 ms", limit=12, value=step),
    ]
    if session.quick:
        return rows
    out = session.state / "out.tar"
    samples, skipped = session.in_turn(rounds, lambda builder, _: builder.build_archive(context, "runs", out, cache=False))
    return [*rows, RowResult("30 trivial RUNs, OCI tar", target="ratio <= 0.25", limit=0.25, samples=samples, skipped=skipped)]


def nothing_changed(session: Session) -> list[RowResult]:
    """20 steps, all cached."""
    context = workloads.steps20(session.context("steps20"))
    session.in_turn(1, lambda builder, _: builder.build(context, "steps20"))
    samples, skipped = session.in_turn(5 if session.quick else 15, lambda builder, _: builder.build(context, "steps20"))
    bare = floor.best(floor.import_click, 7)
    times = median([sample.wall for sample in samples["layerwright"]]) / bare
    return [
        RowResult(
            "nothing changed, 20 steps",
            target="ratio <= 1",
            limit=1.0,
            samples=samples,
            skipped=skipped,
            floor=bare,
            floor_name="import click",
        ),
        RowResult("  against `import click`", unit="x", target="<= 2.0 x", limit=2.0, value=times),
    ]


def nothing_changed_archive(session: Session) -> list[RowResult]:
    """20 cached steps, and the 60 MB image written out."""
    context = workloads.steps20_large(session.context("steps20-large"))
    out = session.state / "out.tar"
    session.in_turn(1, lambda builder, _: builder.build_archive(context, "steps20l", out))
    samples, skipped = session.in_turn(5, lambda builder, _: builder.build_archive(context, "steps20l", out))
    return [RowResult("nothing changed, OCI tar of 60 MB", target="ratio <= 0.35", limit=0.35, samples=samples, skipped=skipped)]


def big_copy(session: Session) -> list[RowResult]:
    """COPY of 512 MB, gzip and zstd."""
    size = 128 if session.quick else 512
    context = workloads.big_copy(session.context("big"), size)
    out = session.state / "out.tar"
    rows: list[RowResult] = []
    for compression in ("gzip",) if session.quick else ("gzip", "zstd"):
        able = [builder for builder in session.builders if compression == "gzip" or builder.has("zstd")]

        def build(builder: Builder, _: int, compression: str = compression) -> Sample:
            return builder.build_archive(context, "big", out, cache=False, compression="zstd" if compression == "zstd" else "gzip")

        samples, skipped = session.in_turn(
            2 if session.quick else 3, build, builders=able, before_each=lambda _: workloads.renew(context / "data")
        )
        bare = floor.best(lambda compression=compression: floor.hash_and_compress(context / "data", compression), 2)  # type: ignore[misc]
        times = median([sample.wall for sample in samples["layerwright"]]) / bare
        peak = max(sample.peak for sample in samples["layerwright"])
        rows += [
            RowResult(
                f"COPY of {size} MB, {compression} OCI tar",
                target="ratio <= 0.25",
                limit=0.25,
                samples=samples,
                skipped=skipped,
                floor=bare,
                floor_name="hash+compress",
                note="dockerd has no exporter for archives: its image goes through skopeo",
            ),
            RowResult("  against the floor", unit="x", target="<= 1.3 x", limit=1.3, value=times),
            RowResult("  peak memory", unit="MiB", target="<= 150 MiB", limit=MEMORY_LIMIT >> 20, value=peak >> 20),
        ]
    return rows


def many_files(session: Session) -> list[RowResult]:
    """COPY of small files: cold, exported, and rebuilt after a small change."""
    count = 5_000 if session.quick else 30_000
    context = workloads.many_files(session.context(f"files{count}"), count)
    out = session.state / "out.tar"

    def fresh(_: Builder) -> None:
        workloads.renew(context / "tree")

    samples, skipped = session.in_turn(
        2 if session.quick else 3, lambda builder, _: builder.build(context, "files", cache=False), before_each=fresh
    )
    bare = floor.best(lambda: floor.read_all(context / "tree"))
    rows = [
        RowResult(
            f"COPY of {count:,} files",
            target="ratio <= 0.35",
            limit=0.35,
            samples=samples,
            skipped=skipped,
            floor=bare,
            floor_name="read+hash",
        )
    ]
    if not session.quick:
        samples, skipped = session.in_turn(3, lambda b, _: b.build_archive(context, "files", out, cache=False), before_each=fresh)
        rows.append(RowResult(f"COPY of {count:,} files, OCI tar", target="ratio <= 0.25", limit=0.25, samples=samples, skipped=skipped))
    session.in_turn(1, lambda builder, _: builder.build(context, "files"))

    def change(number: int) -> None:
        (context / "tree/d0/e0/f0.txt").touch()
        (context / "tree/d0/e0/f1.txt").write_text(f"changed {number}")

    samples, skipped = session.in_turn(3 if session.quick else 5, lambda builder, _: builder.build(context, "files"), before_round=change)
    rows.append(RowResult(f"{count:,} files, one changed", target="ratio <= 0.3", limit=0.3, samples=samples, skipped=skipped))
    return rows


def unchanged_files(session: Session) -> list[RowResult]:
    """100,000 files and nothing changed."""
    context = workloads.many_files(session.context("files100000"), 100_000)
    fresh, _ = session.in_turn(1, lambda builder, _: builder.build(context, "files100k"))
    samples, skipped = session.in_turn(5, lambda builder, _: builder.build(context, "files100k"))
    bare = floor.best(lambda: floor.walk_and_stat(context))
    times = median([sample.wall for sample in samples["layerwright"]]) / bare
    peak = max(sample.peak for sample in (*fresh["layerwright"], *samples["layerwright"]))
    return [
        RowResult(
            "100,000 files, nothing changed",
            target="ratio <= 0.5",
            limit=0.5,
            samples=samples,
            skipped=skipped,
            floor=bare,
            floor_name="walk+stat",
        ),
        RowResult("  against the floor", unit="x", target="<= 2 x", limit=2.0, value=times),
        RowResult("  peak memory, copied and unchanged", unit="MiB", target="<= 150 MiB", limit=MEMORY_LIMIT >> 20, value=peak >> 20),
    ]


def parallel_stages(session: Session) -> list[RowResult]:
    """Four stages that wait two seconds each."""
    context = workloads.parallel(session.context("parallel"))
    samples, skipped = session.in_turn(
        1 if session.quick else 3, lambda builder, _: builder.build(context, "parallel", cache=False, jobs=4)
    )
    took = median([sample.wall for sample in samples["layerwright"]])
    return [
        RowResult("4 stages that wait 2 s, joined", samples=samples, skipped=skipped, floor=2.0, floor_name="sleep"),
        RowResult("  all told", unit="s", target="<= 2.2 s + a step", limit=2.25, value=took),
    ]


def cold_pull(session: Session) -> list[RowResult]:
    """A Debian base from a registry on loopback, pulled and unpacked for one RUN."""
    # An image of its own each round: after a removal ext4 looks for inodes that were not freed just now, which was half of a pull.
    layouts = workloads.variants(debian_layout(), session.state / "variants", 3, TAG)
    references = [session.registry().push_layout(layout, TAG, f"{layout.name}:{TAG}") for layout in layouts]
    contexts = [workloads.from_registry(session.context(f"cold{number}"), reference) for number, reference in enumerate(references)]
    alone: list[Builder] = [Layerwright(session.state / "cold"), *(b for b in session.builders if b.name == "dockerd")]
    if "buildah" in {builder.name for builder in session.builders}:
        alone.append(Buildah(session.state / "cold"))
    samples, skipped = session.in_turn(3, lambda builder, number: builder.build(contexts[number], f"cold{number}"), builders=alone)
    for builder in alone:
        if builder.name != "dockerd":
            builder.close()
    return [RowResult("cold pull and unpack of Debian", target="ratio <= 0.6", limit=0.6, samples=samples, skipped=skipped)]


def push_large(session: Session) -> list[RowResult]:
    """A layer of 512 MB to a registry on loopback; it was built before."""
    context = workloads.big_copy(session.context("big"), 512)
    for builder in session.builders:
        builder.build(context, "big")
    # An empty registry each round: in one that has the layer, builders mount it from the repository of the round before.
    samples: dict[str, list[Sample]] = {}
    skipped: dict[str, str] = {}
    for number in range(3):
        registry = start_registry(session.state / f"registry{number}")
        try:
            got, skipped = session.in_turn(1, _pusher(context, registry))
        finally:
            registry.stop()
        for name, one in got.items():
            samples.setdefault(name, []).extend(one)
    return [RowResult("push of a 512 MB layer", target="ratio <= 0.5", limit=0.5, samples=samples, skipped=skipped)]


def _pusher(context: Path, registry: Registry) -> Callable[[Builder, int], Sample]:
    return lambda builder, _: builder.build_push(context, f"{registry.host}/{builder.name}:1")


def relinked(session: Session) -> list[RowResult]:
    """Another base beneath COPY --link."""
    contexts = [workloads.big_copy(session.context("big"), 512)]
    for number, base in enumerate((workloads.BASE, "scratch")):
        path = session.context("big") / f"Dockerfile.link{number}"
        path.write_text(f"FROM {base}\nCOPY --link data /data\n")
    walls: list[float] = []
    session.ours.build_file(contexts[0], "linked", "Dockerfile.link0")
    for number in range(6):
        walls.append(session.ours.build_file(contexts[0], "linked", f"Dockerfile.link{(number + 1) % 2}").wall)
    return [RowResult("base replaced under COPY --link, 512 MB", unit="s", target="<= 1 s", limit=1.0, value=median(walls))]


def growth(session: Session) -> list[Growth]:
    """Our cost against the number of steps and of files."""

    def steps(count: int) -> Sample:
        return session.ours.build(workloads.runs(session.context(f"runs{count}"), count), "grow", cache=False)

    def cached_steps(count: int) -> Sample:
        return _middle([session.ours.build(session.context(f"runs{count}"), "grow") for _ in range(3)])

    def copied(count: int) -> Sample:
        context = workloads.many_files(session.context(f"files{count}"), count)
        workloads.renew(context / "tree")
        return session.ours.build(context, "grow", cache=False)

    def unchanged(count: int) -> Sample:
        context = workloads.many_files(session.context(f"files{count}"), count)
        session.ours.build(context, "grow")
        return _middle([session.ours.build(context, "grow") for _ in range(3)])

    many = (10, 30, 100) if session.quick else (10, 100, 1000)
    files = (1_000, 5_000) if session.quick else (1_000, 10_000, 100_000)
    unmoved = (1_000, 5_000) if session.quick else (10_000, 30_000, 100_000, *((1_000_000,) if session.million else ()))
    kinds: tuple[tuple[str, Callable[[int], Sample], tuple[int, ...]], ...] = (
        ("steps, none cached", steps, many),
        ("steps, all cached", cached_steps, many),
        ("files copied", copied, files),
        ("files, nothing changed", unchanged, unmoved),
    )
    lines: list[Growth] = []
    for name, measure, sizes in kinds:
        samples = [measure(size) for size in sizes]
        points = [(size, sample.wall) for size, sample in zip(sizes, samples, strict=True)]
        lines.append(Growth(name, points, [sample.peak for sample in samples]))
    return lines


def _middle(samples: list[Sample]) -> Sample:
    return sorted(samples, key=lambda sample: sample.wall)[len(samples) // 2]


QUICK: tuple[Row, ...] = (trivial_runs, nothing_changed, big_copy, many_files, parallel_stages)
ALL: tuple[Row, ...] = (
    trivial_runs,
    nothing_changed,
    nothing_changed_archive,
    big_copy,
    many_files,
    unchanged_files,
    parallel_stages,
    relinked,
    push_large,
    cold_pull,
)


def growth_is_linear(line: Growth) -> bool:
    """Whether one more step or file costs at most half as much again between the largest sizes as between those before.

    What is compared are differences, so start-up is left out; below three points, and within a tenth of a second, nothing is said.
    """
    costs = [(after[1] - before[1]) / (after[0] - before[0]) for before, after in zip(line.points, line.points[1:], strict=False)]
    grown = line.points[-1][1] - line.points[0][1]
    return len(costs) < 2 or grown < 0.1 or costs[-1] <= 1.5 * max(costs[-2], 1e-9)


def fits_in_memory(line: Growth) -> bool:
    """Whether no size took more than what is promised (up to 100,000 files or 1,000 steps)."""
    return all(peak <= MEMORY_LIMIT for (size, _), peak in zip(line.points, line.peaks, strict=False) if size <= 100_000)


def sources() -> Path:
    """Where this package lies."""
    return Path(__file__).resolve().parent
