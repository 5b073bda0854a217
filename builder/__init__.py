"""layerwright: turns a Dockerfile into an OCI image. `build` and `BuildRequest` are loaded when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.engine.api import BuildOutcome, BuildRequest, build

__all__ = ["BuildOutcome", "BuildRequest", "build"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from builder.engine import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
