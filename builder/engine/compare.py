"""Two images compared, wherever they are; of indexes every platform that both have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import BinaryIO

import msgspec

from builder.compare.differences import Change, Difference, FieldDifference
from builder.compare.images import CompareOptions, Listings, Side, compare_images
from builder.engine.operands import Operand, open_operand
from builder.engine.workshop import Workshop
from builder.errors import NotFoundError
from builder.oci.manifest import Descriptor
from builder.oci.platform import Platform


class Pair(msgspec.Struct, frozen=True):
    """Two images of one platform."""

    platform: str
    one: Side
    other: Side


class Comparison:
    """Two operands, opened; a context manager. `pairs` are the images to compare, `lone` what only indexes differ in."""

    def __init__(self, shop: Workshop, one: str, other: str, platform: Platform | None = None, stdin: BinaryIO | None = None) -> None:
        self._shop = shop
        self._names = one, other
        self._platform = platform
        self._stdin = stdin
        self._stack = ExitStack()
        self.lone: list[FieldDifference] = []
        self.pairs: list[Pair] = []

    def __enter__(self) -> Comparison:
        with self._stack:
            one, other = (open_operand(name, self._shop, self._stack, self._stdin) for name in self._names)
            self._listings = Listings(self._stack.enter_context(self._shop.store.temporary("diff-")))
            self._choose(one, other)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def differences(self, pair: Pair, options: CompareOptions) -> Iterator[Difference]:
        """Those of one pair, in the order of sections; each layer is read when it is first needed, and once."""
        return compare_images(pair.one, pair.other, self._listings, options)

    def _choose(self, one: Operand, other: Operand) -> None:
        if self._platform is not None:
            self._add(one.resolve(self._platform), other.resolve(self._platform))
            return
        was, now = one.platforms(), other.platforms()
        if was is not None and now is not None:
            if one.root.digest != other.root.digest:
                self._choose_all(one, was, other, now)
        elif was is not None:
            image = other.child(other.root)
            self._add(one.resolve(image.image.config.platform), image)
        else:
            image = one.child(one.root)
            self._add(image, other.child(other.root) if now is None else other.resolve(image.image.config.platform))

    def _choose_all(self, one: Operand, was: Mapping[str, Descriptor], other: Operand, now: Mapping[str, Descriptor]) -> None:
        """Platform by platform; an image that is not here (an index is often pulled for one platform) differs by its digest."""
        for platform in sorted(was.keys() | now.keys()):
            before, after = was.get(platform), now.get(platform)
            if before is not None and after is not None:
                if before.digest == after.digest:
                    continue
                try:
                    self._add(one.child(before), other.child(after))
                    continue
                except NotFoundError as error:
                    if error.code != "blob-missing":
                        raise
            change: Change = "added" if before is None else "removed" if after is None else "changed"
            was_digest, now_digest = (child.digest if child is not None else None for child in (before, after))
            self.lone.append(FieldDifference("manifest", change, f"platform {platform}", was_digest, now_digest))

    def _add(self, one: Side, other: Side) -> None:
        self.pairs.append(Pair(str(one.image.config.platform), one, other))
