"""What a step leaves: its layer, and a warning of what no layer can hold."""

from __future__ import annotations

from builder.ops.protocol import StepControl
from builder.snapshot.layers import Draft, LayerId

_NAMED = 3


def commit(draft: Draft, note: str, control: StepControl) -> LayerId:
    """The draft as a layer. Sockets are left out of layers (BuildKit's differ drops them without a word)."""
    layer = draft.commit(note)
    if draft.sockets:
        names = ", ".join(f"/{path}" for path in draft.sockets[:_NAMED])
        more = f" and {len(draft.sockets) - _NAMED} more" if len(draft.sockets) > _NAMED else ""
        one = len(draft.sockets) == 1
        control.warn(
            "socket-left-out",
            f"the socket{'' if one else 's'} {names}{more} {'is' if one else 'are'} not in the image, for layers hold no sockets; "
            f"remove {'it' if one else 'them'} in the step that makes {'it' if one else 'them'}",
        )
    return layer
