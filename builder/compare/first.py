"""Where two builds of one Dockerfile part: the first layer that differs, in which files, and whether in more than times."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import msgspec

from builder.compare.differences import FieldDifference, FileDifference, HistoryDifference, LayerDifference
from builder.compare.document import compare_configs, compare_histories, compare_layers, compare_manifests
from builder.compare.files import compare_files
from builder.compare.images import Listings, Side
from builder.compare.stack import Placed

SHOWN = 8
"""Files of the first layer that are named."""

Found = FieldDifference | HistoryDifference | LayerDifference | FileDifference


class Parting(msgspec.Struct, frozen=True):
    """`layer` counts from 0, -1 where no layer differs; `shown` are its first differences, `count` how many there are.
    `deeper` is the first difference that is no time, and its layer: None where times are all that differs."""

    layer: int
    shown: tuple[Found, ...]
    count: int
    deeper: tuple[int, Found] | None = None


def first_difference(one: Side, other: Side, listings: Listings) -> Parting | None:
    """None for the same image. Layers are read one by one from the lowest that differs on."""
    if one.image.manifest_raw == other.image.manifest_raw:
        return None
    first: Parting | None = None
    deeper: tuple[int, Found] | None = None
    for number in _differing(one, other):
        shown: list[Found] = []
        count = 0
        for difference in _layer(one, other, listings, number):
            count += 1
            if len(shown) < SHOWN:
                shown.append(difference)
            if deeper is None and not is_time(difference):
                deeper = number, difference
        first = first or Parting(number, tuple(shown), count)
        if deeper is not None:
            break
    rest: list[Found] = [*compare_manifests(one.image, other.image), *compare_configs(one.image, other.image)]
    rest += compare_histories(one.image, other.image)
    if deeper is None:
        deeper = next(((-1, difference) for difference in rest if not is_time(difference)), None)
    first = first or Parting(-1, tuple(rest[:SHOWN]), len(rest))
    return msgspec.structs.replace(first, deeper=deeper)


def is_time(difference: Found) -> bool:
    """Whether it is nothing but a time."""
    match difference:
        case FieldDifference():
            return difference.name == "created"
        case HistoryDifference():
            return difference.aspects == ("created",)
        case FileDifference():
            return difference.aspects == ("mtime",)
        case LayerDifference():
            return False


def _differing(one: Side, other: Side) -> Iterator[int]:
    """The places of layers that are not the same blob."""
    pairs = zip(one.image.manifest.layers, other.image.manifest.layers, strict=False)
    for number, (was, now) in enumerate(pairs):
        if was.digest != now.digest:
            yield number
    if len(one.image.manifest.layers) != len(other.image.manifest.layers):
        yield min(len(one.image.manifest.layers), len(other.image.manifest.layers))


def _layer(one: Side, other: Side, listings: Listings, number: int) -> Iterator[Found]:
    """What one layer differs in; where the files do not differ, that it is packed another way."""
    if number >= min(len(one.image.manifest.layers), len(other.image.manifest.layers)):
        yield from (difference for difference in compare_layers(one.image, other.image) if difference.change != "changed")
        return
    files = compare_files(_entries(one, listings, number), _entries(other, listings, number))
    first = next(files, None)
    if first is not None:
        yield from chain((first,), files)
        return
    packed = [difference for difference in compare_layers(one.image, other.image) if _is_at(difference, number)]
    yield packed[0]


def _is_at(difference: LayerDifference, number: int) -> bool:
    layer = difference.now or difference.was
    return layer is not None and layer.number == number + 1


def _entries(side: Side, listings: Listings, number: int) -> Iterator[Placed]:
    """The entries of one layer, marks of what it hides among them; of a path that has both, the entry."""
    last: bytes | None = None
    for node in listings.layer(side, number):
        if node.key != last:
            last = node.key
            yield node, number + 1
