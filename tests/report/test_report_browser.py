"""The page in a real browser: `make prove` installs Chromium and axe-core, and where they are these tests run.

LAYERWRIGHT_AXE names axe.min.js; else it is looked for below the virtual environment, where the Makefile puts it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.report.facts import Advice, Facts, FileSize, LayerFacts
from builder.report.page import render
from tests.report.browser import Browser, browser, chromium
from tests.report.pages import MS, facts, hostile, step

PROGRAM = chromium()
AXE = Path(os.environ.get("LAYERWRIGHT_AXE") or f"{sys.prefix}/axe/node_modules/axe-core/axe.min.js")
SKIP_LINK = "document.activeElement.className"

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="there is no chromium; `make prove` installs it"),
    pytest.mark.skipif(not os.environ.get("LAYERWRIGHT_PROVE"), reason="takes a browser; set LAYERWRIGHT_PROVE=1"),
    pytest.mark.xdist_group("chromium"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert PROGRAM is not None
    with browser(PROGRAM, tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def build() -> Facts:
    """Something of everything."""
    stages = ("one", "two", "three")
    steps = [step("debian:bookworm", kind="base", stage="", outcome="cached")]
    for stage in stages:
        for number in range(6):
            below = len(steps) - 1 if number else 0
            outcome: Any = ("cached", "ran", "ran", "not-needed", "waiting", "failed")[number]
            steps.append(
                step(f"RUN {stage} {'long ' * 12}{number}", below, stage=stage, outcome=outcome, start=number * 20, ms=18, size=10**number)
            )
    steps.append(step("COPY --from=one / /", 18, 6, stage="three", start=200, ms=40, critical=True))
    whole = hostile("<b>a name that is rather long, with spaces and_without_any_for_quite_a_while_so_that_it_has_to_wrap</b>")
    layers = (LayerFacts("RUN x", "[one 2/3] RUN x", 5 * 10**6, 10**6, 3, (FileSize("usr/bin/a" + "b" * 80, 4 * 10**6),)),)
    advice = (Advice("Do", "[one 1/2] RUN x", "because", ("RUN " + "word " * 40,), 10**9, 10**6),)
    return facts(
        *steps, state="failed", error="it broke", log=whole.log, critical=(len(steps) - 1,), layers=layers, warnings=whole.warnings,
        exports=whole.exports, advice=advice, duration=260 * MS,
    )  # fmt: skip


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_bytes(render(build()))
    return path.as_uri()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1000, 2000])
def test_it_asks_for_nothing_and_complains_of_nothing(page: Browser, address: str, width: int, dark: bool) -> None:
    page.open(address, width, dark=dark)
    assert page.complaints == []
    assert page.requests == [address]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert len(page.picture()) > 10_000
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 2000])
def test_axe_finds_no_violation(page: Browser, address: str, width: int, dark: bool) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not here; `make prove` installs it")
    page.open(address, width, dark=dark)
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert found["testEngine"]["name"] == "axe-core"
    assert [(rule["id"], [node["html"][:200] for node in rule["nodes"]][:3]) for rule in found["violations"]] == []
    assert "color-contrast" in [rule["id"] for rule in found["passes"]]


def test_the_keyboard_reaches_everything(page: Browser, address: str) -> None:
    page.open(address, 1000)
    page.press("Tab", 9)
    assert page.evaluate(SKIP_LINK) == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    wanted = page.evaluate("document.querySelectorAll('a, summary, [tabindex]').length")
    seen: set[str] = set()
    for _ in range(wanted):
        place = "[...document.querySelectorAll('*')].indexOf(document.activeElement)"
        seen.add(str(page.evaluate(place)))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        page.press("Tab", 9)
    assert len(seen) == wanted


@pytest.mark.parametrize("text", ["<script>document.title='broken'</script>", "<img src=x onerror=\"document.title='broken'\">"])
def test_a_hostile_name_does_nothing(page: Browser, tmp_path: Path, text: str) -> None:
    path = tmp_path / "hostile.html"
    path.write_bytes(render(hostile(text)))
    page.open(path.as_uri(), 1000)
    assert page.evaluate("document.title") == f"Build of {text}"
    assert page.evaluate("document.querySelector('h1').textContent") == f"Failed: {text}"
    assert page.evaluate("document.querySelectorAll('script, img').length") == 0
    assert (page.complaints, len(page.requests)) == ([], 1)


def test_a_thousand_steps_open_in_two_seconds(page: Browser, tmp_path: Path) -> None:
    """Counted as processor time of the page's thread, to the second frame after the load: wall time counts the neighbours too."""
    steps = [step(f"RUN step {number}", *([number - 1] if number else []), start=number * 10) for number in range(1_000)]
    path = tmp_path / "long.html"
    path.write_bytes(render(facts(*steps, critical=tuple(range(1_000)))))
    page.call("Performance.enable", timeDomain="threadTicks")
    page.open(path.as_uri(), 1400)
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    spent = {metric["name"]: metric["value"] for metric in page.call("Performance.getMetrics")["metrics"]}
    assert page.evaluate("document.querySelectorAll('tbody tr').length") >= 1_000
    assert 0 < spent["TaskDuration"] < 2
