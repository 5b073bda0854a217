"""The benchmark's own arithmetic and drawings; what it measures is not a test's business."""

from __future__ import annotations

import sys
import tempfile
import xml.etree.ElementTree
from pathlib import Path

import msgspec
import pytest

from bench import workloads
from bench.measure import Failed, Sample, grouped, timed
from bench.plot import draw
from bench.result import Growth, Report, RowResult
from bench.rows import fits_in_memory, growth_is_linear
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
    assert not growth_is_linear(Growth("start-up hides nothing", [(10, 5.0), (100, 5.1), (1000, 15.0)]))
    assert growth_is_linear(Growth("too small to tell", [(10, 0.2), (100, 0.2), (1000, 0.25)]))


def test_memory_is_promised_up_to_a_hundred_thousand() -> None:
    assert fits_in_memory(Growth("x", [(10, 1.0), (1_000_000, 9.0)], [40 << 20, 900 << 20]))
    assert not fits_in_memory(Growth("x", [(10, 1.0), (100_000, 9.0)], [40 << 20, 151 << 20]))


def test_processor_time_counts_processes_that_nobody_waits_for() -> None:
    spin = "import time\nwhile time.process_time() < 0.3: pass"
    left = f"import subprocess, sys, os\nif not os.fork():\n subprocess.run([sys.executable, '-c', {spin!r}]); os.mknod(sys.argv[1])"
    wait = "import os, sys, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.01)"
    with tempfile.TemporaryDirectory() as place:
        mark = f"{place}/done"
        argv = ["sh", "-c", f'"{sys.executable}" -c "$1" {mark}; exec "{sys.executable}" -c "$2" {mark}', "sh", left, wait]
        found = timed(argv)
    if not grouped():
        pytest.skip("no control group can be made here")
    assert found.cpu >= 0.3


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
