"""`build --report` and `layerwright report`: real builds, and what their pages tell of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.history.archive import History
from builder.store.store import Store
from tests.cli.commands import Cli
from tests.report.pages import Page

DOCKERFILE = """\
FROM box AS one
RUN head -c 3000000 /dev/zero > /large; echo x > /small
COPY . /src/
RUN sh -c 'echo pip install; cat /src/file'

FROM box
ENV API_TOKEN=x
COPY --from=one /src/file /file
RUN cat /file; test ! -e /stop
"""


@pytest.fixture
def cli(tmp_path: Path, busybox_root: Path) -> Cli:
    """A home with a context in it; root only, for it runs steps."""
    if os.geteuid() != 0:
        pytest.skip("runs steps as root")
    (tmp_path / "app/.git").mkdir(parents=True)
    (tmp_path / "app/Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "app/file").write_text("content\n")
    (tmp_path / "app/.git/pack").write_bytes(bytes(100_000))
    (tmp_path / "box").symlink_to(busybox_root)
    return Cli(tmp_path)


def build(cli: Cli, *args: str) -> tuple[int, str]:
    done = cli("build", "--progress=plain", "--build-context", "box=box", "-t", "app", *args, "app")
    return done.code, done.err


def texts(path: Path) -> list[str]:
    return [data for _, data in Page(path.read_bytes()).texts]


def test_a_build_writes_its_report(cli: Cli, tmp_path: Path) -> None:
    code, err = build(cli, "--report", "first.html")
    assert (code, err.splitlines()[-1]) == (0, "report: first.html")
    first = texts(tmp_path / "first.html")
    for expected in ("Built: app", "There is no earlier build to explain misses against.", "COPY . /src/", "/large", "3.00\u202fMB"):
        assert expected in first
    assert "SecretsUsedInArgOrEnv, line 7" in first
    assert any("API_TOKEN" in shown for shown in first)
    assert "Leave out of the context what no image needs" in first

    (tmp_path / "app/file").write_text("changed\n")
    assert cli("build", "-q", "--build-context", "box=box", "-t", "app", "--report", "quiet.html", "app").err == ""
    assert (tmp_path / "quiet.html").exists()
    done = cli("report", "-o", "-")
    assert (done.code, done.err) == (0, "")
    (tmp_path / "second.html").write_bytes(done.raw)
    second = texts(tmp_path / "second.html")
    assert "the build context changed: 1 changed" in second
    assert "file" in second
    assert "an earlier step ran again: [one 3/4] COPY . /src/ (line 3)" in second
    assert "saved" in second
    assert any(shown.startswith("exporting to image") for shown in second)


def test_a_failed_build_writes_its_report_too(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "app/Dockerfile").write_text(DOCKERFILE.replace("test ! -e /stop", "echo '<b>last words</b>'; exit 7"))
    code, err = build(cli, "--report", "failed.html")
    assert code == 1
    assert "report: failed.html" in err
    assert "error[run-failed]" in err
    shown = texts(tmp_path / "failed.html")
    assert "Failed: app" in shown
    assert any("<b>last words</b>" in text for text in shown)
    code, err = build(cli, "--report", "/nowhere/failed.html")
    assert code == 1
    assert err.index("error[report-unwritable]") < err.index("error[run-failed]")


def test_a_report_of_what_is_not_there(cli: Cli) -> None:
    done = cli("report")
    assert (done.code, done.err.splitlines()[0]) == (1, "error[no-builds]: this store knows of no build")


def test_the_record_has_warnings_and_outputs(cli: Cli) -> None:
    assert build(cli, "-o", "type=oci,dest=app.tar")[0] == 0
    with Store.open(cli.root) as store:
        record = History(store).find(None)
    assert [(warning.code, warning.line) for warning in record.warnings] == [("SecretsUsedInArgOrEnv", 7)]
    (output,) = record.exports
    assert output.name == "exporting to oci archive app.tar"
    assert output.started_ns >= record.started_ns
    assert output.error is None


def test_layers_are_told_from_blobs_as_from_directories(cli: Cli, tmp_path: Path) -> None:
    """A layer whose directory was collected is read from its blob, and one of which nothing is here is told so."""
    assert build(cli)[0] == 0
    assert cli("report", "-o", "before.html").code == 0
    with Store.open(cli.root) as store:
        for record in store.index.layers.all():
            if record.dir:
                store.index.layers.set_directory(record.id, None, 0, None)
    assert cli("report", "-o", "after.html").code == 0
    before, after = texts(tmp_path / "before.html"), texts(tmp_path / "after.html")
    assert before.count("/file") == 1
    assert after.count("/file") == 1
    assert "its files are not in the store" not in before
    assert "its files are not in the store" in after
