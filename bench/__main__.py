"""`python -m bench [--quick] [--only NAME] [--no-peers] [--strict]`: one table, and JSON and SVG in bench/results."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import msgspec

from bench import rows
from bench.measure import Failed
from bench.plot import draw
from bench.result import Growth, Report, RowResult
from bench.session import Session
from bench.table import render
from tests.peers.service import Unavailable


def main() -> int:
    """Exit code 1 where a target of memory or of growth is missed, or with --strict any target."""
    options = _options()
    chosen = [row for row in (rows.QUICK if options.quick else rows.ALL) if not options.only or options.only in row.__name__]
    results: list[RowResult] = []
    lines: list[Growth] = []
    with tempfile.TemporaryDirectory(prefix="layerwright-bench-", dir=options.state) as state:
        session = Session(Path(state), quick=options.quick, peers=not options.no_peers, million=options.million)
        try:
            for row in chosen:
                print(f"… {row.__doc__}", file=sys.stderr, flush=True)
                try:
                    results += row(session)
                except (Unavailable, Failed) as reason:
                    results.append(RowResult(row.__name__.replace("_", " "), skipped={"all": str(reason)[-600:]}))
            if not options.only or options.only == "growth":
                lines = rows.growth(session)
        except Exception:
            traceback.print_exc()
            return 3
        finally:
            session.close()
    report = Report(_machine(), _versions(), options.quick, results, lines)
    print(render(report), end="")
    _write(report, options.results, options.quick)
    return _verdict(report, options.strict)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measures us beside buildah and dockerd's BuildKit.")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller rows, in under three minutes")
    parser.add_argument("--only", metavar="NAME", help="rows with this in their name")
    parser.add_argument("--no-peers", action="store_true", help="measure only us and the floor")
    parser.add_argument("--million", action="store_true", help="growth up to a million files: 5 GB of disk, and minutes")
    parser.add_argument("--strict", action="store_true", help="fail where any target is missed")
    parser.add_argument("--state", metavar="DIR", help="where stores and workloads lie (the system's temporary directory)")
    parser.add_argument("--results", metavar="DIR", type=Path, default=rows.sources() / "results")
    return parser.parse_args()


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{os.cpu_count()} cores, {memory} GiB, {platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}"


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in ("dockerd", "buildah", "skopeo"):
        if shutil.which(name):
            said = subprocess.run([name, "--version"], capture_output=True, text=True, check=False).stdout.split()
            found[name] = next((word.rstrip(",") for word in said if word[:1].isdigit()), "?")
    return found


def _write(report: Report, directory: Path, quick: bool) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    stem = "quick" if quick else "full"
    (directory / f"{stem}.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    (directory / f"{stem}.svg").write_text(draw(report))
    (directory / f"{stem}.txt").write_text(render(report))


def _verdict(report: Report, strict: bool) -> int:
    missed = [row for row in report.rows if row.met is False and (strict or row.unit == "MiB")]
    crooked = [line for line in report.growth if not report.quick and not rows.growth_is_linear(line)]
    heavy = [line for line in report.growth if not rows.fits_in_memory(line)]
    names = [row.name.strip() for row in missed]
    names += [f"growth of {line.name}" for line in crooked] + [f"memory of {line.name}" for line in heavy]
    for name in names:
        print(f"missed: {name}", file=sys.stderr)
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
