"""The views: whole outputs for given events."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import subprocess
import sys
import threading

import pytest

from builder.progress.broadcast import Broadcast
from builder.progress.clip import Clip, LogLimits
from builder.progress.events import (
    BuildFinished,
    BuildStarted,
    Event,
    ExportFinished,
    ExportStarted,
    Note,
    Recorder,
    StepCached,
    StepFinished,
    StepLog,
    StepStarted,
    Transfer,
    Warning,
)
from builder.progress.plain import Folding, PlainView
from builder.progress.views import open_view

S = 1_000_000_000


def start(at: float, vertex: str, name: str) -> StepStarted:
    return StepStarted(time=int(at * S), vertex=vertex, name=name)


def log(at: float, vertex: str, text: str) -> StepLog:
    return StepLog(time=int(at * S), vertex=vertex, stream="stdout", data=text.encode())


def done(at: float, vertex: str, seconds: float, error: str | None = None, cancelled: bool = False) -> StepFinished:
    return StepFinished(time=int(at * S), vertex=vertex, duration_ns=int(seconds * S), error=error, cancelled=cancelled)


def plain(events: list[Event], folding: Folding = "none") -> str:
    out: list[str] = []
    view = PlainView(out.append, folding)
    for event in events:
        view.on_event(event)
    view.close()
    view.close()
    return "".join(out)


WHOLE: list[Event] = [
    BuildStarted(time=0, steps=3),
    start(0, "a", "[build 1/2] FROM debian"),
    StepCached(time=0, vertex="a"),
    start(1, "b", "[build 2/2] RUN make"),
    log(1.25, "b", "cc -o app\nld"),
    Note(time=2 * S, message="making room"),
    log(2.5, "b", " app\n"),
    done(3, "b", 2),
    Warning(time=3 * S, code="x", message="m", text="warning[x]: m\n  --> Dockerfile:1:1"),
    ExportStarted(time=3 * S, id="0", name="exporting to oci archive app.tar"),
    ExportFinished(time=4 * S, id="0", duration_ns=S, details=("manifest sha256:1",)),
    BuildFinished(time=4 * S, duration_ns=4 * S, ran=1, cached=1),
]


def test_plain_whole() -> None:
    assert plain(WHOLE) == (
        "#1 [build 1/2] FROM debian\n#1 CACHED\n\n"
        "#2 [build 2/2] RUN make\n#2 0.250 cc -o app\n#2 1.500 ld app\n#2 DONE 2.0s\n\n"
        "making room\n"
        "warning[x]: m\n  --> Dockerfile:1:1\n\n"
        "#3 exporting to oci archive app.tar\n#3 manifest sha256:1\n#3 DONE 1.0s\n\n"
    )


def test_steps_that_run_together_are_not_mixed() -> None:
    events: list[Event] = [start(0, "a", "A"), start(0, "b", "B"), log(0.1, "a", "a1\n"), log(0.2, "b", "b1\n"), log(0.3, "a", "a2\n")]
    events += [done(0.4, "b", 0.4), done(0.5, "a", 0.5)]
    assert plain(events) == "#1 A\n#1 0.100 a1\n#1 0.300 a2\n#1 DONE 0.5s\n\n#2 B\n#2 0.200 b1\n#2 DONE 0.4s\n\n"


def test_a_silent_step_gives_the_floor() -> None:
    events: list[Event] = [
        start(0, "a", "A"),
        start(0, "b", "B"),
        log(1, "b", "b1\n"),
        log(3, "b", "b2\n"),
        done(4, "b", 4),
        done(5, "a", 5),
    ]
    assert plain(events) == "#1 A\n#1 ...\n\n#2 B\n#2 1.000 b1\n#2 3.000 b2\n#2 DONE 4.0s\n\n#1 A\n#1 DONE 5.0s\n\n"


def test_failures_and_cancelled_steps() -> None:
    events: list[Event] = [
        start(0, "a", "A"),
        start(0, "b", "B"),
        done(1, "a", 1, error="exit code 2\x1b[2J"),
        done(1, "b", 1, cancelled=True),
    ]
    assert plain(events) == "#1 A\n#1 ERROR: exit code 2\n\n#2 B\n#2 CANCELED\n\n"


def test_names_and_output_are_sanitised() -> None:
    assert plain([start(0, "a", "RUN \x1b]0;x\x07y\nz"), log(0, "a", "\x1b[2Jgone\x07\n"), done(0, "a", 0)]) == (
        "#1 RUN y\\x0az\n#1 0.000 gone\\x07\n#1 DONE 0.0s\n\n"
    )


def test_transfers_say_their_end_once() -> None:
    events: list[Event] = [start(0, "a", "FROM x"), Transfer(time=0, kind="pull", id="sha256:1", done=1, total=2_500_000, vertex="a")]
    events += [Transfer(time=S, kind="pull", id="sha256:1", done=2_500_000, total=2_500_000, vertex="a"), done(1, "a", 1)]
    assert plain(events) == "#1 FROM x\n#1 1.000 pull sha256:1 2.50MB\n#1 DONE 1.0s\n\n"


def test_github_groups_are_not_interrupted_and_commands_are_defused() -> None:
    events: list[Event] = [
        start(0, "a", "A"),
        start(0, "b", "B"),
        log(9, "b", "::error::x\n##[error]y\n"),
        done(9, "b", 9),
        done(9, "a", 9),
    ]
    assert plain(events, "github") == (
        "::group::#1 A\n#1 DONE 9.0s\n::endgroup::\n::group::#2 B\n#2 9.000 ::error::x\n#2 9.000 # #[error]y\n#2 DONE 9.0s\n::endgroup::\n"
    )


def test_gitlab_sections() -> None:
    assert plain([start(7, "a", "A"), done(8, "a", 1)], "gitlab") == (
        "\x1b[0Ksection_start:7:step_1\r\x1b[0K#1 A\n#1 DONE 1.0s\n\x1b[0Ksection_end:8:step_1\r\x1b[0K\n"
    )


def test_rawjson_is_one_object_a_line() -> None:
    out = io.StringIO()
    view = open_view("rawjson", out, lambda: 0)
    for event in WHOLE:
        view.on_event(event)
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [row["type"] for row in rows][:4] == ["build-started", "step-started", "step-cached", "step-started"]
    assert rows[4] == {"type": "step-log", "time": 1_250_000_000, "vertex": "b", "stream": "stdout", "data": "Y2MgLW8gYXBwCmxk"}


def test_tty_on_a_pipe_is_plain() -> None:
    out = io.StringIO()
    view = open_view("tty", out, lambda: 0)
    for event in WHOLE:
        view.on_event(event)
    assert out.getvalue() == plain(WHOLE)


def test_quiet_shows_nothing() -> None:
    out = io.StringIO()
    view = open_view("quiet", out, lambda: 0)
    for event in WHOLE:
        view.on_event(event)
    view.close()
    assert out.getvalue() == ""


def test_live_view_on_a_terminal() -> None:
    leader, follower = pty.openpty()
    out = os.fdopen(follower, "w")
    view = open_view("tty", out, lambda: 2 * S)
    for event in [*WHOLE, start(5, "z", "LATE"), done(6, "z", 1, error="exit code 1")]:
        view.on_event(event)
    view.close()
    out.flush()
    shown = ""
    while select.select([leader], [], [], 0.2)[0]:
        shown += os.read(leader, 65536).decode()
    out.close()
    os.close(leader)
    for text in ("[build 1/2] FROM debian", "CACHED", "RUN make", "2.0s", "manifest sha256:1", "LATE", "ERROR"):
        assert text in shown


def test_a_listener_that_fails_hears_nothing_more_and_the_others_do() -> None:
    class Broken:
        calls = 0

        def on_event(self, event: Event) -> None:
            self.calls += 1
            raise BrokenPipeError("closed")

    broken, recorder = Broken(), Recorder()
    both = Broadcast([broken, recorder])
    both.on_event(Note(time=0, message="1"))
    both.on_event(Note(time=0, message="2"))
    assert (broken.calls, len(recorder.events)) == (1, 2)
    assert [str(error) for error in both.failures] == ["closed"]


def test_broadcast_from_many_threads_keeps_each_threads_order() -> None:
    recorder = Recorder()
    both = Broadcast([recorder])

    def speak(name: str) -> None:
        for number in range(200):
            both.on_event(Note(time=number, message=name))

    threads = [threading.Thread(target=speak, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in "0123":
        assert [event.time for event in recorder.events if isinstance(event, Note) and event.message == name] == list(range(200))


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (LogLimits(-1, -1), b"a" * 3000),
        (LogLimits(2048, -1), b"a" * 2048 + b"\n[output clipped, log limit 2KiB reached]\n"),
        (LogLimits(-1, 1024), b"a" * 1024 + b"\n[output clipped, log limit 1KiB/s reached]\n"),
    ],
)
def test_clip(limits: LogLimits, expected: bytes) -> None:
    recorder = Recorder()
    clip = Clip(recorder, limits)
    clip.on_event(start(0, "a", "A"))
    for _ in range(3):
        clip.on_event(log(0, "a", "a" * 1000))
    clip.on_event(done(0, "a", 0))
    assert b"".join(event.data for event in recorder.events if isinstance(event, StepLog)) == expected


def test_views_do_not_load_rich() -> None:
    code = "import sys, builder.progress.views, builder.progress.broadcast; print('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
