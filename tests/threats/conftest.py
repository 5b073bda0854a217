"""Fixtures of the attacks: a site to build in, and a place outside that must stay as it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.errors import LayerwrightError
from tests.engine.site import Site

CANARY = "the canary of the host is well"


@pytest.fixture
def site(tmp_path: Path, busybox_root: Path) -> Site:
    """A store and an empty context; root only, for it runs steps."""
    if os.geteuid() != 0:
        pytest.skip("runs steps as root")
    return Site(tmp_path, busybox_root)


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host that no build has any business in; checked to be untouched."""
    place = tmp_path / "outside"
    (place / "b" / "c").mkdir(parents=True)
    (place / "canary").write_text(CANARY)
    place.chmod(0o755)
    before = _state(place)
    yield place
    assert _state(place) == before


def _state(place: Path) -> dict[str, tuple[int, int, int, bytes]]:
    found = {}
    for path in (place, *sorted(place.rglob("*"))):
        facts = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (facts.st_mode, facts.st_uid, facts.st_mtime_ns, content)
    return found


@pytest.fixture
def refused(site: Site) -> Callable[..., LayerwrightError]:
    """Builds what must fail, and gives the error."""

    def build(text: str, **fields: object) -> LayerwrightError:
        site.dockerfile(text)
        with pytest.raises(LayerwrightError) as caught:
            site.build(network="none", **fields)
        return caught.value

    return build
