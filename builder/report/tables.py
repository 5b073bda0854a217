"""The tables of a report: steps with hit or miss and why, layers with their largest files, outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from builder.history.cause import Cause, FileChange
from builder.report import words
from builder.report.facts import Facts, FileSize, LayerFacts, StepFacts
from builder.report.html import Html, join, tag, text

SHOWN_FILES = 6

_CLASSES = {"ran": "ran", "cached": "hit", "failed": "failed"}


def steps_table(facts: Facts) -> Html:
    """Every step, in the order of the lines: what it is, hit or miss and why, when it began, how long it took, what it added."""
    longest = max((step.duration for step in facts.steps), default=0)
    caption = "Steps in the order of the Dockerfile; times count from the beginning of the build."
    heads = ("Step", "Result", "Began", "Took", "Added")
    ordered = sorted(facts.steps, key=lambda step: step.record.span.line if step.record.span is not None else 0)
    return _table(caption, heads, (2, 3, 4), join(_step_row(step, longest) for step in ordered), narrow_without=(2,))


def _step_row(step: StepFacts, longest: int) -> Html:
    state = _CLASSES.get(step.record.outcome, "off")
    return tag(
        "tr",
        {},
        tag(
            "th",
            {"scope": "row"},
            tag("code", {}, text(words.name(step))),
            tag("span", {"class": "place"}, text(words.place(step))),
            _why(step),
        ),
        tag("td", {}, tag("span", {"class": f"state {state}"}, text(words.outcome(step)))),
        tag("td", {"class": "num wide"}, text(words.seconds(step.start) if step.start >= 0 else "")),
        tag("td", {"class": "num"}, _took(step), _meter(step.duration, longest)),
        tag("td", {"class": "num"}, text(words.size(step.size))),
    )


def _took(step: StepFacts) -> Html:
    if step.duration or not step.took_before:
        return text(words.took(step))
    return join((text(words.seconds(step.took_before)), tag("small", {}, text("saved"))))


def _why(step: StepFacts) -> Html:
    notes = list(_notes(step))
    rows = [tag("li", {}, text(note)) for note in notes] + [_cause(cause) for cause in step.causes if cause.kind != "first-build"]
    return tag("ul", {"class": "why"}, *rows) if rows else Html("")


def _notes(step: StepFacts) -> Iterator[str]:
    if step.record.by_content:
        yield "a hit after all: what it stands on came out the same"
    if step.record.error:
        yield step.record.error
    usage = step.record.usage
    if usage is not None and step.ran and usage.peak_memory:
        cpu = usage.user_ns + usage.system_ns
        yield f"{words.seconds(cpu)} of processor, {words.size(usage.peak_memory)} of memory at most"


def _cause(cause: Cause) -> Html:
    if not cause.files:
        return tag("li", {}, text(cause.text))
    shown = [tag("li", {}, _change(change)) for change in cause.files[:SHOWN_FILES]]
    rest = cause.files[SHOWN_FILES:]
    if rest:
        more = tag("ul", {"class": "files"}, *(tag("li", {}, _change(change)) for change in rest[:500]))
        shown.append(tag("li", {}, tag("details", {}, tag("summary", {}, text(f"{len(rest)} more")), more)))
    return tag("li", {}, text(cause.text), tag("ul", {"class": "files"}, *shown))


def _change(change: FileChange) -> Html:
    detail = f" ({change.detail})" if change.detail else ""
    return join((text("+".join(change.aspects) + " "), tag("code", {}, text(change.path)), text(detail)))


def layers_table(facts: Facts) -> Html:
    """Every layer, lowest first, with its largest files behind a summary."""
    largest = max((layer.size for layer in facts.layers), default=0)
    caption = "Layers in the order they were laid; bytes of the files in each, and of the layer as it travels."
    body = join(_layer_row(layer, largest) for layer in facts.layers)
    return _table(caption, ("Layer", "Files", "Bytes", "Packed"), (1, 2, 3), body, narrow_without=(1,))


def _layer_row(layer: LayerFacts, largest: int) -> Html:
    told: list[Html] = [tag("code", {}, text(layer.title.strip().partition("\n")[0][:200]))]
    place = layer.place.partition("]")[0].removeprefix("[") if layer.place else ""
    notes = [word for word in (place, "" if layer.in_image else "not in the image") if word]
    if notes:
        told.append(tag("span", {"class": "place"}, text(", ".join(notes))))
    if not layer.known:
        told.append(tag("ul", {"class": "why"}, tag("li", {}, text("its files are not in the store"))))
    elif layer.largest:
        told.append(tag("details", {}, tag("summary", {}, text(_summary(layer))), _files(layer.largest)))
    return tag(
        "tr",
        {},
        tag("th", {"scope": "row"}, *told),
        tag("td", {"class": "num wide"}, text(f"{layer.count:,}" if layer.known else "")),
        tag("td", {"class": "num"}, text(words.size(layer.size) if layer.known else ""), _meter(layer.size, largest)),
        tag("td", {"class": "num"}, text(words.size(layer.packed))),
    )


def _summary(layer: LayerFacts) -> str:
    first = layer.largest[0]
    return f"largest: /{first.path} {words.size(first.size)}" if layer.count == 1 else f"the largest of {layer.count:,} files"


def _files(files: Sequence[FileSize]) -> Html:
    rows = [tag("li", {}, tag("code", {}, text(f"/{file.path}")), text(f"  {words.size(file.size)}")) for file in files]
    return tag("ul", {"class": "files"}, *rows)


def outputs_table(facts: Facts) -> Html:
    """What was written, and how long that took."""
    rows = [
        tag(
            "tr",
            {},
            tag(
                "th",
                {"scope": "row"},
                text(output.name),
                tag("ul", {"class": "why"}, *(tag("li", {}, text(line)) for line in output.details)),
            ),
            tag("td", {}, text("failed" if output.error else "done")),
            tag("td", {"class": "num"}, text(words.seconds(output.duration_ns))),
        )
        for output in facts.exports
    ]
    return _table("Outputs of the build.", ("Output", "Result", "Took"), (2,), join(rows))


def _table(caption: str, heads: Sequence[str], numbers: Sequence[int], body: Html, narrow_without: Sequence[int] = ()) -> Html:
    """A table whose numbers stand at the right; some columns are left out where the page is narrow."""
    names: list[Html] = []
    for column, head in enumerate(heads):
        classes = [*(["num"] if column in numbers else []), *(["wide"] if column in narrow_without else [])]
        names.append(tag("th", {"scope": "col", "class": " ".join(classes) or None}, text(head)))
    return tag("table", {}, tag("caption", {}, text(caption)), tag("thead", {}, tag("tr", {}, *names)), tag("tbody", {}, body))


def _meter(value: int, most: int) -> Html:
    """A bar under a number: the eye compares lengths; the number says it to everybody."""
    if not value or not most:
        return Html("")
    bar = tag("rect", {"width": f"{100 * value / most:.1f}%", "height": 4})
    return tag("svg", {"class": "meter", "aria-hidden": "true", "height": 4}, bar)


def critical_list(facts: Facts) -> Html:
    """The chain of steps that the build had to wait for."""
    steps: list[StepFacts] = [facts.steps[index] for index in facts.critical]
    items = [tag("li", {}, tag("code", {}, text(words.name(step, 100))), text(f"  {words.seconds(step.duration)}")) for step in steps[:30]]
    if len(steps) > 30:
        rest = sum(step.duration for step in steps[30:])
        items.append(tag("li", {}, text(f"and {len(steps) - 30} more, {words.seconds(rest)}")))
    return tag("ol", {"class": "path"}, *items)
