"""A process on a terminal, typed at through a real pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import threading
import time
from collections.abc import Iterator

import pytest

from runtime.spec import Exit, Process, User
from runtime.terminal import Terminal
from tests.runtime.box import PATH, Box


class Person:
    """Both ends of a pseudo-terminal: what the builder is started on, and the keyboard and screen of whom it serves."""

    def __init__(self) -> None:
        self.keyboard, self.tty = os.openpty()
        fcntl.ioctl(self.tty, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
        self.screen = b""

    def type(self, text: str) -> None:
        os.write(self.keyboard, text.encode())

    def wait_for(self, text: str) -> None:
        until = time.monotonic() + 20
        while text.encode() not in self.screen:
            assert time.monotonic() < until, self.screen
            if select.select([self.keyboard], [], [], 0.2)[0]:
                self.screen += os.read(self.keyboard, 4096)

    def close(self) -> None:
        os.close(self.keyboard)
        os.close(self.tty)


@pytest.fixture
def person() -> Iterator[Person]:
    person = Person()
    yield person
    person.close()


def _start(box: Box, person: Person, *argv: str, user: User = User()) -> tuple[threading.Thread, list[Exit]]:  # noqa: B008
    ended: list[Exit] = []

    def work() -> None:
        with Terminal(person.tty, person.tty) as terminal:
            process = Process(argv=argv, root=box.root, env=(PATH, ("PS1", "ready> ")), network="none", user=user, terminal=True)
            ended.append(box.sandbox.run(process, lambda stream, data: None, threading.Event(), terminal.slave))

    thread = threading.Thread(target=work)
    thread.start()
    return thread, ended


@pytest.mark.parametrize("user", [User(), User(1000, 1000)])
def test_a_shell_is_typed_at(box: Box, person: Person, user: User) -> None:
    thread, ended = _start(box, person, "/bin/sh", user=user)
    person.wait_for("ready> ")
    person.type("test -t 0 && test -t 1 && test -t 2 && echo all$((1 + 2))\n")
    person.wait_for("all3")
    person.type("stty size; echo tty > /dev/tty; echo err$((2 + 2)) > /dev/stderr\n")
    person.wait_for("33 99")
    person.wait_for("err4")
    person.type("exit 7\n")
    thread.join(20)
    assert [(exit.code, exit.setup_error) for exit in ended] == [(7, None)]


def test_an_interrupt_is_typed(box: Box, person: Person) -> None:
    thread, ended = _start(box, person, "/bin/sh")
    person.wait_for("ready> ")
    person.type("echo sl$((1 + 1)); sleep 100\n")
    person.wait_for("sl2")
    time.sleep(0.3)
    person.type("\x03")
    person.type("echo woke$((1 + 1)); exit 0\n")
    person.wait_for("woke2")
    thread.join(20)
    assert [exit.code for exit in ended] == [0]


def test_the_terminal_is_given_back_as_it_was(box: Box, person: Person) -> None:
    before = termios.tcgetattr(person.tty)
    thread, ended = _start(box, person, "/bin/sh", "-c", "stty -echo raw; exit 1")
    thread.join(20)
    assert [exit.code for exit in ended] == [1]
    assert termios.tcgetattr(person.tty) == before
