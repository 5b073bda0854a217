"""Dockerfiles in the shape of well-known images, from testdata/realworld: built on Debian, and their programs run.

Acceptance 6 of the Dockerfile language. They fetch packages: skipped where Debian, PyPI or npm cannot be reached.
"""

from __future__ import annotations

import pytest

from tests.realworld.projects import Projects, need

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("realworld")]


@pytest.fixture(scope="module")
def buildpack(projects: Projects) -> Projects:
    """With buildpack-deps:bookworm in the store, which others build on."""
    projects.build("buildpack-deps")
    return projects


def test_buildpack_deps_can_fetch_and_compile(buildpack: Projects) -> None:
    versions = "wget --version | head -n 1; patch --version | head -n 1; gcc -dumpversion; make -v | head -n 1"
    said = buildpack.run("buildpack-deps", "sh", "-c", versions)
    wget, patch, gcc, make = said.splitlines()
    assert wget.startswith("GNU Wget")
    assert patch.startswith("GNU patch")
    assert gcc == "12"
    assert make.startswith("GNU Make")


def test_c_project_is_configured_made_checked_and_installed(buildpack: Projects) -> None:
    buildpack.build("c-project")
    assert buildpack.run("c-project", "a" * 64) == "64 bytes become 12\n"
    assert buildpack.run("c-project") == "4 bytes become 12\n"
    config = buildpack.config("c-project")
    assert config["User"] == "1000:1000"
    assert config["Labels"] == {
        "org.opencontainers.image.title": "squash",
        "org.opencontainers.image.description": "says how small a word becomes",
    }


def test_c_project_static_on_scratch(buildpack: Projects) -> None:
    buildpack.build("c-project", "--target", "tiny", "-t", "tiny:bookworm")
    assert buildpack.run("tiny") == "4 bytes become 12\n"
    config = buildpack.config("tiny")
    assert (config["Entrypoint"], config["Cmd"]) == (["/squash"], ["tiny"])


def test_python_web_app_answers_through_compiled_wheels(buildpack: Projects) -> None:
    need("PyPI")
    buildpack.build("python-web", "--build-arg", "REVISION=v12")
    page, speedups = buildpack.run("python-web").splitlines()
    assert page == "<p>Hello &lt;you&gt;, from web at 12</p>"
    assert speedups == "escaped by .so of /venv"


def test_node_app_is_tested_and_serves(projects: Projects) -> None:
    need("npm")
    projects.build("node-app")
    said = projects.run("node-app", "node", "server.js", "--once")
    assert said == "86400000 ms are 1 day\nproduction 1000 false\n"


def test_debian_repack_keeps_diversions_alternatives_and_owners(projects: Projects) -> None:
    projects.build("debian-repack")
    lines = projects.run("debian-repack").splitlines()
    assert lines == [
        "Griaß di, operator",
        "LANG=de_AT.utf8",
        "Montag 14:00",
        "Griaß di, operator",
        "/usr/bin/greeter",
        "root:ops 644 /srv/share/groups",
        "operator:ops 644 /srv/share/of-operator",
        "root:ops 644 /srv/share/of-ops",
        "root:ops 644 /srv/share/of-root",
        "root:root 4755 /usr/local/bin/id-setuid",
        "0",
        "operator ALL=(ALL) NOPASSWD: ALL",
        "ops adm sudo",
        "0",
    ]


def test_web_front_serves_what_another_stage_rendered(projects: Projects) -> None:
    projects.build("web-front")
    said = projects.run("web-front", "once", "/en/about")
    assert "HTTP/1.1 200 OK" in said
    assert said.endswith("<h1>About</h1>\n<p>This is about it.</p>\n")
    assert "GET /en/about/index.html 200" in said
