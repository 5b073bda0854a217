"""Messages between the builder and its launcher: length-framed JSON, with descriptors beside it.

    frame = length (4 bytes, big endian) + JSON (ASCII; a lone surrogate stands for a byte that is no UTF-8)

Descriptors ride on the first byte of a frame (SCM_RIGHTS). One writer at a time; one reader.
"""

from __future__ import annotations

import array
import json
import socket
import struct

TYPE_CHECKING = False  # see request
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

MAX_FRAME = 64 << 20
MAX_FDS = 16
_HEADER = struct.Struct(">I")


class WireError(Exception):
    """The other side sent what is no message."""


def send(channel: socket.socket, message: object, fds: Sequence[int] = ()) -> None:
    body = json.dumps(message).encode("ascii")
    data = _HEADER.pack(len(body)) + body
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sent = channel.sendmsg([data], ancillary)
    if sent < len(data):
        channel.sendall(data[sent:])


def receive(channel: socket.socket) -> tuple[Any, list[int]] | None:
    """The next message and its descriptors; None when the other side is gone."""
    fds = array.array("i")
    head, ancillary, _flags, _address = channel.recvmsg(_HEADER.size, socket.CMSG_LEN(MAX_FDS * fds.itemsize))
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    if not head:
        return None
    head += _exactly(channel, _HEADER.size - len(head))
    (length,) = _HEADER.unpack(head)
    if length > MAX_FRAME:
        raise WireError("a frame is too long")
    return json.loads(_exactly(channel, length)), list(fds)


def _exactly(channel: socket.socket, length: int) -> bytes:
    parts = []
    while length:
        part = channel.recv(min(length, 1 << 20))
        if not part:
            raise WireError("the other side went away in the middle of a frame")
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
