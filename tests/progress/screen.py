"""A terminal's screen in memory: what stands where after the sequences that the live view writes, and nothing else."""

from __future__ import annotations

import io
import re

_TOKEN = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|([\n\r])|([^\x1b\n\r]+)")


class Screen(io.StringIO):
    """A text file that is a terminal; lines that scroll out at the top are kept in `scrolled`."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__()
        self.width, self.height = width, height
        self.scrolled: list[str] = []
        self.cursor_shown = True
        self._lines: list[list[str]] = [[]]
        self._row = self._column = 0

    def isatty(self) -> bool:
        return True

    def size(self) -> tuple[int, int]:
        return self.width, self.height

    def write(self, text: str) -> int:
        at = 0
        while at < len(text):
            token = _TOKEN.match(text, at)
            assert token is not None, f"not known to this terminal: {text[at : at + 20]!r}"
            at = token.end()
            if token[2] is not None:
                self._sequence(token[1], token[2])
            elif token[3] is not None:
                self._move(self._row + 1, 0) if token[3] == "\n" else self._move(self._row, 0)
            else:
                for letter in token[4]:
                    self._put(letter)
        return len(text)

    def resize(self, width: int, height: int) -> None:
        """Lines that are too long now are wrapped, as terminals do (but for xterm)."""
        wrapped: list[list[str]] = []
        row = 0
        for number, line in enumerate(self._lines):
            pieces = [line[start : start + width] for start in range(0, len(line), width)] or [[]]
            if number == self._row:
                row = len(wrapped) + min(self._column // width, len(pieces) - 1)
            wrapped += pieces
        self._lines, self.width, self.height = wrapped, width, height
        self._move(row, self._column % width)

    @property
    def text(self) -> str:
        """What is to be seen, without blanks at the ends of lines and without empty lines at the end."""
        return "\n".join("".join(line).rstrip() for line in self._lines).rstrip("\n")

    def _sequence(self, argument: str, letter: str) -> None:
        match letter:
            case "A":
                self._move(max(0, self._row - int(argument or 1)), self._column)
            case "J":
                assert argument == "0"
                del self._lines[self._row + 1 :]
                del self._lines[self._row][self._column :]
            case "h" | "l":
                assert argument == "?25"
                self.cursor_shown = letter == "h"
            case _:
                assert letter == "m", f"CSI {argument}{letter} is not known to this terminal"

    def _put(self, letter: str) -> None:
        if self._column == self.width:
            self._move(self._row + 1, 0)
        line = self._lines[self._row]
        line += [" "] * (self._column - len(line))
        line[self._column : self._column + 1] = [letter]
        self._column += 1

    def _move(self, row: int, column: int) -> None:
        while len(self._lines) <= row:
            self._lines.append([])
        while len(self._lines) > self.height:
            self.scrolled.append("".join(self._lines.pop(0)).rstrip())
            row -= 1
        self._row, self._column = max(0, row), column
