"""A report as one table of text."""

from __future__ import annotations

from bench.measure import median
from bench.result import Growth, Report, RowResult

BUILDERS = ("layerwright", "dockerd", "buildah")


def render(report: Report) -> str:
    """All rows, then what was not run and why."""
    heads = ["work", *(f"{name}" for name in BUILDERS), "ratio", "target", "", "floor", "peak"]
    lines = [[*_cells(row)] for row in report.rows]
    widths = [max(len(line[column]) for line in (heads, *lines)) for column in range(len(heads))]

    def fit(line: list[str]) -> str:
        return "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width) for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()

    out = [f"{report.machine}; " + ", ".join(f"{name} {version}" for name, version in report.versions.items()), ""]
    out += [fit(heads), "  ".join("-" * width for width in widths), *(fit(line) for line in lines)]
    for growth in report.growth:
        out += ["", f"{growth.name}: " + ", ".join(f"{size:,}: {seconds:.2f} s" for size, seconds in growth.points) + _peaks(growth)]
    notes = [f"{row.name}: {row.note}" for row in report.rows if row.note]
    notes += [f"{row.name}: {name} not run: {why}" for row in report.rows for name, why in row.skipped.items()]
    return "\n".join([*out, "", *notes]) + "\n" if notes else "\n".join(out) + "\n"


def _peaks(growth: Growth) -> str:
    return f"; peak {max(growth.peaks) >> 20} MiB" if growth.peaks else ""


def _cells(row: RowResult) -> list[str]:
    walls = [_wall(row, name) for name in BUILDERS]
    shown = "" if row.measured is None else (f"{row.measured:.2f}" if row.value is None else f"{row.value:.3g} {row.unit}")
    mark = {True: "met", False: "MISSED", None: ""}[row.met]
    floor = f"{row.floor:.2f} s {row.floor_name}".strip() if row.floor is not None else ""
    peak = f"{max(sample.peak for sample in row.ours) >> 20} MiB" if row.ours else ""
    return [row.name, *walls, shown, row.target, mark, floor, peak]


def _wall(row: RowResult, name: str) -> str:
    samples = row.samples.get(name)
    return f"{median([sample.wall for sample in samples]):.2f} s" if samples else "-"
