"""What a report advises: a table of builds, and what is said of each."""

from __future__ import annotations

import msgspec
import pytest

from builder.graph.operations import CacheSpec
from builder.history.cause import Cause, FileChange
from builder.report.advice import advise
from builder.report.facts import ContextFile, Facts, FileSize, LayerFacts, StepFacts
from builder.report.managers import managers_of
from tests.report.pages import copy, facts, run, step

EVERYTHING = step(
    "COPY . .", reads_context=True, operation=copy("."), causes=(Cause("files", "", "", (FileChange("src/a.py", ("content",)),)),)
)
SOME = step("COPY src/ src/", reads_context=True, operation=copy("src/"))

GIT = (ContextFile(0, ".git/objects/x", 9), ContextFile(0, "a.py", 1))
MOVED = Cause("base", "the base debian changed: sha256:1 -> sha256:2", "debian")
LISTS = FileSize("var/lib/apt/lists", 8_000_000)


def titles(shown: Facts) -> list[str]:
    return [advice.title for advice in advise(shown)]


def slow(command: str, *inputs: int, **fields: object) -> StepFacts:
    """A RUN of four seconds."""
    return step(f"RUN {command}", *inputs, ms=4_000, **fields)  # type: ignore[arg-type]


def mounted(command: str, target: str) -> StepFacts:
    action = msgspec.structs.replace(run(command), mounts=(CacheSpec(target, "x"),))
    return slow(command, operation=action)


def layer(size: int, *waste: FileSize, in_image: bool = True) -> LayerFacts:
    return LayerFacts("RUN x", "[app 2/3] RUN x", size, None, 9, (), waste, in_image=in_image)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (facts(EVERYTHING, slow("npm ci", 0)), ["Copy only what npm reads, and the rest after it", "Give npm a cache mount"]),
        (facts(EVERYTHING, slow("apt-get -y install x", 0)), ["Move apt above the COPY", "Give apt a cache mount"]),
        (facts(SOME, slow("npm ci", 0)), ["Give npm a cache mount"]),
        (facts(EVERYTHING, slow("make", 0)), []),
        (facts(EVERYTHING, step("RUN npm ci", 0, ms=100)), []),
        (facts(mounted("npm ci", "/root/.npm")), []),
        (facts(mounted("npm ci", "/root")), []),
        (facts(mounted("pip install x", "/root/.npm")), ["Give pip a cache mount"]),
        (facts(slow("make", causes=(Cause("argument", "it changed", "REVISION"),))), ["Declare ARG REVISION later"]),
        (facts(slow("make $REVISION", causes=(Cause("argument", "it changed", "REVISION"),))), []),
        (facts(slow("chown -R app /app", size=5_000_000)), ["Use COPY --chown in place of chown -R"]),
        (facts(slow("chmod -vR a+r /app", size=5_000_000)), ["Use COPY --chmod in place of chmod -R"]),
        (facts(slow("chown -R app /app", size=5_000)), []),
        (facts(step("RUN x"), layers=(layer(9_000_000, LISTS),)), ["Keep /var/lib/apt/lists out of the image"]),
        (facts(step("RUN x"), layers=(layer(9_000_000, FileSize("tmp", 8_000_000), in_image=False),)), []),
        (
            facts(step("debian", kind="base"), slow("make", 0, causes=(MOVED,))),
            ["Pin debian to a digest"],
        ),
        (facts(EVERYTHING, context_files=GIT), ["Leave out of the context what no image needs"]),
        (facts(EVERYTHING, context_files=(ContextFile(0, "a.py", 1_000_000),)), []),
        (facts(SOME, context_files=(ContextFile(0, "src/.git/x", 9),)), []),
    ],
)
def test_advice(shown: Facts, expected: list[str]) -> None:
    assert titles(shown) == expected


def test_advice_has_the_numbers_and_the_lines() -> None:
    order, mount = advise(facts(EVERYTHING, slow("npm ci", 0)))
    assert order.lines == ("COPY package.json package-lock.json ./", "RUN npm ci", "COPY . .")
    assert "It took 4.0\u202fs" in order.why
    assert "This time it was src/a.py." in order.why
    assert (order.saves_ns, mount.saves_ns) == (4 * 10**9, 2 * 10**9)
    assert mount.lines == ("RUN --mount=type=cache,target=/root/.npm \\\n    npm ci",)


def test_what_a_context_need_not_hold() -> None:
    taken = {
        ".git/x": 5_000,
        "web/node_modules/a/b.js": 70,
        "web/node_modules/c.js": 30,
        "deep/x.log": 20,
        "disk.img": 9_000_000,
        "a.py": 10,
    }
    files = [ContextFile(0, path, size) for path, size in taken.items()]
    (advice,) = advise(facts(EVERYTHING, context_files=tuple(files)))
    assert advice.lines == ("# .dockerignore", "disk.img", ".git", "**/node_modules", "**/*.log")
    assert advice.saves_bytes == 9_000_000 + 5_000 + 100 + 20


def test_a_hit_is_worth_nothing_now() -> None:
    hit = step("RUN npm ci", 0, outcome="cached", took_before=5 * 10**9)
    assert [(advice.saves_ns, "It was a hit now; it took 5.0" in advice.why) for advice in advise(facts(EVERYTHING, hit))] == [
        (0, True),
        (0, True),
    ]


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("apt-get update && apt-get install -y curl", "apt"),
        ("apt -y install curl", "apt"),
        ("set -e; apk add --no-cache git", "apk"),
        ("microdnf install -y x", "dnf"),
        ("python3 -m pip install -r requirements.txt", "pip"),
        ("/venv/bin/pip3 install x", "pip"),
        ("npm ci && npm run build", "npm"),
        ("yarn", "yarn"),
        ("yarn --frozen-lockfile && yarn build", "yarn"),
        ("yarn build", ""),
        ("pnpm i", "pnpm"),
        ("go build ./...", "go"),
        ("cargo build --release", "cargo"),
        ("./gradlew build", "gradle"),
        ("mvn -q package", "maven"),
        ("(cd x; bundle install)", "bundler"),
        ("apt-cache search x", ""),
        ("echo npm", ""),
        ("npm run build", ""),
        ("ago build", ""),
        ("chip install", ""),
    ],
)
def test_package_managers_are_known_by_their_commands(command: str, names: str) -> None:
    assert [manager.name for manager in managers_of(command)] == names.split()
