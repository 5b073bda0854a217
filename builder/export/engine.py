"""Streams an archive into a docker engine: POST /images/load (Engine API v1.24 and later).

Only unix sockets and plain TCP: a remote engine behind TLS or ssh is reached by its own client, as
`layerwright save | docker load`.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import msgspec

from builder.errors import LayerwrightError, UsageError
from builder.export.sink import Write

MAX_ANSWER = 1 << 20
TIMEOUT = 300.0


class _Line(msgspec.Struct):
    error: str = ""
    message: str = ""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)


@contextmanager
def loading(engine: str) -> Iterator[Write]:
    """Yields what writes the archive; at the end the engine's answer is read, and its error raised."""
    connection = _connection(engine)
    try:
        connection.putrequest("POST", "/images/load?quiet=1", skip_accept_encoding=True)
        connection.putheader("Content-Type", "application/x-tar")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()

        def write(data: bytes) -> None:
            if data:
                connection.send(b"%x\r\n" % len(data) + data + b"\r\n")

        yield write
        connection.send(b"0\r\n\r\n")
        response = connection.getresponse()
        _check(response.status, response.read(MAX_ANSWER))
    except (OSError, http.client.HTTPException) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        raise LayerwrightError(
            "engine-unreachable",
            f"the docker engine at {engine} cannot be used: {why}",
            help="start it, set DOCKER_HOST, or use type=docker,dest=FILE",
        ) from None
    finally:
        connection.close()


def _connection(engine: str) -> http.client.HTTPConnection:
    parts = urlsplit(engine)
    if parts.scheme == "unix":
        return _UnixConnection(parts.path)
    if parts.scheme in ("tcp", "http") and parts.hostname:
        return http.client.HTTPConnection(parts.hostname, parts.port or 2375, timeout=TIMEOUT)
    raise UsageError(
        "engine-address",
        f"the docker engine {engine} is not at a unix socket or TCP port",
        help="pipe it: layerwright save NAME | docker load",
    )


def _check(status: int, raw: bytes) -> None:
    """The answer is a stream of JSON lines; an error may come after a 200."""
    for line in raw.splitlines():
        try:
            said = msgspec.json.decode(line, type=_Line)
        except msgspec.DecodeError:
            continue
        problem = said.error or (said.message if status != 200 else "")
        if problem:
            raise LayerwrightError("engine-refused", f"the docker engine did not load the image: {problem[:500]}")
    if status != 200:
        raise LayerwrightError("engine-refused", f"the docker engine answered {status} instead of loading the image")
