"""A report as an SVG: a bar for each builder and row, and lines of cost against size."""

from __future__ import annotations

import math
from html import escape

from bench.measure import median
from bench.result import Growth, Report

COLOURS = {"layerwright": "#2a7f4f", "dockerd": "#3b6ea5", "buildah": "#b8743a"}
_ROW, _LEFT, _WIDTH = 58, 330, 560


def draw(report: Report) -> str:
    """The whole picture; bars are relative to the slowest builder of their row."""
    rows = [row for row in report.rows if row.ours]
    top = 40
    height = top + _ROW * len(rows) + (330 if report.growth else 0) + 20
    width = _LEFT + _WIDTH + 120
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="10" y="20" font-size="13">{escape(report.machine)}</text>',
    ]
    for number, row in enumerate(rows):
        y = top + number * _ROW
        walls = {name: median([sample.wall for sample in samples]) for name, samples in row.samples.items() if samples}
        longest = max(walls.values())
        parts.append(f'<text x="{_LEFT - 10}" y="{y + 24}" text-anchor="end">{escape(row.name)}</text>')
        for at, name in enumerate(name for name in COLOURS if name in walls):
            bar = max(1.0, _WIDTH * walls[name] / longest)
            parts.append(f'<rect x="{_LEFT}" y="{y + at * 16}" width="{bar:.1f}" height="13" fill="{COLOURS[name]}"/>')
            parts.append(f'<text x="{_LEFT + bar + 5:.1f}" y="{y + at * 16 + 11}">{name} {walls[name]:.2f} s</text>')
        if row.floor is not None:
            x = _LEFT + min(_WIDTH, _WIDTH * row.floor / longest)
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 3}" y2="{y + 48}" stroke="black" stroke-dasharray="3 2"/>')
    if report.growth:
        parts += _growth(report.growth, top + _ROW * len(rows) + 20)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _growth(lines: list[Growth], top: int) -> list[str]:
    """Both axes logarithmic, so that linear growth is a slope of one."""
    points = [point for line in lines for point in line.points if point[1] > 0]
    low_x, high_x = min(p[0] for p in points), max(p[0] for p in points)
    low_y, high_y = min(p[1] for p in points), max(p[1] for p in points)

    def at(size: int, seconds: float) -> tuple[float, float]:
        x = math.log(size / low_x) / max(1e-9, math.log(high_x / low_x))
        y = math.log(seconds / low_y) / max(1e-9, math.log(high_y / low_y))
        return _LEFT + x * _WIDTH, top + 270 - y * 240

    parts = [f'<text x="{_LEFT}" y="{top + 10}">cost against size, both logarithmic</text>']
    for line, colour in zip(lines, ("#2a7f4f", "#8a2be2", "#b8743a", "#3b6ea5"), strict=False):
        places = [at(size, seconds) for size, seconds in line.points]
        parts.append(f'<polyline fill="none" stroke="{colour}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>')
        for (x, y), (size, seconds) in zip(places, line.points, strict=True):
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
            parts.append(f'<text x="{x + 5:.1f}" y="{y + 14:.1f}">{size:,}: {seconds:.2f} s</text>')
        parts.append(f'<text x="10" y="{places[-1][1]:.1f}" fill="{colour}">{escape(line.name)}</text>')
    return parts
