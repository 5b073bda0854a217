"""The last COPY goes straight into its blob; whoever asks for its files later has them, and the layer is the same."""

from __future__ import annotations

from pathlib import Path

from builder.engine.build import BuildOutcome
from builder.oci.digest import Digest
from builder.store.layertable import LayerRecord
from builder.store.store import Store
from tests.engine.site import Site, image

EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}
COPY = "FROM box\nCOPY tree /usr/share/tree\n"


def _tree(site: Site) -> None:
    for number in range(5):
        site.write(f"tree/d{number % 2}/f{number}", f"file {number}\n" * number)
    (site.context / "tree/link").symlink_to("d0/f0")


def _records(site: Site) -> list[LayerRecord]:
    with Store.open(site.settings.root) as store:
        return [record for record in store.index.layers.all() if record.note.startswith("COPY") and record.note != "COPY /"]


def _top(outcome: BuildOutcome) -> Digest:
    return image(outcome).manifest.layers[-1].digest


def test_it_has_a_blob_and_no_directory(site: Site) -> None:
    _tree(site)
    site.dockerfile(COPY)
    site.build()
    (record,) = _records(site)
    assert record.dir is None
    assert len(record.blobs) == 1
    site.build()
    assert site.cached()[-1] == "COPY tree /usr/share/tree"


def test_a_step_that_is_added_finds_the_files(site: Site) -> None:
    _tree(site)
    site.dockerfile(COPY)
    before = _top(site.build())
    site.dockerfile(COPY + "RUN cat /usr/share/tree/d1/f1 /usr/share/tree/link > /out && ls -l /usr/share/tree\n")
    after = site.build()
    assert site.cached()[-1] == "COPY tree /usr/share/tree"
    assert before in [layer.digest for layer in image(after).manifest.layers]
    (record,) = _records(site)
    assert record.dir is not None


def test_the_layer_is_the_one_that_a_directory_gives(site: Site) -> None:
    _tree(site)
    site.dockerfile(COPY + "RUN true\n")
    written = image(site.build(build_args=EPOCH)).manifest.layers
    assert _records(site)[0].dir is not None
    site.forget()
    site.dockerfile(COPY)
    assert _top(site.build(build_args=EPOCH)) in [layer.digest for layer in written]


def test_two_copies_onto_one_another(site: Site) -> None:
    _tree(site)
    site.write("more/d0/f0", "replaced")
    site.dockerfile(COPY + "COPY more /usr/share/tree\n")
    site.build()
    assert {record.note: record.dir is None for record in _records(site)} == {"COPY /usr/share/tree": False}
    site.write("more/d0/f9", "new")
    (site.context / "more/d0/f0").unlink()
    site.build()
    assert site.cached()[-1] == "COPY tree /usr/share/tree"
    assert sorted(record.dir is None for record in _records(site)) == [False, False, True]


def test_files_that_are_wanted_are_written(site: Site, tmp_path: Path) -> None:
    _tree(site)
    site.dockerfile(COPY)
    site.build(outputs=(f"type=local,dest={tmp_path}/out",), tags=())
    assert (tmp_path / "out/usr/share/tree/d1/f3").read_text() == "file 3\n" * 3
    assert all(record.dir is not None for record in _records(site))


def test_a_linked_copy_needs_no_directory_even_below_another(site: Site) -> None:
    _tree(site)
    site.dockerfile("FROM box\nCOPY --link tree /a\nCOPY --link tree /b\n")
    site.build()
    assert [record.dir for record in _records(site)] == [None, None]
