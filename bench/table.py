"""A report as one table of text; its lines can be had one by one, as rows are measured."""

from __future__ import annotations

from bench.measure import median
from bench.result import Growth, Report, RowResult

BUILDERS = ("layerwright", "dockerd", "buildah")
COLUMNS = (("work", 40), *((name, 11) for name in BUILDERS), ("runs", 7), ("ratio", 9), ("target", 14), ("", 6), ("floor", 20), ("peak", 7))
_MARKS = {True: "met", False: "MISSED", None: ""}


def head(report: Report) -> str:
    """The machine, and what stands in which column."""
    rule = ["-" * width for _, width in COLUMNS]
    programs = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return f"{report.machine}; {programs}\n\n{_fit([name for name, _ in COLUMNS])}\n{_fit(rule)}\n"


def line(row: RowResult) -> str:
    """One row."""
    shown = "" if row.measured is None else (f"{row.measured:.2f}" if row.value is None else f"{row.value:.3g} {row.unit}".strip())
    floor = f"{row.floor:.3g} s {row.floor_name}" if row.floor is not None else ""
    peak = f"{max(sample.peak for sample in row.ours) >> 20} MiB" if row.ours else ""
    runs = "/".join(str(len(row.samples[name])) for name in BUILDERS if name in row.samples)
    if not row.samples and row.value is None:
        shown = "not run"
    return _fit([row.name, *(_wall(row, name) for name in BUILDERS), runs, shown, row.target, _MARKS[row.met], floor, peak]) + "\n"


def growth_lines(growth: Growth) -> str:
    """The cost at each size, and whether it keeps what is promised."""
    points = ", ".join(f"{size:,}: {seconds:.2f} s" for size, seconds in growth.points)
    peaks = f"{max(growth.peaks) >> 20} MiB" if growth.peaks else "?"
    return f"{growth.name}: {points}; linear: {_MARKS[growth.linear]}; peak {peaks}, <= 150 MiB up to 100,000: {_MARKS[growth.fits]}\n"


def render(report: Report) -> str:
    """All rows, then growth, then what was not run and why."""
    out = head(report) + "".join(line(row) for row in report.rows)
    out += "\nruns: of each builder; a peer that is clearly not the faster one runs once\n"
    if report.growth:
        out += "\n" + "".join(growth_lines(growth) for growth in report.growth)
    notes = [f"{row.name.strip()}: {row.note}" for row in report.rows if row.note]
    notes += [f"{row.name.strip()}: {name} not run: {' '.join(why.split())}" for row in report.rows for name, why in row.skipped.items()]
    if notes:
        out += "\n" + "\n".join(notes) + "\n"
    return out + f"\n{report.seconds / 60:.1f} minutes" + (f"; not whole: {report.ended}" if report.ended else "") + "\n"


def _fit(cells: list[str]) -> str:
    fitted = (cell.ljust(width) if not at else cell.rjust(width) for at, (cell, (_, width)) in enumerate(zip(cells, COLUMNS, strict=True)))
    return " ".join(fitted).rstrip()


def _wall(row: RowResult, name: str) -> str:
    samples = row.samples.get(name)
    return f"{median([sample.wall for sample in samples]):.2f} s" if samples else ("" if row.value is not None else "-")
