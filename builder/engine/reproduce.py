"""The same build twice, from cold, and where the two part.

Cold: every step runs, no cache is looked in, and cache mounts begin empty and end with the build. Nothing is written
but to the store. The second begins a second after the first ended, so that whatever takes the time from the clock
takes another one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import msgspec

from builder.compare.differences import FieldDifference
from builder.compare.first import Parting, first_difference
from builder.compare.images import Listings, Side
from builder.compare.mend import remedies
from builder.engine.build import BuildOutcome, run_build
from builder.engine.operands import UNNAMED, stored_blobs
from builder.engine.outputs import plan_outputs
from builder.engine.request import BuildRequest
from builder.engine.workshop import Workshop, WorkshopSettings
from builder.errors import UsageError
from builder.history.archive import History
from builder.history.cause import Explanation, place_of
from builder.history.record import unpack_steps
from builder.image.model import Image
from builder.progress.events import Listener
from builder.registry.resolved import Resolved

APART_SECONDS = 1.0

Views = Callable[[int], AbstractContextManager[Listener]]
"""The view of the first build (1) and of the second (2)."""


class Reproduction(msgspec.Struct, frozen=True):
    """Two builds, and where they part: None where they gave the same. `place` is the step whose layer differs first, `deeper`
    that of the first difference that is no time; `platform` is told where there are several."""

    first: BuildOutcome
    second: BuildOutcome
    parting: Parting | None = None
    platform: str = ""
    place: str = ""
    deeper_place: str = ""
    mend: tuple[str, ...] = ()


def build_twice(
    request: BuildRequest,
    settings: WorkshopSettings,
    views: Views,
    *,
    cancel: threading.Event | None = None,
    explained: Callable[[Explanation], object] | None = None,
) -> Reproduction:
    """Both builds, compared; raises what a build raises. `explained` hears of the first."""
    if "-" in (request.context, request.dockerfile):
        raise UsageError(
            "read-once", "--verify-reproducible builds twice, and standard input can be read once", help="name a directory, or a Dockerfile"
        )
    cold = msgspec.structs.replace(request, no_cache=True, cold=True, discard=True, cache_from=(), cache_to=(), tags=request.tags)
    cancel = cancel or threading.Event()
    with Workshop(settings) as shop:  # its lease keeps the blobs of both from being collected
        with views(1) as view:
            first = run_build(cold, settings, view, cancel, explained=explained)
        cancel.wait(APART_SECONDS)
        with views(2) as view:
            second = run_build(cold, settings, view, cancel)
        return _compared(request, shop, first, second)


def _compared(request: BuildRequest, shop: Workshop, first: BuildOutcome, second: BuildOutcome) -> Reproduction:
    opened = stored_blobs(shop)
    several = len(first.result.images) > 1
    with shop.store.temporary("diff-") as scratch:
        listings = Listings(scratch)
        for one, other in zip(first.result.images, second.result.images, strict=True):
            was, now = Side("the first build", _resolved(one), opened), Side("the second build", _resolved(other), opened)
            parting = first_difference(was, now, listings)
            if parting is not None:
                return _parted(request, shop, Reproduction(first, second, parting, str(one.platform) if several else ""), one)
    if first.digest != second.digest:  # an index of the same images has the same bytes
        lone = FieldDifference("manifest", "changed", "index", first.digest, second.digest)
        return Reproduction(first, second, Parting(-1, (lone,), 1))
    return Reproduction(first, second)


def _parted(request: BuildRequest, shop: Workshop, found: Reproduction, image: Image) -> Reproduction:
    assert found.parting is not None
    parting = found.parting
    output = plan_outputs(request)[-1]
    differences = (*parting.shown, *((parting.deeper[1],) if parting.deeper is not None else ()))
    # What the epoch came to, where it was named by a context or in the Dockerfile, shows in the image's own time.
    epoch = output.options.epoch is not None or found.first.result.images[0].config.created == found.second.result.images[0].config.created
    return msgspec.structs.replace(
        found,
        place=_place(shop, found.first, image, parting.layer),
        deeper_place=_place(shop, found.first, image, parting.deeper[0]) if parting.deeper is not None else "",
        mend=remedies(differences, epoch=epoch, rewrite=output.options.rewrite_timestamp),
    )


def _place(shop: Workshop, outcome: BuildOutcome, image: Image, layer: int) -> str:
    """The step that made a layer; "" where no layer is meant."""
    if layer < 0:
        return ""
    steps = unpack_steps(History(shop.store).find(outcome.id))
    identity = image.layers[layer].partition("-at-")[0] if layer < len(image.layers) else ""
    step = next((step for step in steps if step.layer == identity and step.kind == "step"), None)
    return place_of(step) if step is not None else f"layer {layer + 1}"


def _resolved(image: Image) -> Resolved:
    return Resolved(UNNAMED, image.descriptor, image.descriptor, image.manifest, image.manifest_raw, image.config, image.config_raw)
