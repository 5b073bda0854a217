"""Contexts (1.9), predefined ARGs (1.8), git and URLs (1.6), SOURCE_DATE_EPOCH in all its forms, platforms; built for real."""

from __future__ import annotations

import functools
import http.server
import io
import os
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.language.test_language_copy import archive
from tests.language.workplace import Made, Workplace

COMMITTED = 1_700_000_000
MODIFIED = 1_650_000_000


class Site:
    """A loopback web server over a directory; every file has the one Last-Modified, unless its name says otherwise."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()

        class Handler(http.server.SimpleHTTPRequestHandler):
            def send_header(self, keyword: str, value: str) -> None:
                if keyword == "Last-Modified":
                    if "undated" in self.path:
                        return
                    value = formatdate(MODIFIED, usegmt=True)
                super().send_header(keyword, value)

            def log_message(self, *args: object) -> None:
                """Silence."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(root)))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The server."""
    made = Site(tmp_path / "site")
    yield made
    made.close()


@pytest.fixture
def repository(site: Site) -> str:
    """A repository with one commit on `main` and a tag, over dumb http; its URL."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    work = site.root.parent / "work"
    work.mkdir()
    (work / "Dockerfile").write_text("FROM base\nCOPY . /repo\n")
    (work / "sub").mkdir()
    (work / "sub" / "f").write_text("from git")
    date = f"{COMMITTED} +0000"
    who = {f"GIT_{role}_{part}": "x@y" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    env = {**os.environ, **who, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date, "GIT_CONFIG_GLOBAL": os.devnull}

    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "init.defaultBranch=main", *words], cwd=work, env=env, check=True, capture_output=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    git("tag", "v1")
    git("clone", "-q", "--bare", ".", str(site.root / "r.git"))
    subprocess.run(["git", "update-server-info"], cwd=site.root / "r.git", check=True)
    return f"{site.url}/r.git"


# -- contexts -------------------------------------------------------------------------------------------------


def test_context_as_a_tar_on_standard_input(place: Workplace) -> None:
    data = archive(("Dockerfile", "FROM base\nCOPY . /x\n"), ("a", "text"), (".dockerignore", "Dockerfile\n"))
    made = place.build("unused", context="-", stdin=io.BytesIO(data))
    assert made.text("x/a") == "text"
    assert "x/Dockerfile" not in made.tree


def test_dockerfile_on_standard_input(place: Workplace) -> None:
    assert place.build("unused", context="-", stdin=io.BytesIO(b"FROM base\nRUN echo -n x > /f")).text("f") == "x"
    made = place.build("FROM nosuch", {"a": "text"}, dockerfile="-", stdin=io.BytesIO(b"FROM base\nCOPY a /a"))
    assert made.text("a") == "text"
    assert place.fails("x", context="-", dockerfile="-", stdin=io.BytesIO(b"")).code == "stdin-twice"


def test_context_from_an_archive_at_a_url_and_a_dockerfile_at_one(place: Workplace, site: Site) -> None:
    (site.root / "c.tar.gz").write_bytes(
        subprocess.run(["gzip"], input=archive(("Dockerfile", "FROM base\nCOPY a /a\n"), ("a", "x")), capture_output=True).stdout
    )
    (site.root / "Other").write_text("FROM base\nRUN echo -n other > /o\n")
    assert place.build("unused", context=f"{site.url}/c.tar.gz").text("a") == "x"
    assert place.build("unused", context=f"{site.url}/Other").text("o") == "other"


def test_context_from_git_with_a_ref_and_a_subdirectory(place: Workplace, repository: str) -> None:
    made = place.build("unused", context=repository)
    assert made.text("repo/sub/f") == "from git"
    assert "repo/.git" not in made.tree
    kept = place.build("unused", context=f"{repository}#v1", build_args={"BUILDKIT_CONTEXT_KEEP_GIT_DIR": "1"})
    assert kept.tree["repo/.git"].kind == "dir"
    made = place.build("FROM base\nCOPY --from=src / /x", contexts={"src": f"{repository}#main:sub"})
    assert sorted(path for path in made.tree if path.startswith("x/")) == ["x/f"]


def test_images_as_contexts_by_name_and_from_a_layout(place: Workplace) -> None:
    layout = place.directory / "layout"
    text = "FROM base\nRUN echo -n made > /made\nENV FROM_LAYOUT=1"
    first = place.build(text, outputs=(f"type=oci,dest={layout},tar=false", "type=image"))
    made = place.build(
        "FROM given AS one\nFROM base\nCOPY --from=given /made /1\nCOPY --from=image /data/plain /2",
        contexts={"given": f"oci-layout://{layout}@{first.outcome.digest}", "image": "docker-image://data"},
    )
    assert (made.text("1"), made.text("2")) == ("made", "plain\n")
    assert "FROM_LAYOUT=1" in place.build("FROM given", contexts={"given": f"oci-layout://{layout}"}).document["config"]["Env"]


def test_dockerfile_outside_of_the_context(place: Workplace) -> None:
    (place.directory / "Elsewhere").write_text("FROM base\nCOPY a /a\n")
    assert place.build("FROM nosuch", {"a": "x"}, dockerfile=str(place.directory / "Elsewhere")).text("a") == "x"
    (place.directory / "link").symlink_to(place.context)
    assert place.build("FROM base\nCOPY a /a\n", context=f"{place.directory}/link/").text("a") == "x"


def test_dockerfile_in_lower_case_is_found(place: Workplace) -> None:
    place.write({"dockerfile": "FROM base\nRUN echo -n low > /l"})
    (place.context / "sub").mkdir()
    shutil.copy(place.context / "dockerfile", place.context / "sub" / "dockerfile")
    assert place.build("FROM nosuch", context=str(place.context / "sub")).text("l") == "low"


def test_context_that_is_not_there(place: Workplace) -> None:
    assert place.fails("x", context=str(place.directory / "nowhere")).help
    assert place.fails("x", dockerfile=str(place.directory / "nowhere")).code == "dockerfile-not-found"


# -- ADD from elsewhere -----------------------------------------------------------------------------------------


def test_add_url_is_a_file_of_mode_0600_with_the_servers_time(place: Workplace, site: Site) -> None:
    (site.root / "dir").mkdir()
    (site.root / "f.tar").write_bytes(archive(("inside", "x")))
    made = place.build(
        f"FROM base\nADD {site.url}/f.tar /x/\nADD --unpack {site.url}/f.tar /u/\nADD --chmod=644 --chown=5 {site.url}/f.tar?q=1 /n"
    )
    assert made.brief("x/f.tar") == "file 600 0:0"
    assert made.tree["x/f.tar"].mtime == MODIFIED
    assert made.text("u/inside") == "x"
    assert made.brief("n") == "file 644 5:5"


def test_add_url_without_a_name(place: Workplace, site: Site) -> None:
    (site.root / "index.html").write_text("root")
    (site.root / "d").mkdir()
    (site.root / "d" / "index.html").write_text("of d")
    made = place.build(f"FROM base\nADD {site.url}/ /x/\nADD {site.url}/d/ /x/")
    assert (made.text("x/__unnamed__"), made.text("x/d")) == ("root", "of d")


def test_add_url_checks_its_checksum(place: Workplace, site: Site) -> None:
    (site.root / "f").write_text("text")
    good = "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"
    place.build(f"FROM base\nADD --checksum=sha256:{good} {site.url}/f /f")
    assert place.fails(f"FROM base\nADD --checksum=sha256:{'0' * 64} {site.url}/f /f").code == "digest-mismatch"
    assert place.fails(f"FROM base\nADD --checksum=md5:0 {site.url}/f /f").code == "bad-checksum"


def test_add_url_that_is_not_there(place: Workplace, site: Site) -> None:
    error = place.fails(f"FROM base\nADD {site.url}/nothing /f")
    assert error.span is not None
    assert error.span.line == 2


def test_add_git(place: Workplace, repository: str) -> None:
    made = place.build(f"FROM base\nADD {repository}#main:sub /s\nADD --keep-git-dir=true {repository}#v1 /k")
    assert (made.text("s/f"), made.tree["k/.git"].kind) == ("from git", "dir")
    assert made.brief("s/f") == "file 644 0:0"
    assert place.fails(f"FROM base\nADD {repository}#nosuch /x").code
    assert place.fails(f"FROM base\nADD --keep-git-dir=true {repository}?keep-git-dir=false /x").code == "bad-git-url"


# -- SOURCE_DATE_EPOCH ----------------------------------------------------------------------------------------------


def times(made: Made) -> set[str]:
    """created of the config and of every line of history that is ours."""
    lines = [line["created"] for line in made.document["history"] if line.get("comment") == "buildkit.dockerfile.v0"]
    return {made.document["created"], *lines}


def test_epoch_as_a_number(place: Workplace) -> None:
    made = place.build("FROM base\nENV A=1\nRUN echo x > /x\nCOPY Dockerfile /d/f", build_args={"SOURCE_DATE_EPOCH": "1000000000"})
    assert times(made) == {"2001-09-09T01:46:40Z"}
    assert made.tree["d/f"].mtime == made.tree["d"].mtime == 1_000_000_000


def test_epoch_as_the_default_of_a_global_argument(place: Workplace) -> None:
    made = place.build('ARG SOURCE_DATE_EPOCH=1000000000\nFROM base\nRUN echo "[$SOURCE_DATE_EPOCH]" > /undeclared')
    assert times(made) == {"2001-09-09T01:46:40Z"}
    assert made.text("undeclared") == "[]\n"
    made = place.build("FROM base\nARG SOURCE_DATE_EPOCH\nRUN echo $SOURCE_DATE_EPOCH > /declared", build_args={"SOURCE_DATE_EPOCH": "7"})
    assert made.text("declared") == "7\n"


def test_epoch_from_the_context(place: Workplace, repository: str, site: Site) -> None:
    assert times(place.build("unused", context=repository, build_args={"SOURCE_DATE_EPOCH": "context"})) == {"2023-11-14T22:13:20Z"}
    (site.root / "c.tar").write_bytes(archive(("Dockerfile", "FROM base\nARG SOURCE_DATE_EPOCH\nRUN echo $SOURCE_DATE_EPOCH > /e\n")))
    made = place.build("unused", context=f"{site.url}/c.tar", build_args={"SOURCE_DATE_EPOCH": "context"})
    assert times(made) == {"2022-04-15T05:20:00Z"}
    assert made.text("e") == f"{MODIFIED}\n"


def test_epoch_from_an_archive_without_a_date_is_its_youngest_file(place: Workplace, site: Site) -> None:
    (site.root / "undated.tar").write_bytes(archive(("Dockerfile", "FROM base\nENV UNDATED=1\n"), mtime=1_000_000_000))
    made = place.build("unused", context=f"{site.url}/undated.tar", build_args={"SOURCE_DATE_EPOCH": "context"})
    assert times(made) == {"2001-09-09T01:46:40Z"}


def test_epoch_from_a_directory_is_none(place: Workplace) -> None:
    made = place.build(
        "FROM base\nARG SOURCE_DATE_EPOCH\nRUN echo -n [$SOURCE_DATE_EPOCH] > /e", build_args={"SOURCE_DATE_EPOCH": "context"}
    )
    assert made.text("e") == "[]"


def test_epoch_from_a_named_context_and_from_a_stage(place: Workplace, repository: str, site: Site) -> None:
    given = {"build_args": {"SOURCE_DATE_EPOCH": "src"}}
    assert times(place.build("FROM base\nENV NAMED=1", contexts={"src": repository}, **given)) == {"2023-11-14T22:13:20Z"}
    (site.root / "f").write_text("x")
    text = "FROM scratch AS src\nARG AT={}\nADD $AT /\nFROM base\nENV STAGE=1"
    assert times(place.build(text.format(f"{site.url}/f"), **given)) == {"2022-04-15T05:20:00Z"}
    assert times(place.build(text.format(repository), **given)) == {"2023-11-14T22:13:20Z"}


@pytest.mark.parametrize(
    "text",
    [
        "FROM base AS src\nADD http://x/y /",
        "FROM scratch AS src\nCOPY a /",
        "FROM scratch AS src\nADD a /",
        "FROM scratch AS src",
        "FROM base",
    ],
)
def test_epoch_from_what_has_no_time_is_refused(place: Workplace, text: str) -> None:
    assert place.fails(text, build_args={"SOURCE_DATE_EPOCH": "src"}).code == "bad-epoch"


# -- predefined arguments and platforms --------------------------------------------------------------------------------


def test_proxies_reach_run_in_both_cases_and_are_in_no_history(place: Workplace) -> None:
    text = "FROM base\nRUN echo $HTTP_PROXY $http_proxy > /proxied"
    made = place.build(text, build_args={"HTTP_PROXY": "http://p"}, proxies={"HTTP_PROXY": "http://p", "http_proxy": "http://p"})
    assert made.text("proxied") == "http://p http://p\n"
    assert "http://p" not in str(made.document)
    assert place.build(text).outcome.ran == 0, "a proxy is in no key"


def test_multi_platform_gives_an_index_even_for_one(place: Workplace) -> None:
    made = place.build("FROM scratch\nCOPY Dockerfile /", build_args={"BUILDKIT_MULTI_PLATFORM": "1"})
    assert made.outcome.result.index_raw is not None


def test_several_platforms_give_an_index_and_arguments_of_their_own(place: Workplace) -> None:
    made = place.build("FROM scratch\nARG TARGETARCH\nLABEL arch=$TARGETARCH\nCOPY Dockerfile /", platforms=("linux/amd64,linux/arm64",))
    images = made.outcome.result.images
    assert [(image.platform.architecture, (image.config.config.labels or {})["arch"]) for image in images] == [
        ("amd64", "amd64"),
        ("arm64", "arm64"),
    ]


def test_cache_mount_namespace_is_a_part_of_the_id(place: Workplace) -> None:
    text = "FROM base\nARG N\nRUN --mount=type=cache,target=/c,id=spaced echo $N >> /c/f; cat /c/f > /out"
    assert place.build(text, build_args={"N": "1"}).text("out") == "1\n"
    assert place.build(text, build_args={"N": "2", "BUILDKIT_CACHE_MOUNT_NS": "other"}).text("out") == "2\n"


def test_image_without_a_layer_has_an_empty_list(place: Workplace) -> None:
    made = place.build("FROM scratch\nLABEL a=b")
    assert made.document["rootfs"]["diff_ids"] == []
    assert made.outcome.result.images[0].manifest.layers == ()


def test_tar_context_keeps_owner_free_names(place: Workplace) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made_tar:
        for name, text in (("./Dockerfile", "FROM base\nCOPY d /d\n"), ("./d/f", "x")):
            info = tarfile.TarInfo(name)
            info.size, info.uid = len(text), 1000
            made_tar.addfile(info, io.BytesIO(text.encode()))
    assert place.build("unused", context="-", stdin=io.BytesIO(out.getvalue())).brief("d/f") == "file 644 0:0"
