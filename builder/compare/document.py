"""What manifests and configs differ in: fields by their paths, lines of the history, layers by their digests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Literal, TypeVar

import msgspec

from builder.compare.differences import Change, FieldDifference, HistoryDifference, LayerDifference, LayerState
from builder.oci.config import History
from builder.oci.golang import decode_go
from builder.registry.resolved import Resolved

MATCHED = 2_000
"""Lines or layers that are matched at the best; of more, those in the same place belong together."""

T = TypeVar("T")
_EMPTY: tuple[object, ...] = (None, "", [], {}, False)
_PARTS = frozenset({"Labels", "ExposedPorts", "Volumes", "Healthcheck"})
_LEFT_TO_OTHERS = frozenset({"history", "rootfs"})


def compare_manifests(one: Resolved, other: Resolved) -> Iterator[FieldDifference]:
    """Fields of the manifests besides config and layers, which have sections of their own."""
    yield from _fields("manifest", _manifest(one), _manifest(other))


def compare_configs(one: Resolved, other: Resolved, *, ignore_time: bool = False) -> Iterator[FieldDifference]:
    """Every key of the configs, known or not, besides history and layers; an empty value is an absent one."""
    yield from _fields("config", _config(one.config_raw, ignore_time), _config(other.config_raw, ignore_time))


def compare_histories(one: Resolved, other: Resolved, *, ignore_time: bool = False) -> Iterator[HistoryDifference]:
    """Lines added, removed, and those whose command is the same and whose time, comment or author is not."""
    was, now = one.config.history or (), other.config.history or ()
    for left, right in _matched(was, now, lambda line: (line.created_by, line.empty_layer)):
        before, after = (was[left] if left is not None else None), (now[right] if right is not None else None)
        aspects = _aspects(before, after, ignore_time) if before is not None and after is not None else ()
        if before is None or after is None or aspects:
            yield HistoryDifference(
                _change(before, after),
                None if left is None else left + 1,
                None if right is None else right + 1,
                before.created_by if before is not None else "",
                after.created_by if after is not None else "",
                aspects,
            )


def layer_states(image: Resolved) -> tuple[LayerState, ...]:
    """An image's layers, lowest first, each with the line of history that made it."""
    made = [line.created_by for line in image.config.history or () if not line.empty_layer]
    return tuple(
        LayerState(number, layer.digest, diff_id, layer.size, layer.media_type, made[number - 1] if number <= len(made) else "")
        for number, (layer, diff_id) in enumerate(zip(image.manifest.layers, image.config.rootfs.diff_ids, strict=True), 1)
    )


def compare_layers(one: Resolved, other: Resolved) -> Iterator[LayerDifference]:
    """Layers that only one has, and those of the same files that are packed another way."""
    was, now = layer_states(one), layer_states(other)
    for left, right in _matched(was, now, lambda layer: layer.diff_id):
        before, after = (was[left] if left is not None else None), (now[right] if right is not None else None)
        if before is None or after is None or before.digest != after.digest:
            yield LayerDifference(_change(before, after), before, after)


def _change(before: object, after: object) -> Change:
    if before is None:
        return "added"
    return "removed" if after is None else "changed"


def _aspects(before: History, after: History, ignore_time: bool) -> tuple[str, ...]:
    names = ("comment", "author") if ignore_time else ("created", "comment", "author")
    return tuple(name for name in names if getattr(before, name) != getattr(after, name))


def _fields(section: Literal["manifest", "config"], was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[FieldDifference]:
    for name in sorted(was.keys() | now.keys()):
        before, after = was.get(name), now.get(name)
        if before != after:
            yield FieldDifference(section, _change(before, after), name, before, after)


def _manifest(image: Resolved) -> dict[str, str]:
    manifest = image.manifest
    found = {f"annotations.{key}": value for key, value in manifest.annotations.items()}
    found["mediaType"], found["config.mediaType"] = manifest.media_type, manifest.config.media_type
    if manifest.artifact_type:
        found["artifactType"] = manifest.artifact_type
    if manifest.subject is not None:
        found["subject"] = manifest.subject.digest
    return found


def _config(raw: bytes, ignore_time: bool) -> dict[str, str]:
    document = decode_go(raw)
    assert isinstance(document, dict), "decode_config took it"
    found: dict[str, str] = {}
    for key, value in document.items():
        if key == "config" and isinstance(value, dict):
            found.update(_run_config(value))
        elif key not in _LEFT_TO_OTHERS and value not in _EMPTY and not (ignore_time and key == "created"):
            found[key] = _text(value)
    return found


def _run_config(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in config.items():
        if value in _EMPTY:
            continue
        if key == "Env" and isinstance(value, list):
            for line in value:
                name, _, text = str(line).partition("=")
                yield f"Env.{name}", text
        elif key in _PARTS and isinstance(value, dict):
            for name, part in value.items():
                yield f"{key}.{name}", _text(part)
        else:
            yield key, _text(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _matched(was: Sequence[T], now: Sequence[T], key: Any) -> Iterator[tuple[int | None, int | None]]:
    """Pairs of indexes that belong together, None where one side has none; in order."""
    before, after = [key(item) for item in was], [key(item) for item in now]
    same = 0
    while same < min(len(before), len(after)) and before[same] == after[same]:
        yield same, same
        same += 1
    if max(len(before), len(after)) - same > MATCHED:
        for index in range(same, max(len(before), len(after))):
            equal = index < min(len(before), len(after)) and before[index] == after[index]
            if equal:
                yield index, index
                continue
            if index < len(before):
                yield index, None
            if index < len(after):
                yield None, index
        return
    for tag, first, last, begin, end in SequenceMatcher(None, before[same:], after[same:], autojunk=False).get_opcodes():
        if tag == "equal":
            yield from zip(range(same + first, same + last), range(same + begin, same + end), strict=True)
        else:
            yield from ((same + index, None) for index in range(first, last))
            yield from ((None, same + index) for index in range(begin, end))
