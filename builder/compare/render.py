"""Differences as people read them, line by line, and as JSON, a line each; names are made harmless for a terminal."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import msgspec

from builder.compare.differences import (
    Aspect,
    Difference,
    FieldDifference,
    FileDifference,
    FileState,
    HistoryDifference,
    LayerDifference,
    LayerState,
    section_of,
)
from builder.progress.plain import size_text
from builder.progress.sanitise import clean

MARKS = {"added": "+", "removed": "-", "changed": "~"}
SHOWN = 200
"""Characters of a value; JSON has the whole."""


def text_lines(difference: Difference) -> Iterator[str]:
    """The lines of one difference, without the head of its section."""
    mark = MARKS[difference.change]
    match difference:
        case FieldDifference():
            yield f"  {mark} {clean(difference.name)}: {_values(difference)}"
        case HistoryDifference():
            yield from _history(difference)
        case LayerDifference():
            yield f"  {mark} {_layer(difference)}"
        case FileDifference():
            yield f"  {mark} {clean('/' + difference.path)}  {_file(difference)}"


def json_line(difference: Difference, platform: str = "") -> bytes:
    """One object: `section`, `change`, and what the section has. Bytes that are no UTF-8 are written as \\udcXX is: `\\xXX`."""
    document: dict[str, object] = {"section": section_of(difference), "change": difference.change}
    if platform:
        document["platform"] = platform
    match difference:
        case FieldDifference():
            document |= {"name": difference.name, "was": difference.was, "now": difference.now}
        case HistoryDifference():
            document |= {"was": _line(difference.was_number, difference.was), "now": _line(difference.now_number, difference.now)}
            document["aspects"] = difference.aspects
        case LayerDifference():
            document |= {"was": msgspec.to_builtins(difference.was), "now": msgspec.to_builtins(difference.now)}
        case FileDifference():
            document |= {"path": _plain(difference.path), "aspects": difference.aspects}
            document |= {"was": _state(difference.was), "now": _state(difference.now)}
    return msgspec.json.encode(document)


def _values(field: FieldDifference) -> str:
    if field.was is None or field.now is None:
        return _short(field.now or field.was or "")
    return f"{_short(field.was)} -> {_short(field.now)}"


def _short(text: str) -> str:
    shown = clean(text)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}… ({len(shown):,} characters)"


def _history(line: HistoryDifference) -> Iterator[str]:
    number = line.was_number if line.change == "removed" else line.now_number
    aspects = f"  ({', '.join(line.aspects)})" if line.aspects else ""
    yield f"  {MARKS[line.change]} {number}  {_short(line.was if line.change == 'removed' else line.now)}{aspects}"


def _layer(difference: LayerDifference) -> str:
    was, now = difference.was, difference.now
    if was is not None and now is not None:
        return (
            f"{now.number}  the same files packed another way: {was.digest[7:19]} -> {now.digest[7:19]}"
            f"  {size_text(was.size)} -> {size_text(now.size)}"
        )
    layer = was or now
    assert isinstance(layer, LayerState), "a difference has a side"
    return f"{layer.number}  {layer.digest[7:19]}  {size_text(layer.size)}  {_short(layer.created_by)}".rstrip()


def _file(difference: FileDifference) -> str:
    was, now = difference.was, difference.now
    if was is None or now is None:
        state = was or now
        assert isinstance(state, FileState), "a difference has a side"
        return f"{_described(state)}{_where(state.layer)}"
    words = [_aspect(aspect, was, now) for aspect in difference.aspects]
    layers = _where(now.layer) if was.layer == now.layer else f"  (layer {was.layer} -> {now.layer})"
    return f"{', '.join(words)}{layers}"


def _where(layer: int) -> str:
    return f"  (layer {layer})" if layer else ""


def _described(state: FileState) -> str:
    words = [state.kind, f"{state.mode:04o}", f"{state.uid}:{state.gid}"]
    if state.kind == "file":
        words.append(size_text(state.size))
    if state.kind == "symlink":
        words = ["symlink", f"-> {_short(state.link)}"]
    if state.kind in ("char", "block"):
        words.append(f"{state.major}:{state.minor}")
    return " ".join(words)


def _aspect(aspect: Aspect, was: FileState, now: FileState) -> str:
    match aspect:
        case "kind":
            return f"{_described(was)} -> {_described(now)}"
        case "content":
            return f"content, {was.size:,} -> {now.size:,} bytes" if was.size != now.size else f"content ({was.size:,} bytes both)"
        case "link":
            return f"link {_short(was.link)} -> {_short(now.link)}"
        case "device":
            return f"device {was.major}:{was.minor} -> {now.major}:{now.minor}"
        case "mode":
            return f"mode {was.mode:04o} -> {now.mode:04o}"
        case "owner":
            return f"owner {was.uid}:{was.gid} -> {now.uid}:{now.gid}"
        case "xattrs":
            return f"xattrs {_names(was)} -> {_names(now)}"
        case "hard-link":
            return f"hard link of {clean('/' + now.group)}" if now.group else f"no hard link of {clean('/' + was.group)} any more"
        case "mtime":
            return f"mtime {time_text(was.mtime_ns)} -> {time_text(now.mtime_ns)}"


def _names(state: FileState) -> str:
    return "{" + ", ".join(f"{clean(name)} ({len(value)} bytes)" for name, value in state.xattrs) + "}"


def time_text(time_ns: int | None) -> str:
    """RFC 3339 in UTC, with the fraction where there is one; seconds where a calendar has no such year."""
    if time_ns is None:
        return "none"
    seconds, fraction = divmod(time_ns, 10**9)
    tail = f".{fraction:09}".rstrip("0") if fraction else ""
    try:
        shown = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return f"@{seconds}{tail}"
    return f"{shown:%Y-%m-%dT%H:%M:%S}{tail}Z"


def _line(number: int | None, text: str) -> dict[str, object] | None:
    return None if number is None else {"number": number, "created_by": text}


def _state(state: FileState | None) -> dict[str, object] | None:
    if state is None:
        return None
    document: dict[str, object] = {
        "kind": state.kind,
        "mode": f"{state.mode:04o}",
        "uid": state.uid,
        "gid": state.gid,
        "mtime": None if state.mtime_ns is None else time_text(state.mtime_ns),
        "layer": state.layer,
    }
    if state.kind == "file":
        document |= {"size": state.size, "sha256": state.sha256}
    if state.kind == "symlink":
        document["link"] = _plain(state.link)
    if state.kind in ("char", "block"):
        document["device"] = f"{state.major}:{state.minor}"
    if state.xattrs:
        document["xattrs"] = {_plain(name): value for name, value in state.xattrs}
    if state.group:
        document["hard_link"] = _plain(state.group)
    return document


def _plain(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
