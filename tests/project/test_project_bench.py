"""The benchmark's own arithmetic and drawings; what it measures is not a test's business."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
from pathlib import Path

import msgspec
import pytest

from bench import workloads
from bench.__main__ import verdict
from bench.measure import Failed, Sample, grouped, timed
from bench.plot import draw
from bench.result import Growth, Report, RowResult
from bench.session import far_behind
from bench.table import growth_lines, line, render


def sample(wall: float) -> Sample:
    return Sample(wall, wall, 40 << 20)


ROW = RowResult(
    "a row",
    target="ratio <= 0.5",
    limit=0.5,
    samples={"layerwright": [sample(1), sample(2)], "dockerd": [sample(4), sample(4)], "buildah": [sample(9), sample(9)]},
    floors=[0.5],
    floor_name="bare",
    skipped={"kaniko": "not packaged"},
)
REPORT = Report(
    "a machine",
    {"dockerd": "20"},
    False,
    [ROW, RowResult("  memory", unit="MiB", target="<= 1 MiB", limit=1, value=40)],
    [Growth("steps", [(10, 1.0), (100, 4.0)], [40 << 20, 40 << 20])],
    90.0,
    "ended by SIGINT",
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
    assert lines[2].split() == ["work", "layerwright", "dockerd", "buildah", "runs", "ratio", "target", "floor", "peak"]
    assert lines[4].split("  ")[0] == "a row"
    cells = [cell.strip() for cell in lines[4].split("  ") if cell]
    assert cells[1:] == ["1.50 s", "4.00 s", "9.00 s", "2/2/2", "0.38", "ratio <= 0.5", "met", "0.5 s bare", "40 MiB"]
    assert lines[4] + "\n" == line(ROW), "a row looks the same when it is shown alone"
    assert "MISSED" in lines[5]
    assert "steps: 10: 1.00 s, 100: 4.00 s; linear: met; peak 40 MiB, <= 150 MiB up to 100,000: met" in lines
    assert "a row: kaniko not run: not packaged" in lines
    assert lines[-1] == "1.5 minutes; not whole: ended by SIGINT"
    assert "not run" in line(RowResult("cold pull", skipped={"all": "no registry"}))


def test_the_plot_is_valid_xml_and_the_report_survives_json() -> None:
    root = xml.etree.ElementTree.fromstring(draw(REPORT))
    assert root.tag.endswith("svg")
    assert msgspec.json.decode(msgspec.json.encode(REPORT), type=Report) == REPORT


def test_growth() -> None:
    assert Growth("x", [(10, 1.0), (100, 5.0), (1000, 50.0)]).linear
    assert not Growth("x", [(10, 0.2), (100, 5.0), (1000, 500.0)]).linear
    assert not Growth("start-up hides nothing", [(10, 5.0), (100, 5.1), (1000, 15.0)]).linear
    assert Growth("noise", [(1_000, 7.3), (10_000, 6.0), (100_000, 56.0)]).linear
    assert not Growth("noise hides nothing", [(1_000, 7.3), (10_000, 6.0), (100_000, 96.0)]).linear
    assert Growth("too small to tell", [(10, 0.2), (100, 0.2), (1000, 0.25)]).linear
    assert Growth("x").joined(10, sample(2)) == Growth("x", [(10, 2)], [40 << 20])
    assert growth_lines(Growth("x", [(10, 0.2), (100, 5.0), (1000, 500.0)], [1, 1, 151 << 20])).count("MISSED") == 2


def test_memory_is_promised_up_to_a_hundred_thousand() -> None:
    assert Growth("x", [(10, 1.0), (1_000_000, 9.0)], [40 << 20, 900 << 20]).fits
    assert not Growth("x", [(10, 1.0), (100_000, 9.0)], [40 << 20, 151 << 20]).fits


def test_a_missed_memory_or_growth_is_an_error_and_other_targets_are_with_strict() -> None:
    slow = RowResult("slow", limit=1, value=2)
    heavy = RowResult("peak memory", limit=1, value=2, firm=True)
    failed = RowResult("a build that failed", skipped={"all": "ended with 1"}, firm=True)
    crooked = Growth("x", [(10, 0.2), (100, 5.0), (1000, 500.0)])
    fine = Report("a machine", {}, False, [ROW])
    assert (verdict(fine, strict=True), verdict(Report("", {}, False, [slow]), strict=False)) == (0, 0)
    wrong = [Report("", {}, False, [heavy]), Report("", {}, False, [failed]), Report("", {}, False, [], [crooked])]
    assert [verdict(report, strict=False) for report in wrong] == [1, 1, 1]
    assert verdict(Report("", {}, False, [slow]), strict=True) == 1


def test_a_peer_that_is_clearly_not_the_faster_one_runs_once() -> None:
    taken = {"layerwright": [sample(1)], "dockerd": [sample(2)], "buildah": [sample(3.1)]}
    assert [far_behind(name, taken) for name in ("layerwright", "dockerd", "buildah")] == [False, False, True]
    assert not far_behind("buildah", {"layerwright": [sample(1)], "buildah": [sample(9)]}), "the only peer is the faster one"


def test_floors_are_taken_in_turn() -> None:
    row = RowResult("x", samples={"layerwright": [sample(2), sample(3), sample(9)]}, floors=[1.0, 1.0, 3.0])
    assert (row.to_floor, row.floor) == (3, 1.0)


def test_a_signal_ends_what_is_measured_and_what_was_started(tmp_path: Path) -> None:
    """The command's whole session is gone, and the signal is told."""
    mark = tmp_path / "pid"
    inner = f"echo $$ > {mark}.new && mv {mark}.new {mark} && exec tail -f /dev/null"
    code = f"from bench.measure import timed; timed(['sh', '-c', {inner!r}])"
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL) as bench:
        while not mark.exists():
            assert bench.poll() is None
        bench.send_signal(signal.SIGINT)
    assert bench.returncode != 0
    assert not Path(f"/proc/{mark.read_text().strip()}").exists()


def test_a_command_that_takes_too_long_is_ended() -> None:
    with pytest.raises(Failed, match="took more than 0 s"):
        timed(["tail", "-f", "/dev/null"], limit=0.2)


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
