"""The benchmark's own arithmetic and drawings; what it measures is not a test's business."""

from __future__ import annotations

import sys
import xml.etree.ElementTree
from pathlib import Path

import msgspec
import pytest

from bench import workloads
from bench.measure import Failed, Sample, timed
from bench.plot import draw
from bench.result import Growth, Report, RowResult
from bench.rows import growth_is_linear
from bench.table import render


def sample(wall: float) -> Sample:
    return Sample(wall, wall, 40 << 20)


ROW = RowResult(
    "a row",
    target="ratio <= 0.5",
    limit=0.5,
    samples={"layerwright": [sample(1), sample(2)], "dockerd": [sample(4), sample(4)], "buildah": [sample(9), sample(9)]},
    floor=0.5,
    floor_name="bare",
    skipped={"kaniko": "not packaged"},
)
REPORT = Report(
    "a machine",
    {"dockerd": "20"},
    False,
    [ROW, RowResult("  memory", unit="MiB", target="<= 1 MiB", limit=1, value=40)],
    [Growth("steps", [(10, 1.0), (100, 4.0)])],
)


def test_ratios_are_medians_of_pairs_with_the_faster_peer() -> None:
    assert ROW.faster == "dockerd"
    assert ROW.ratio == 0.375
    assert ROW.met is True
    assert REPORT.rows[1].met is False
    assert RowResult("nobody").met is None


def test_the_table() -> None:
    lines = render(REPORT).splitlines()
    assert lines[0] == "a machine; dockerd 20"
    assert lines[2].split() == ["work", "layerwright", "dockerd", "buildah", "ratio", "target", "floor", "peak"]
    assert lines[4].split("  ")[0] == "a row"
    cells = [cell.strip() for cell in lines[4].split("  ") if cell]
    assert cells[1:] == ["1.50 s", "4.00 s", "9.00 s", "0.38", "ratio <= 0.5", "met", "0.50 s bare", "40 MiB"]
    assert "MISSED" in lines[5]
    assert lines[7] == "steps: 10: 1.00 s, 100: 4.00 s"
    assert lines[-1] == "a row: kaniko not run: not packaged"


def test_the_plot_is_valid_xml_and_the_report_survives_json() -> None:
    root = xml.etree.ElementTree.fromstring(draw(REPORT))
    assert root.tag.endswith("svg")
    assert msgspec.json.decode(msgspec.json.encode(REPORT), type=Report) == REPORT


def test_growth() -> None:
    assert growth_is_linear(Growth("x", [(10, 1.0), (100, 5.0), (1000, 50.0)]))
    assert not growth_is_linear(Growth("x", [(10, 0.2), (100, 5.0), (1000, 500.0)]))


def test_a_command_that_fails_says_so() -> None:
    assert timed([sys.executable, "-c", "pass"]).wall > 0
    with pytest.raises(Failed, match="ended with 3: said"):
        timed([sys.executable, "-c", "import sys; print('said'); sys.exit(3)"])


def test_workloads_repeat(tmp_path: Path) -> None:
    first = workloads.many_files(tmp_path / "a", 250)
    second = workloads.many_files(tmp_path / "b", 250)
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(files) == 251
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in files)
