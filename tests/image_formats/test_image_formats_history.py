"""Lines of history against layers: a base whose history tells of fewer, or of more, than it has."""

from __future__ import annotations

from builder.graph.plan import BaseImage, HistoryItem
from builder.image.assemble import base_history, complete_history
from builder.oci.config import History, ImageConfig, RootFS
from builder.oci.digest import DiffID, digest_of

THEN, EPOCH = "2020-01-01T00:00:00Z", "1970-01-01T00:00:00Z"
NEW = (HistoryItem("ENV A=b"), HistoryItem("CMD []"))


def _shown(*told: tuple[str, bool], layers: int) -> list[tuple[str, bool, str | None]]:
    """The lines of an image without layers of its own over a base that tells this, and has so many layers."""
    lines = tuple(History(THEN, created_by, empty_layer=empty) for created_by, empty in told)
    diff_ids = tuple(DiffID(digest_of(str(number).encode())) for number in range(layers))
    base = BaseImage("base", digest_of(b"base"), ImageConfig(rootfs=RootFS(diff_ids=diff_ids), history=lines or None), (), diff_ids, "")
    lines = complete_history(base_history(base), NEW, {}, layers, 0)
    return [(line.created_by, line.empty_layer, line.created) for line in lines]


def test_a_history_as_long_as_it_should_be() -> None:
    assert _shown(("one", False), ("meta", True), ("two", False), layers=2) == [
        ("one", False, THEN), ("meta", True, THEN), ("two", False, THEN), ("ENV A=b", True, EPOCH), ("CMD []", True, EPOCH),
    ]  # fmt: skip


def test_a_history_that_tells_of_too_few_is_filled_up() -> None:
    assert [line[:2] for line in _shown(("one", False), layers=3)] == [
        ("one", False), ("", False), ("", False), ("ENV A=b", True), ("CMD []", True),
    ]  # fmt: skip
    assert [line[:2] for line in _shown(layers=1)] == [("", False), ("ENV A=b", True), ("CMD []", True)]


def test_a_history_that_tells_of_too_many_keeps_its_lines() -> None:
    assert [line[:2] for line in _shown(("one", False), ("two", False), ("three", False), ("meta", True), layers=2)] == [
        ("one", False), ("two", False), ("three", True), ("meta", True), ("ENV A=b", True), ("CMD []", True),
    ]  # fmt: skip
