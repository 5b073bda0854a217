"""Makes text from a build harmless for a terminal or a CI log: what a RUN prints and how files are called is not trusted.

Escape sequences are dropped whole, other control characters are shown as `\\x07`, characters that reorder
a line (Unicode bidi controls, CVE-2021-42574) as `\\u202e`. TAB stays. Not here: colours of our own.
"""

from __future__ import annotations

import codecs
import re

MAX_LINE = 64 << 10
"""Characters of an unfinished line that are held back; what is longer comes out in pieces."""

_SHOWN = 1000

# ECMA-48: CSI sequences, strings (OSC, DCS, SOS, PM, APC) up to ST or BEL, and two- or three-byte escapes.
_SEQUENCE = (
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]{0,4096}(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-Z\\^-~]"
)
_CONTROL = "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"


def clean(text: str) -> str:
    """One line that a terminal shows and nothing more; newlines inside it are made visible too."""
    if text.isascii() and text.isprintable():
        return text
    return re.sub(_CONTROL, _show, re.sub(_SEQUENCE, "", text))


def _show(match: re.Match[str]) -> str:
    code = ord(match.group())
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, kept by surrogateescape
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class Lines:
    """Cuts a stream of bytes into clean lines; what a carriage return overwrote is dropped, as a terminal would."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes."""
        self._pending += self._decoder.decode(data)
        *whole, self._pending = self._pending.split("\n")
        while len(self._pending) > MAX_LINE:
            whole.append(self._pending[:MAX_LINE])
            self._pending = self._pending[MAX_LINE:]
        return [clean(_overwritten(line)) for line in whole]

    def unfinished(self) -> str:
        """The beginning of the line that no newline has ended yet, for showing."""
        return clean(_overwritten(self._pending[-_SHOWN:]))[:_SHOWN]

    def flush(self) -> list[str]:
        """The last line if no newline ended it."""
        rest, self._pending = self._pending + self._decoder.decode(b"", True), ""
        return [clean(_overwritten(rest))] if rest else []


def _overwritten(line: str) -> str:
    """What stands after the last carriage return that something follows."""
    if "\r" not in line:
        return line
    return line.rstrip("\r").rpartition("\r")[2]
