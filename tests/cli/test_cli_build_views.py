"""Which view is chosen, and that a build's threads cannot disturb it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from builder.cli.build_views import open_view
from builder.cli.settings import Environment
from builder.errors import UsageError
from builder.progress.events import StepFinished, StepLog, StepStarted

OPTIONS: dict[str, Any] = {"progress": "plain", "quiet": False}


def env(**variables: str) -> Environment:
    return Environment(variables, 0, "/")


def speak(listener: Any, vertex: str, count: int) -> None:
    listener.on_event(StepStarted(time=0, vertex=vertex, name=vertex))
    for number in range(count):
        listener.on_event(StepLog(time=0, vertex=vertex, stream="stdout", data=f"{vertex} {number}\n".encode()))
    listener.on_event(StepFinished(time=0, vertex=vertex, duration_ns=0))


def test_steps_of_several_threads_come_out_whole(capsys: pytest.CaptureFixture[str]) -> None:
    with open_view(OPTIONS, env(BUILDKIT_STEP_LOG_MAX_SIZE="-1", BUILDKIT_STEP_LOG_MAX_SPEED="-1")) as view:
        threads = [threading.Thread(target=speak, args=(view, f"v{number}", 500)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    blocks = capsys.readouterr().err.strip().split("\n\n")
    assert len(blocks) == 6
    for block in blocks:
        number, name = block.splitlines()[0].split(" ")
        assert block.splitlines() == [f"{number} {name}", *(f"{number} 0.000 {name} {line}" for line in range(500)), f"{number} DONE 0.0s"]


def test_output_is_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    with open_view(OPTIONS, env(BUILDKIT_STEP_LOG_MAX_SIZE="2048")) as view:
        speak(view, "loud", 1000)
    said = capsys.readouterr().err
    assert "[output clipped, log limit 2KiB reached]" in said
    assert len(said) < 8000


@pytest.mark.parametrize("value", ["many", "1k", "--1"])
def test_a_limit_that_is_no_number(value: str) -> None:
    with pytest.raises(UsageError, match="is not a number of bytes"), open_view(OPTIONS, env(BUILDKIT_STEP_LOG_MAX_SIZE=value)):
        raise AssertionError("not reached")


@pytest.mark.parametrize(
    ("options", "variables", "expected"),
    [
        ({"progress": "auto"}, {}, "#1 s\n#1 DONE 0.0s\n\n"),
        ({"progress": None}, {"BUILDKIT_PROGRESS": "quiet"}, ""),
        ({"progress": "tty"}, {}, "#1 s\n#1 DONE 0.0s\n\n"),
        ({"progress": "plain", "quiet": True}, {}, ""),
        ({"progress": "none"}, {}, ""),
        ({"progress": "plain"}, {"GITHUB_ACTIONS": "true"}, "::group::#1 s\n#1 DONE 0.0s\n::endgroup::\n"),
    ],
)
def test_the_view_that_is_asked_for(
    options: dict[str, Any], variables: dict[str, str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_view({**OPTIONS, **options}, env(**variables)) as view:
        speak(view, "s", 0)
    assert capsys.readouterr().err == expected
