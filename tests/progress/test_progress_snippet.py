"""Pieces of a Dockerfile in a message are cut to the terminal's width; sentences stay whole."""

from __future__ import annotations

from builder.progress.snippet import fitted

MESSAGE = """\
error[run-failed]: the command ended with exit code 42 after 1.1 s, which is quite a long sentence
  --> Dockerfile:13:1
   |
13 | RUN if [ $MODE = fail ]; then exit 42; fi
   | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   = help: `layerwright debug` opens a shell in what it left"""


def test_source_lines_and_their_marks_are_cut() -> None:
    assert fitted(MESSAGE, 30) == (
        "error[run-failed]: the command ended with exit code 42 after 1.1 s, which is quite a long sentence\n"
        "  --> Dockerfile:13:1\n"
        "   |\n"
        "13 | RUN if [ $MODE = fail ];…\n"
        "   | ^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "   = help: `layerwright debug` opens a shell in what it left"
    )


def test_what_fits_stays() -> None:
    assert fitted(MESSAGE, 120) == MESSAGE
