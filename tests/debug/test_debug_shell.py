"""--on-fail=shell and `layerwright debug`, driven by a real pseudo-terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from builder.cli.terminal import Beside
from builder.progress.events import StepFinished, StepStarted
from tests.debug.session import Session
from tests.peers.users import OrdinaryUser

DOCKERFILE = """\
FROM box AS make
RUN echo made > /made
FROM box
ARG COLOUR=green
ENV SPEED=fast
RUN echo first > /first
WORKDIR /work
USER app
RUN --mount=type=secret,id=token,mode=0444 --mount=from=make,target=/other --mount=type=cache,target=/cache,mode=0777 \\
    echo half > /tmp/half && echo kept > /cache/kept && exit 3
"""


class Desk:
    """A context, a store, and sessions over them."""

    def __init__(self, directory: Path, box: Path) -> None:
        self.context = directory / "context"
        self.context.mkdir(parents=True)
        (self.context / "Dockerfile").write_text(DOCKERFILE)
        (directory / "token").write_text("hush")
        self.box = box
        self.user: OrdinaryUser | None = None
        self.env = {"LAYERWRIGHT_ROOT": str(directory / "store"), "HOME": str(directory)}
        self.options = (str(self.context), "--build-context", f"box={box}", "--secret", f"id=token,src={directory}/token")

    def build(self, *args: str) -> Session:
        """`build`, of the context."""
        return Session("builder.cli.build", *self.options, *args, env=self.env, user=self.user)

    def layerwright(self, *args: str) -> Session:
        """`layerwright`."""
        return Session("builder.cli.main", *args, env=self.env, user=self.user)


@pytest.fixture
def desk(tmp_path: Path, busybox_root: Path) -> Desk:
    if os.geteuid() != 0:
        pytest.skip("runs steps as root")
    return Desk(tmp_path, busybox_root)


@pytest.fixture
def lowly_desk(ordinary_user: OrdinaryUser, busybox_root: Path) -> Desk:
    """The same for an ordinary user, with a home of its own."""
    home = Path(ordinary_user.home) / f"desk-{os.urandom(4).hex()}"
    home.mkdir()
    box = home / "box"
    subprocess.run(["cp", "-a", str(busybox_root), str(box)], check=True)
    desk = Desk(home, box)
    subprocess.run(["chown", "-R", f"{ordinary_user.uid}:{ordinary_user.gid}", str(home)], check=True)
    desk.user = ordinary_user
    return desk


def _in_the_failed_step(session: Session) -> None:
    """Its environment, directory, user, mounts, and what it had written."""
    session.ask("echo $COLOUR-$SPEED", "green-fast")
    session.ask("pwd; id -un", "/work\r\napp")
    session.ask("cat /first /tmp/half /other/made /cache/kept", "first\r\nhalf\r\nmade\r\nkept")
    session.ask("cat /run/secrets/token; echo", "hush")
    session.ask("test -t 0 && echo tty$((1 + 1))", "tty2")


@pytest.mark.parametrize("which", ["desk", "lowly_desk"])
def test_a_shell_where_a_step_failed(which: str, request: pytest.FixtureRequest) -> None:
    desk: Desk = request.getfixturevalue(which)
    with desk.build("--on-fail=shell", "--progress=plain") as session:
        session.wait_for("a shell in its file system")
        _in_the_failed_step(session)
        session.type("exit\n")
        assert session.end() == 1
        assert "error[run-failed]: the command ended with exit code 3" in session.screen
    with desk.layerwright("debug") as session:
        session.wait_for("after [stage-1 7/7] RUN --mount")
        session.wait_for("without what the build was given by --secret id=token")
        session.ask("pwd; id -un; echo $COLOUR", "/work\r\napp\r\ngreen")
        session.ask("cat /other/made /cache/kept /tmp/half", "made\r\nkept\r\nhalf")
        session.type("exit 5\n")
        assert session.end() == 5


def test_either_side_of_any_step(desk: Desk) -> None:
    with desk.build("--progress=plain") as session:
        assert session.end() == 1
    with desk.layerwright("debug", "--before") as session:
        session.ask("test -e /tmp/half || echo no$((0))", "no0")
        session.type("exit\n")
        session.end()
    with desk.layerwright("debug", "last", "RUN echo first", "--before") as session:
        session.ask("cat /first || echo no$((1))", "no1")
        session.type("exit\n")
        session.end()
    with desk.layerwright("debug", "last", "make 2/2") as session:
        session.wait_for("after [make 2/2] RUN echo made > /made")
        session.ask("cat /made; touch /mark; exit 0", "made\r\n")
        assert session.end() == 0
    with desk.layerwright("debug", "last", "make 2/2") as session:
        session.ask("test -e /mark || echo thrown$((1)) away; exit 0", "thrown1 away")
        assert session.end() == 0
    with desk.layerwright("debug", "last", "WORKDIR /work") as session:
        session.ask("ls -d /work; echo $SPEED; exit 0", "/work\r\nfast")
        assert session.end() == 0


def test_the_live_view_gives_the_terminal_up(desk: Desk) -> None:
    with desk.build("--on-fail=shell", "--progress=tty") as session:
        session.wait_for("a shell in its file system")
        _in_the_failed_step(session)
        session.type("exit\n")
        assert session.end() == 1


BESIDE = """\
FROM box AS beside
RUN --mount=type=cache,target=/shared while test ! -e /shared/go; do true; done; rm /shared/go && touch /shared/gone
FROM box
RUN --mount=type=cache,target=/shared exit 3
COPY --from=beside /etc /etc2
"""


def test_what_runs_beside_goes_on(desk: Desk) -> None:
    (desk.context / "Dockerfile").write_text(BESIDE)
    with desk.build("--on-fail=shell", "--progress=plain", "--jobs=4") as session:
        session.wait_for("a shell in its file system")
        session.ask("touch /shared/go; while test ! -e /shared/gone; do true; done; echo seen$((1))", "seen1")
        session.type("exit\n")
        assert session.end() == 1


def test_what_ended_unseen_is_told() -> None:
    beside = Beside()
    assert beside.told() == ""
    for vertex in "abcd":
        beside.on_event(StepStarted(time=0, vertex=vertex, name=f"[{vertex} 1/1] RUN \x1b[2Jmake"), seen=vertex != "d")
    beside.on_event(StepFinished(time=1, vertex="a", duration_ns=10**9), seen=True)
    beside.on_event(StepFinished(time=2, vertex="b", duration_ns=15 * 10**8), seen=False)
    beside.on_event(StepFinished(time=3, vertex="c", duration_ns=10**9, error="the command ended with exit code 2"), seen=False)
    beside.on_event(StepFinished(time=4, vertex="d", duration_ns=10**9, error="cancelled", cancelled=True), seen=False)
    assert beside.told() == (
        "meanwhile:\n  [b 1/1] RUN make: done in 1.5s\n  [c 1/1] RUN make: failed: the command ended with exit code 2\n"
    )


def test_without_a_terminal_it_says_so(desk: Desk) -> None:
    command = ["-c", "from builder.cli.build import main; main()", "--on-fail=shell", *desk.options]
    found = subprocess.run(
        [sys.executable, *command], env={**os.environ, **desk.env}, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    assert found.returncode == 2
    assert found.stderr.startswith("error[no-terminal]: --on-fail=shell needs a terminal\n")
