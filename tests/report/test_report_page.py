"""The page as a document: well-formed, self-contained, nothing in it that a build's names could break."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re

import pytest

from builder.progress.sanitise import clean
from builder.report.facts import Facts
from builder.report.page import render
from tests.report.pages import Page, facts, hostile, step

PLAIN = facts(step("RUN one"), step("RUN two", 0, outcome="cached"))
HOSTILE = (
    "<script>alert(1)</script>",
    "</style></pre></title><img src=x onerror=alert(1)>",
    "\" onload='alert(1)' x=\"",
    "&amp;&lt;--><!--",
    "javascript:alert(1)",
    "\x1b[31mred\x07\u202ereversed\udcff\x00",
    "]]></svg><![CDATA[",
)


@pytest.mark.parametrize("shown", [PLAIN, facts(), *map(hostile, HOSTILE)], ids=lambda shown: ascii(shown.name))
def test_a_page_is_sound_and_loads_nothing(shown: Facts) -> None:
    data = render(shown)
    page = Page(data)
    names = {name for name, _ in page.elements}
    assert names.isdisjoint(
        {"script", "img", "iframe", "object", "embed", "form", "base", "a:href", "link", "use", "image", "foreignobject"}
    )
    assert len(page.all("style")) == 1
    for name, attributes in page.elements:
        assert not [key for key in attributes if key.startswith("on") or key in ("style", "src", "srcset", "xlink:href")], name
        assert attributes.get("href", "#").startswith("#")
    style = re.search(rb"<style>(.*?)</style>", data, re.DOTALL)
    assert style is not None
    assert b"url(" not in style[1]
    assert b"@import" not in style[1]
    digest = base64.b64encode(hashlib.sha256(style[1]).digest()).decode()
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_names_come_out_as_text(text: str) -> None:
    """Every place shows the name itself, made harmless for a terminal too, and nothing of it is markup."""
    page = Page(render(hostile(text)))
    shown = [data for _, data in page.texts]
    safe = clean(text)
    assert sum(data.count(safe) for data in shown) >= 20
    assert {attributes.get("aria-label") for _, attributes in page.elements}.isdisjoint({safe})


@pytest.mark.parametrize("shown", [PLAIN, hostile("app")], ids=["plain", "full"])
def test_whoever_cannot_see_it_can_read_it(shown: Facts) -> None:
    page = Page(render(shown))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for name, attributes in page.elements:
        for reference in attributes.get("aria-labelledby", "").split():
            assert reference in ids, name
        if attributes.get("href"):
            assert attributes["href"].removeprefix("#") in ids
        if attributes.get("tabindex"):
            assert attributes["tabindex"] == "0"
            assert attributes["role"] == "region"
            assert attributes["aria-label"]
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch("h[1-6]", name)]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.all("th"))
    for attributes in page.all("svg"):
        described = attributes.get("role") == "img" and attributes.get("aria-labelledby")
        assert described or attributes.get("aria-hidden") == "true" or attributes["class"].startswith("bar ")


def test_a_page_says_what_happened() -> None:
    failed = facts(
        step("RUN fine"),
        step("RUN broken", 0, outcome="failed", start=10),
        step("RUN never", 1, outcome="waiting"),
        state="failed",
        error="it broke",
        log=("last words",),
    )
    texts = [data for _, data in Page(render(failed)).texts]
    for expected in ("Failed: app", "it broke", "last words", "failed", "not reached", "None."):
        assert expected in texts
    hits = facts(step("RUN one", outcome="cached", took_before=5 * 10**9))
    texts = [data for _, data in Page(render(hits)).texts]
    assert "Nothing: every step that was needed was a hit." in texts
    assert "5.0\u202fs saved" in texts


def test_a_thousand_steps_are_one_page_of_a_bearable_size() -> None:
    steps = [step(f"RUN step {number}", *([number - 1] if number else []), start=number * 10) for number in range(1_000)]
    data = render(facts(*steps))
    page = Page(data)
    assert len(data) < 2 << 20
    assert sum("box" in attributes.get("class", "").split() for attributes in page.all("g")) < 100
    assert len(page.all("tr")) > 1_000
