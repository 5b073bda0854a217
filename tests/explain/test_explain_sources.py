"""The table of edits, second part: mounts, flags of COPY, here-documents, URLs, repositories, images that moved, platforms."""

from __future__ import annotations

import functools
import http.server
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builder.ops.secrets import SecretValue
from tests.explain.told import Told, Why

Fields = dict[str, object]
Expected = dict[str, tuple[Why, ...]]

USES = "RUN cat /x* > /seen || true"

EDITS: list[tuple[str, str, str, Fields, Expected]] = [
    # name, the instruction before, the instruction after, what the second build is given, what is said
    (
        "secret id", "RUN --mount=type=secret,id=one true", "RUN --mount=type=secret,id=two true", {},
        {"RUN --mount=type=secret,id=two true": (("instruction", "RUN --mount=type=secret,id=one true"),)},
    ),
    (
        "secret by an argument", "RUN --mount=type=secret,id=$WHICH true", "", {"build_args": {"WHICH": "two"}},
        {"RUN --mount=type=secret,id=$WHICH true": (("argument", "WHICH"), ("option", "mounts"))},
    ),
    ("value of a secret", "RUN --mount=type=secret,id=one true", "", {"secrets": {"one": SecretValue(b"other")}}, {}),
    (
        "target of a mount", "RUN --mount=type=cache,target=/one true", "RUN --mount=type=cache,target=/two true", {},
        {"RUN --mount=type=cache,target=/two true": (("instruction", "RUN --mount=type=cache,target=/one true"),)},
    ),
    (
        "kind of a mount", "RUN --mount=type=cache,target=/m true", "RUN --mount=type=tmpfs,target=/m true", {},
        {"RUN --mount=type=tmpfs,target=/m true": (("instruction", "RUN --mount=type=cache,target=/m true"),)},
    ),
    (
        "target of a mount by an argument", "RUN --mount=type=tmpfs,target=/$WHICH true", "", {"build_args": {"WHICH": "two"}},
        {"RUN --mount=type=tmpfs,target=/$WHICH true": (("argument", "WHICH"), ("option", "mounts"))},
    ),
    (
        "chmod of a COPY", "COPY --chmod=644 file /x", "COPY --chmod=600 file /x", {},
        {"COPY --chmod=600 file /x": (("instruction", "COPY --chmod=644 file /x"),)},
    ),
    (
        "chown of a COPY", "COPY --chown=1 file /x", "COPY --chown=2 file /x", {},
        {"COPY --chown=2 file /x": (("instruction", "COPY --chown=1 file /x"),)},
    ),
    (
        "destination of a COPY", "COPY file /x", "COPY file /xx", {},
        {"COPY file /xx": (("instruction", "COPY file /x"),)},
    ),
    (
        "destination of a COPY by an argument", "COPY file /x/$WHICH", "", {"build_args": {"WHICH": "two"}},
        {"COPY file /x/$WHICH": (("argument", "WHICH"),)},
    ),
    (
        "here-document of a RUN", "RUN <<EOF\necho one > /x\nEOF", "RUN <<EOF\necho two > /x\nEOF", {},
        {"RUN <<EOF": (("instruction", ""),)},
    ),
    (
        "here-document of a COPY", "COPY <<EOF /x\none\nEOF", "COPY <<EOF /x\ntwo\nEOF", {},
        {"COPY <<EOF /x": (("instruction", "COPY <<EOF /x"),)},
    ),
    (
        "network of a RUN", "RUN --network=none true", "RUN --network=default true", {},
        {"RUN --network=default true": (("instruction", "RUN --network=none true"), ("option", "network"))},
    ),
    ("directory", "WORKDIR /one", "WORKDIR /two", {}, {"WORKDIR /two": (("instruction", "WORKDIR /one"),)}),
    ("metadata only", "LABEL a=1", 'ENTRYPOINT ["/bin/true"]', {}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "fields", "expected"), [pytest.param(*row[1:], id=row[0]) for row in EDITS])
def test_what_is_said_of_an_edit_to_one_instruction(told: Told, before: str, after: str, fields: Fields, expected: Expected) -> None:
    text = "FROM box\nARG WHICH=one\n{}\n"
    given: Fields = {"secrets": {"one": SecretValue(b"1"), "two": SecretValue(b"2")}}
    told.write("file", "content")
    told.dockerfile(text.format(before))
    told.explained(**given)
    told.dockerfile(text.format(after or before))
    assert told.foreseen(**{**given, **fields}) == expected
    assert told.explained(**{**given, **fields}) == expected


def test_a_url_whose_content_changed(told: Told, tmp_path: Path) -> None:
    with served(tmp_path / "www") as (url, root):
        (root / "tool").write_text("one")
        os.utime(root / "tool", (1, 1))  # the server answers If-Modified-Since, in whole seconds
        told.dockerfile(f"FROM box\nADD {url}/tool /x\n{USES}\n")
        told.explained()
        assert told.foreseen() == {}
        (root / "tool").write_text("two, and longer")
        add = f"ADD {url}/tool /x"
        found = told.explained()
    assert found[add] == (("source", f"{url}/tool"),)
    assert found[USES] == (("earlier-step", f"[stage-0 2/3] {add} (line 2)"),)


def test_another_url(told: Told, tmp_path: Path) -> None:
    with served(tmp_path / "www") as (url, root):
        (root / "one").write_text("one")
        (root / "two").write_text("two")
        told.dockerfile(f"FROM box\nADD {url}/one /x\n")
        told.explained()
        told.dockerfile(f"FROM box\nADD {url}/two /x\n")
        found = told.explained()
    assert found[f"ADD {url}/two /x"][0] == ("instruction", f"ADD {url}/one /x")


def test_a_branch_that_moved(told: Told, tmp_path: Path) -> None:
    with served(tmp_path / "www") as (url, root):
        commit = repository(tmp_path / "checkout", root / "app.git")
        commit("one")
        add = f"ADD {url}/app.git#main /x"
        told.dockerfile(f"FROM box\n{add}\n")
        told.explained()
        assert told.foreseen() == {}
        commit("two")
        found = told.explained()
    assert [cause[0] for cause in found[add]] == ["source"]


def test_an_image_that_is_copied_from_moved(told: Told) -> None:
    _image(told, "tools", "one")
    told.dockerfile("FROM box\nCOPY --from=tools /made /made\nRUN cat /made > /x\n")
    told.explained()
    _image(told, "tools", "two")
    expected: Expected = {
        "COPY --from=tools /made /made": (("base", "tools"),),
        "RUN cat /made > /x": (("earlier-step", "[stage-0 2/3] COPY --from=tools /made /made (line 2)"),),
    }
    assert told.foreseen() == expected
    assert told.explained() == expected


def test_an_image_that_is_mounted_moved(told: Told) -> None:
    _image(told, "tools", "one")
    run = "RUN --mount=from=tools,target=/t cat /t/made > /x"
    told.dockerfile(f"FROM box\n{run}\n")
    told.explained()
    _image(told, "tools", "two")
    assert told.explained() == {run: (("base", "tools"),)}


def test_a_named_context_that_changed(told: Told, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/a").write_text("one")
    told.dockerfile("FROM box\nCOPY --from=shared a /x\n")
    fields: Fields = {"contexts": {"shared": str(tmp_path / "shared")}}
    told.explained(**fields)
    (tmp_path / "shared/a").write_text("two")
    assert told.explained(**fields) == {"COPY --from=shared a /x": (("files", "the context shared", "content a"),)}


def test_another_platform(told: Told) -> None:
    told.dockerfile("FROM scratch\nARG TARGETARCH\nCOPY file /$TARGETARCH\n")
    told.write("file")
    told.explained(platforms=("linux/amd64",))
    assert told.explained(platforms=("linux/arm64",)) == {"COPY file /$TARGETARCH": (("argument", "TARGETARCH"),)}


def test_an_exception_of_the_ignore_file(told: Told) -> None:
    for name in ("a", "b"):
        told.write(f"src/{name}", name)
    told.write(".dockerignore", "src/b\n")
    told.dockerfile("FROM box\nCOPY src /x\n")
    told.explained()
    told.write(".dockerignore", "src/*\n!src/b\n")
    assert told.explained() == {"COPY src /x": (("files", "the build context", "removed src/a", "added src/b"),)}


def _image(told: Told, name: str, text: str) -> None:
    path = told.write("../Dockerfile.made", f"FROM box\nRUN echo {text} > /made\n")
    told.explained(tags=(name,), dockerfile=str(path))


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the tests' standard error."""


@contextmanager
def served(root: Path) -> Iterator[tuple[str, Path]]:
    """A directory over HTTP: its URL, and where it lies."""
    root.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", root
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def repository(checkout: Path, bare: Path) -> Callable[[str], None]:
    """Makes a repository for dumb HTTP; the function commits a new content of its file."""
    subprocess.run(["git", "init", "-q", "-b", "main", str(checkout)], check=True)
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)

    def commit(text: str) -> None:
        (checkout / "file").write_text(text)
        script = f"""git add . && git -c user.name=a -c user.email=a@b commit -q -m {text}
                     git push -q {bare} main && git -C {bare} update-server-info"""
        subprocess.run(["sh", "-ec", script], cwd=checkout, check=True)

    return commit
