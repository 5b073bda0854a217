"""`python -m bench [--quick] [--only NAME,…]`: each row when it is measured, then one table; JSON and SVG in bench/results."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import msgspec

from bench import growth, rows
from bench.measure import Failed
from bench.plot import draw
from bench.result import Growth, Report, RowResult
from bench.session import Session
from bench.table import growth_lines, head, line, render
from tests.peers.service import Unavailable

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """A signal asks us to end; its number."""


def main() -> int:
    """Exit code 1 where a target of memory or of growth is missed, or with --strict any target; 3 if we fail ourselves."""
    options = _options()
    started = time.monotonic()
    report = Report(_machine(), _versions(), options.quick)
    for number in ENDING:
        signal.signal(number, _raise)
    stem = "part" if options.only else "quick" if options.quick else "full"
    code = 0
    with tempfile.TemporaryDirectory(prefix="layerwright-bench-", dir=options.state, ignore_cleanup_errors=True) as state:
        session = Session(Path(state), quick=options.quick, peers=not options.no_peers, million=options.million, rounds=options.rounds)
        print(head(report), end="", flush=True)
        try:
            session.start()
            for found in _measured(session, options.only.split(",") if options.only else []):
                report = _with(report, found, time.monotonic() - started)
                print(line(found) if isinstance(found, RowResult) else growth_lines(found), end="", flush=True)
                _write(report, options.results, stem)
        except Ended as signalled:
            code = 128 + int(signalled.args[0])
            report = msgspec.structs.replace(report, ended=f"ended by {signal.Signals(signalled.args[0]).name}")
        except Exception as error:
            traceback.print_exc()
            code = 3
            report = msgspec.structs.replace(report, ended=f"{type(error).__name__}: {error}")
        finally:
            # What was started is ended, even by one who presses Ctrl-C twice.
            for number in ENDING:
                signal.signal(number, signal.SIG_IGN)
            session.close()
    report = msgspec.structs.replace(report, seconds=time.monotonic() - started)
    print(f"\n{render(report)}", end="")
    _write(report, options.results, stem)
    return code or verdict(report, options.strict)


def _raise(number: int, _: FrameType | None) -> None:
    raise Ended(number)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measures us beside buildah and dockerd's BuildKit.")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller rows, in under three minutes")
    parser.add_argument("--only", metavar="NAME,…", help=f"rows whose names begin so: {', '.join(_names())}")
    parser.add_argument("--no-peers", action="store_true", help="measure only us and the floor")
    parser.add_argument("--million", action="store_true", help="growth up to a million files: 5 GB of disk, and minutes more")
    parser.add_argument("--rounds", metavar="N", type=int, default=1000, help="no more than so many, to see that every row works")
    parser.add_argument("--strict", action="store_true", help="fail where any target is missed")
    parser.add_argument("--state", metavar="DIR", help="where stores and workloads lie (the system's temporary directory)")
    parser.add_argument("--results", metavar="DIR", type=Path, default=Path(__file__).resolve().parent / "results")
    return parser.parse_args()


def _names() -> list[str]:
    return [*(row.__name__ for row in rows.ALL), "growth_steps", "growth_files"]


def _measured(session: Session, only: list[str]) -> Iterator[RowResult | Growth]:
    """Every row as soon as it is measured; one that cannot be says why."""

    def chosen(name: str) -> bool:
        return not only or name.startswith(tuple(only))

    for row in rows.QUICK if session.quick else rows.ALL:
        if chosen(row.__name__):
            print(f"… {row.__doc__}", file=sys.stderr, flush=True)
            yield from _guarded(row.__name__, row(session))
    for kind in (growth.steps, growth.files):
        if chosen(f"growth_{kind.__name__}"):
            print(f"… growth with {kind.__name__}", file=sys.stderr, flush=True)
            yield from _guarded(f"growth_{kind.__name__}", kind(session))


def _guarded(name: str, found: Iterator[RowResult | Growth]) -> Iterator[RowResult | Growth]:
    """A row that cannot be measured here says why; one that fails does too, and is an error in the end: the others go on."""
    try:
        yield from found
    except Unavailable as reason:
        yield RowResult(name.replace("_", " "), skipped={"all": str(reason)[-600:]})
    except (Failed, OSError, subprocess.SubprocessError) as reason:
        yield RowResult(name.replace("_", " "), skipped={"all": str(reason)[-600:]}, firm=True)


def _with(report: Report, found: RowResult | Growth, seconds: float) -> Report:
    """A line of growth takes the place of the same one with fewer sizes."""
    if isinstance(found, RowResult):
        return msgspec.structs.replace(report, rows=[*report.rows, found], seconds=seconds)
    lines = {known.name: known for known in (*report.growth, found)}
    return msgspec.structs.replace(report, growth=list(lines.values()), seconds=seconds)


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


def _write(report: Report, directory: Path, stem: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{stem}.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    (directory / f"{stem}.svg").write_text(draw(report))
    (directory / f"{stem}.txt").write_text(render(report))


def verdict(report: Report, strict: bool) -> int:
    """Says which targets were missed; those of memory and growth, or with --strict all, are an error."""
    wrong = 0
    for row in report.rows:
        if row.met is False or (row.firm and row.met is None):
            print(f"missed: {row.name.strip()}", file=sys.stderr)
            wrong |= row.firm or strict
    for grown in report.growth:
        for kept, what in ((grown.linear, "growth"), (grown.fits, "memory")):
            if not kept:
                print(f"missed: {what} of {grown.name}", file=sys.stderr)
                wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
