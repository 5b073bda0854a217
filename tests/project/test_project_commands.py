"""Every command that the README, docs/, examples/ and the help show is executed, as it is written, and does what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.cli.main import COMMANDS
from tests.peers.distribution import Registry
from tests.privileges import needs_root_of_the_machine
from tests.project.world import World, git_server
from tests.project.written import Written, in_help, on_page, pages

pytestmark = [
    needs_root_of_the_machine,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("written-commands"),
]

ELSEWHERE = {
    "make demo": "test_project_demo.py runs its script",
    "make test": "this is it",
    "pip install layerwright": "installing needs an index of packages; CI does it from the checkout",
    "apt-get install docker-registry": "it changes the machine; CI does it",
    "docker-registry serve config.yml": "tests/peers/distribution.py starts the registry so",
    "build --build-arg BASE=debian:bookworm -t app examples/python-app": "test_acceptance_debian.py builds it",
    "layerwright rm": "the command's name, in a sentence",
}
"""Commands that another test runs, or that are not for a test to run; each with its reason."""

DEVELOPERS = ("valgrind ", "perf ", "strace ", "python -X importtime")
"""How docs/performance.md measured; these tools are not among what the tests install."""

WITH_DOCKER = re.compile(r"\bdocker (load|save)\b")
"""test_project_commands_docker.py runs these."""

TYPED: dict[str, list[tuple[str, str]]] = {
    "layerwright login registry.example": [("sername", "me\n"), ("assword", "hush\n")],
    "layerwright debug": [("after [", "exit 0\n")],
    "layerwright debug last 3 --before": [("before [", "exit 0\n")],
    'layerwright debug last "RUN make" --secret id=token,src=token.txt': [("after [", "exit 0\n")],
    "build --on-fail=shell .": [],
}
"""What somebody waits for and types at those that need a terminal."""

TAKES_AWAY = re.compile(r"layerwright (rm|prune|tag|load)\b")
"""After these the images are made again."""

CODES = {
    "layerwright diff app:1 app:2": (1,),
    "layerwright diff app:1 docker-image://registry.example/app:1": (0, 1),
}
"""Exit codes other than 0: a difference is 1, and what is in the registry depends on which page was before."""


def _once(written: list[list[Written]]) -> dict[str, list[Written]]:
    """By page or help; a command that stands in several places is run for the first."""
    seen: set[str] = set()
    groups: dict[str, list[Written]] = {}
    for place in written:
        for command in place:
            if command.text not in seen and command.text not in ELSEWHERE and not command.text.startswith(DEVELOPERS):
                seen.add(command.text)
                if not WITH_DOCKER.search(command.text):
                    groups.setdefault(command.page, []).append(command)
    return groups


GROUPS = _once([*(on_page(page) for page in pages()), *(in_help(name) for name in (None, *COMMANDS))])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, box_tar: Path, registry: Registry) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("world")
    with git_server(directory / "git", box_tar) as url:
        world = World(directory, box_tar, registry, url)
        world.prepare()
        yield world


@pytest.mark.parametrize("place", GROUPS)
def test_commands_do_what_they_say(place: str, world: World) -> None:
    world.build_with_logs()
    for command in GROUPS[place]:
        text = command.text
        if re.fullmatch(r"build( -[^ ]+)*( [^ .]+)?", text) and not text.endswith((" .", "outline")):
            text += " ."  # an option shown in a sentence, without a context
        code, said = world.run(text, TYPED.get(command.text))
        assert code in CODES.get(command.text, (0,)), f"{command.page}:{command.line}: {command.text}\n{said}"
        assert "Traceback" not in said, said
    if any(TAKES_AWAY.search(command.text) for command in GROUPS[place]):
        world.prepare()


def test_every_help_has_an_example_of_its_command() -> None:
    for name in COMMANDS:
        assert any(f"layerwright {name}" in written.text or f"{name} " in written.text for written in in_help(name)), name
    assert in_help()


def test_the_failing_build_of_the_documentation_can_be_stepped_into(world: World) -> None:
    """--on-fail=shell and debug, where there is a failure."""
    code, said = world.run("build -f failing.Dockerfile --on-fail=shell .", [("a shell in its", "cat /half; exit\n")])
    assert code == 1
    assert "half" in said
    assert "error[run-failed]" in said
    code, said = world.run("layerwright debug", [("after [", "exit 7\n")])
    assert code == 7


def test_commands_are_found() -> None:
    """So that nothing is executed because nothing is found."""
    found = {command.text for page in pages() for command in on_page(page)}
    assert len(found) > 50
    assert set(ELSEWHERE) <= found
    assert {"build --check .", "layerwright builds last", "build --explain"} <= found
