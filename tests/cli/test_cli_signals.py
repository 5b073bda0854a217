"""Ctrl-C and SIGTERM: the first two are exceptions, which clean up; the third ends a command that does not end."""

from __future__ import annotations

import signal
import subprocess
import sys

DEAF = """
import signal
from builder.cli.errors import run_command

class Deaf:
    def main(self, **options):
        while True:
            try:
                print("listens", flush=True)
                while True:
                    signal.pause()
            except KeyboardInterrupt:
                pass

run_command(Deaf(), "deaf")
"""


def test_the_third_signal_ends_what_does_not_end() -> None:
    with subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            assert process.stdout.readline() == b"listens\n"
            process.send_signal(number)
        assert process.wait(60) == 130
        assert process.stderr.read() == b"\nerror[cancelled]: ended at once, by a third signal\n"


IGNORING = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""
ASKING = """
import signal
from builder.cli.errors import run_command

class Asked:
    def main(self, **options):
        print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)

run_command(Asked(), "asked")
"""


def test_an_ignored_interrupt_stays_ignored() -> None:
    done = subprocess.run([sys.executable, "-c", IGNORING, ASKING], capture_output=True, check=True)
    assert done.stdout == b"True\n"
