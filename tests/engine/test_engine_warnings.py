"""What a layer cannot hold is said by the step that made it."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from builder.errors import LayerwrightError
from builder.ops.leavings import commit
from builder.ops.protocol import StepControl
from builder.progress.events import Warning
from builder.snapshot.layers import Layers
from builder.store.store import Store
from tests.engine.site import Site
from tests.privileges import XATTR_PREFIX


def _warnings(site: Site) -> list[tuple[str, str, int]]:
    return [
        (event.code, event.message, event.span.line if event.span is not None else 0)
        for event in site.heard.events
        if isinstance(event, Warning)
    ]


MAKE = "ln -s /made /dev/log && busybox syslogd && while test ! -S /made; do true; done"
"""The one program of busybox that makes a socket where it is told to."""


def test_a_socket_that_a_step_leaves_is_left_out_with_a_warning(site: Site) -> None:
    site.dockerfile(f"FROM box\nRUN {MAKE}\n")
    site.build()
    message = "the socket /made is not in the image, for layers hold no sockets; remove it in the step that makes it"
    assert _warnings(site) == [("socket-left-out", message, 2)]
    site.build()
    assert _warnings(site) == []
    with pytest.raises(LayerwrightError, match="socket-left-out") as caught:
        site.build(strict=True, no_cache=True)
    assert caught.value.code == "strict"
    site.dockerfile(f"FROM box\nRUN {MAKE} && rm /made\n")
    site.build(strict=True)
    assert _warnings(site) == []


def test_several_are_counted(site: Site, tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store, Layers(store, xattr_prefix=XATTR_PREFIX) as layers, layers.draft(()) as draft:
        directory = os.open(draft.upper, os.O_PATH)  # an address of a socket has 108 bytes
        for name in "abcde":
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(f"/proc/self/fd/{directory}/{name}")
        os.close(directory)
        told: list[tuple[str, str]] = []
        control = StepControl(lambda stream, data: None, lambda code, text: told.append((code, text)), threading.Event())
        commit(draft, "note", control)
        assert (draft.changed, draft.sockets) == (False, ("a", "b", "c", "d", "e"))
        assert told[0][1].startswith("the sockets /a, /b, /c and 2 more are not in the image")
