"""The page: one self-contained HTML file that loads nothing, runs nothing, and may be opened by anybody.

Its Content-Security-Policy forbids everything but the one style sheet in it, which is named by its digest.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from builder.report import words
from builder.report.facts import Advice, Facts
from builder.report.graph import draw_graph
from builder.report.html import Html, join, lines, tag, text
from builder.report.tables import critical_list, layers_table, outputs_table, steps_table
from builder.report.timeline import draw_timeline

Section = tuple[str, str, Html]
"""An id, a heading, and what stands below it."""


def render(facts: Facts) -> bytes:
    """The whole file."""
    style = files("builder.report").joinpath("style.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = tag(
        "head",
        {},
        tag("meta", {"charset": "utf-8"}),
        tag("meta", {"http-equiv": "Content-Security-Policy", "content": policy}),
        tag("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        tag("meta", {"name": "color-scheme", "content": "light dark"}),
        tag("title", {}, text(f"Build of {facts.name}")),
        # Our own file, with nothing of the build's in it; escaping would change its digest.
        Html(f"<style>{style}</style>"),
    )
    sections = _sections(facts)
    body = tag(
        "body",
        {},
        tag("a", {"class": "skip", "href": "#content"}, text("Skip to the content")),
        _header(facts, sections),
        tag("main", {"id": "content"}, *(_section(*section) for section in sections)),
        tag("footer", {}, text(f"layerwright report of build {facts.id}")),
    )
    page = "<!DOCTYPE html>\n" + tag("html", {"lang": "en"}, head, body) + "\n"
    return page.encode("utf-8")


def _sections(facts: Facts) -> list[Section]:
    found: list[Section] = [("faster", "What would make the next build faster", _advice(facts))]
    if facts.steps:
        found += [("graph", "Instruction graph", _graph(facts)), ("timeline", "Timeline", _timeline(facts))]
        found.append(("steps", "Hits and misses", _steps(facts)))
    if facts.layers:
        found.append(("layers", "Layers", layers_table(facts)))
    if facts.exports:
        found.append(("outputs", "Outputs", outputs_table(facts)))
    found.append(("warnings", "Warnings", _warnings(facts)))
    return found


def _section(name: str, heading: str, content: Html) -> Html:
    return tag("section", {"id": name, "aria-labelledby": f"{name}-heading"}, tag("h2", {"id": f"{name}-heading"}, text(heading)), content)


def _header(facts: Facts, sections: list[Section]) -> Html:
    asked = [("Dockerfile", facts.dockerfile), ("Context", facts.context), ("Target", facts.target)]
    asked += [("Platform", ", ".join(facts.platforms)), ("Digest", facts.digest), ("Build", facts.id)]
    rows = [join((tag("dt", {}, text(name)), tag("dd", {}, text(value)))) for name, value in asked if value]
    links = [tag("li", {}, tag("a", {"href": f"#{name}"}, text(heading))) for name, heading, _ in sections]
    state = {"done": "Built", "failed": "Failed", "cancelled": "Cancelled"}[facts.state]
    return tag(
        "header",
        {},
        tag("h1", {}, text(f"{state}: {facts.name}")),
        tag("p", {"class": "soft"}, text(f"{words.moment(facts.started_ns)}, in {words.seconds(facts.duration)}")),
        _error(facts),
        _numbers(facts),
        tag("dl", {"class": "asked"}, *rows),
        tag("nav", {"aria-label": "Sections"}, tag("ul", {}, *links)),
    )


def _error(facts: Facts) -> Html:
    if not facts.error:
        return Html("")
    log = _scrolled("pre", "Last lines of the step that failed", lines(facts.log)) if facts.log else Html("")
    return tag("div", {"class": "error"}, tag("p", {}, text(facts.error)), log)


def _numbers(facts: Facts) -> Html:
    counted = [step for step in facts.steps if step.record.kind == "step"]
    ran = sum(step.record.outcome in ("ran", "failed", "cancelled") for step in counted)
    hits = sum(step.record.outcome in ("cached", "not-needed") for step in counted)
    saved = sum(step.took_before for step in counted)
    waited = sum(facts.steps[index].duration for index in facts.critical)
    image = [layer for layer in facts.layers if layer.in_image and layer.known]
    rows = [
        ("Time", words.seconds(facts.duration), f"{words.seconds(waited)} of it on the critical path" if waited else "nothing had to run"),
        ("Steps run", str(ran), f"of {len(counted)}"),
        ("Hits", str(hits), f"{words.seconds(saved)} saved" if saved else ""),
        (
            "Files in the image" if facts.state == "done" else "Files so far",
            words.size(sum(layer.size for layer in image)),
            "in 1 layer" if len(image) == 1 else f"in {len(image)} layers",
        ),
        ("Warnings", str(len(facts.warnings)), ""),
    ]
    return tag("dl", {"class": "numbers"}, *(_number(*row) for row in rows))


def _number(name: str, value: str, note: str) -> Html:
    small = tag("small", {}, text(note)) if note else Html("")
    return tag("div", {}, tag("dt", {}, text(name)), tag("dd", {}, text(value), small))


def _advice(facts: Facts) -> Html:
    if not facts.advice:
        ran = any(step.ran for step in facts.steps)
        return tag("p", {}, text("Nothing stands out." if ran else "Nothing: every step that was needed was a hit."))
    return tag("ul", {"class": "advice"}, *(_advised(advice, number) for number, advice in enumerate(facts.advice, 1)))


def _advised(advice: Advice, number: int) -> Html:
    worth = [f"up to {words.seconds(advice.saves_ns)}"] if advice.saves_ns >= 10**8 else []
    worth += [words.size(advice.saves_bytes)] if advice.saves_bytes else []
    written = lines(line for part in advice.lines for line in part.split("\n"))
    return tag(
        "li",
        {},
        tag("h3", {}, text(advice.title)),
        tag("p", {"class": "worth"}, tag("code", {}, text(advice.place))),
        tag("p", {}, text(advice.why), text(f" Worth {' and '.join(worth)}.") if worth else Html("")),
        _scrolled("pre", f"What to write for advice {number}", written) if advice.lines else Html(""),
    )


def _graph(facts: Facts) -> Html:
    names = [
        ("ran", "ran"),
        ("hit", "hit"),
        ("failed", "failed"),
        ("off", "not needed or not reached"),
        ("base", "base"),
        ("critical", "critical path"),
    ]
    key = [tag("li", {"class": name}, tag("i", {}), text(shown)) for name, shown in names]
    picture = _scrolled("div", "Instruction graph, can be scrolled", draw_graph(facts.steps), "picture scroll")
    return join((picture, tag("ul", {"class": "key"}, *key)))


def _timeline(facts: Facts) -> Html:
    drawn = draw_timeline(facts)
    if not drawn:
        return tag("p", {}, text("Nothing ran."))
    if not facts.critical:
        return drawn
    waited = sum(facts.steps[index].duration for index in facts.critical)
    told = (
        f"The critical path, outlined above: these steps waited for one another and took {words.seconds(waited)} of"
        f" {words.seconds(facts.duration)}. Only making one of them faster, or a hit, makes the build faster."
    )
    return join((drawn, tag("p", {}, text(told)), critical_list(facts)))


def _steps(facts: Facts) -> Html:
    told = (
        f"Misses are explained against build {facts.against[:12]}."
        if facts.against
        else "There is no earlier build to explain misses against."
    )
    return join((tag("p", {}, text(told)), steps_table(facts)))


def _warnings(facts: Facts) -> Html:
    if not facts.warnings:
        return tag("p", {}, text("None."))
    found: list[Html] = []
    for number, warning in enumerate(facts.warnings, 1):
        where = f"{warning.code}, line {warning.line}" if warning.line else warning.code
        shown = _scrolled("pre", f"Warning {number} in its place", lines(warning.text.split("\n")))
        found.append(join((tag("h3", {}, text(where)), shown)))
    return join(found)


def _scrolled(name: str, label: str, content: Html, classes: str | None = None) -> Html:
    """What may be wider or higher than its place: the keyboard reaches and scrolls it (WCAG 2.1.1)."""
    return tag(name, {"class": classes, "tabindex": 0, "role": "region", "aria-label": label}, content)
