"""Whole screens: of the live view in a terminal of the tests' own and in a real one (tmux), and of the logs of CI services.

docs/reference/screens.md shows them; `python -m tests.progress.test_progress_screens` writes that page anew.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builder.progress.events import BuildStarted, Event, Note, StepLog, Transfer
from builder.progress.live import LiveView, duration_text
from builder.progress.plain import Folding, PlainView
from tests.progress.scene import BEGAN, FAILURE, FIRST, LAST, MOMENTS, at, done, log, pulled, start
from tests.progress.screen import Screen

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs/reference/screens.md"
SIZES = ((80, 24), (200, 50))
SHOWN = [(moment, width, height) for width, height in SIZES for moment in MOMENTS]
TITLES = {"running": "while it runs", "built": "at its end", "failed": "when a step has failed"}
FOLDINGS: dict[Folding, str] = {
    "none": "A log file, or any other CI service",
    "github": "GitHub Actions (`GITHUB_ACTIONS`)",
    "gitlab": "GitLab (`GITLAB_CI`)",
}


def drawn(events: list[Event], now: int, width: int, height: int) -> Screen:
    """The screen after these events."""
    screen = Screen(width, height)
    view = LiveView(screen, lambda: now, refresh=None, size=screen.size)
    for event in events:
        view.on_event(event)
    view.draw()
    return screen


def folded(folding: Folding) -> str:
    out: list[str] = []
    view = PlainView(out.append, folding)
    for event in FIRST + LAST:
        view.on_event(event)
    view.close()
    return "".join(out)


def page() -> str:
    """The documentation's page."""
    parts = [
        "# What a build looks like",
        "",
        "One build, told by hand at set times, on two terminals and in the logs of CI services. The tests draw these screens in a real",
        "terminal (tmux) and compare them whole.",
    ]
    for moment, width, height in SHOWN:
        parts += ["", f"## {width} columns, {height} rows, {TITLES[moment]}", "", "```text", _screen(moment, width, height), "```"]
    for folding, title in FOLDINGS.items():
        shown = folded(folding).replace("\x1b", "␛").replace("\r", "␍")
        parts += ["", f"## {title}", "", "```text", shown.rstrip("\n"), "```"]
    return "\n".join(parts) + "\n"


def _screen(moment: str, width: int, height: int) -> str:
    return drawn(*MOMENTS[moment], width, height).text


def test_the_page_shows_what_is_drawn() -> None:
    assert PAGE.read_text() == page(), "`python -m tests.progress.test_progress_screens` writes it anew"


@pytest.mark.parametrize(("moment", "width", "height"), SHOWN)
def test_a_real_terminal_shows_the_same(moment: str, width: int, height: int, tmp_path: Path) -> None:
    tmux = shutil.which("tmux")
    if tmux is None:
        pytest.skip("tmux is not installed")
    socket = ["tmux", "-u", "-S", str(tmp_path / "tmux")]
    command = f"{sys.executable} -m tests.progress.scene {moment} drawn"
    # COLUMNS and LINES, which pytest-xdist sets for its workers, would speak of another terminal.
    outer = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    env = {**outer, "LC_ALL": "C.UTF-8", "PYTHONPATH": os.pathsep.join((str(REPOSITORY), *sys.path)), "TERM": "xterm-256color"}
    start = [*socket, "-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height), "exec sh"]
    subprocess.run(start, check=True, env=env, cwd=REPOSITORY)
    try:
        # A status line would take one row.
        subprocess.run([*socket, "set-option", "-g", "status", "off"], check=True)
        subprocess.run([*socket, "resize-window", "-x", str(width), "-y", str(height)], check=True)
        subprocess.run([*socket, "respawn-pane", "-k", command], check=True, env=env, cwd=REPOSITORY)
        subprocess.run([*socket, "wait-for", "drawn"], check=True, timeout=60)
        coloured = subprocess.run([*socket, "capture-pane", "-e", "-p"], check=True, capture_output=True, text=True).stdout
        shown = subprocess.run([*socket, "capture-pane", "-p"], check=True, capture_output=True, text=True).stdout
    finally:
        subprocess.run([*socket, "kill-server"], check=False)
    assert "\n".join(line.rstrip() for line in shown.splitlines()).rstrip("\n") == _screen(moment, width, height)
    assert re.search(r"\x1b\[32m ✔", coloured)


def test_a_narrow_terminal_that_changes_its_size() -> None:
    screen = Screen(100, 12)
    view = LiveView(screen, lambda: at(4.4), refresh=None, size=screen.size)
    for event in [FIRST[0], *FIRST[2:], start(3.3, "x", "[x 1/1] RUN true")]:
        view.on_event(event)
    view.draw()
    assert not screen.cursor_shown
    for width, height in ((60, 12), (44, 9), (100, 12), (30, 9)):
        screen.resize(width, height)
        view.draw()
        assert screen.text.count("[docs 2/3]") == 1, screen.text
        assert screen.text.count("of 11 steps") == 1
    view.close()
    assert screen.cursor_shown
    assert "●" not in screen.text


def test_what_runs_is_never_higher_than_the_terminal() -> None:
    lanes: list[Event] = [start(0, str(number), f"[s{number} 1/1] RUN work {number}") for number in range(30)]
    logs: list[Event] = [log(1, str(number), "one\ntwo\nthree\nfour\nfive\n") for number in range(30)]
    screen = drawn([BuildStarted(time=at(0), steps=30), *lanes, *logs], at(2), 60, 10)
    assert screen.scrolled == []
    lines = screen.text.splitlines()
    assert lines == [
        *(f" ●     2.0s  [s{number} 1/1] RUN work {number}" for number in range(6)),
        "     and 24 more steps",
        " 0 of 30 steps  2.0s",
    ]
    wide = drawn([*lanes[:5], *logs[:5]], at(2), 170, 12).text.splitlines()
    assert [len(re.findall("●", line)) for line in wide] == [2, 0, 0, 2, 0, 0, 1, 0, 0]
    assert [line.count("four") + line.count("five") for line in wide] == [0, 2, 2, 0, 2, 2, 0, 1, 1]


def test_a_thousand_steps_and_ten_megabytes_leave_a_line_each() -> None:
    screen = Screen(80, 24)
    view = LiveView(screen, lambda: at(9), refresh=None, size=screen.size)
    view.on_event(BuildStarted(time=at(0), steps=1000))
    for number in range(1000):
        view.on_event(start(0, str(number), f"[{number + 1}/1000] RUN step"))
        view.on_event(StepLog(time=at(1), vertex=str(number), stream="stdout", data=b"x" * 99 + b"\n" + b"y" * 9900))
        view.on_event(done(1, str(number), 1.0))
        if number % 100 == 0:
            view.draw()
    view.close()
    lines = [*screen.scrolled, *screen.text.splitlines()]
    assert lines == [f" ✔     1.0s  [{number + 1}/1000] RUN step" for number in range(1000)]


def test_transfers_tell_their_rate_and_what_is_left() -> None:
    def shown(*events: Event) -> str:
        return drawn(list(events), at(3), 80, 24).text

    digest = "sha256:83b60620f8bf1a484c1ec9ebb27953369d7e8625"
    assert shown(pulled(1, digest, 0, 50)) == "     pull 83b60620f8bf   0B of 50.00MB"
    assert shown(pulled(1, digest, 0, 50), pulled(3, digest, 20, 50)) == "     pull 83b60620f8bf   20.00MB of 50.00MB   10.00MB/s   3s left"
    assert shown(pulled(1, digest, 0, 50), pulled(3, digest, 50, 50)) == ""
    unknown = [Transfer(time=at(time), kind="context", id="app.tar", done=number, total=0) for time, number in ((0, 0), (2, 3000))]
    assert shown(*unknown) == "     context app.tar   3.00kB   1.50kB/s"
    many = [pulled(1, f"sha256:{number:040}", 0, 50) for number in range(6)]
    assert shown(*many).splitlines()[-1] == "     and 2 more transfers"


def test_a_terminal_that_cannot_move_its_cursor_gets_lines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    screen = drawn(FIRST + FAILURE, at(5), 80, 50)
    assert "\x1b" not in screen.getvalue()
    assert screen.text.splitlines()[-1] == " ✘ CANCELED  docker.io/library/node:22"


@pytest.mark.parametrize(
    ("seconds", "text", "whole"),
    [
        (0, "0.0s", "0s"),
        (4.06, "4.1s", "4s"),
        (59.94, "59.9s", "60s"),
        (59.96, "1m00s", "1m00s"),
        (125, "2m05s", "2m05s"),
        (3725, "1h02m", "1h02m"),
    ],
)
def test_durations(seconds: float, text: str, whole: str) -> None:
    assert (duration_text(round(seconds * 1e9)), duration_text(round(seconds * 1e9), whole=True)) == (text, whole)


def test_what_a_build_prints_cannot_move_the_cursor() -> None:
    hostile: list[Event] = [
        start(0, "a", "RUN \x1b[5Aecho\x1b]0;title\x07"),
        log(1, "a", "\x1b[2J\x1b[Hgone\x07\nhalf \x1b[9A\x1b"),
        Note(time=at(1), message="image \x1b[31mred"),
    ]
    screen = drawn(hostile, BEGAN, 80, 24)
    assert screen.text.splitlines() == ["image red", " ●     0.0s  RUN echo", "     gone\\x07", "     half \\x1b"]


if __name__ == "__main__":
    PAGE.write_text(page())
