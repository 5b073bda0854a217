"""A store with a size, as builds tell of it: which image went, and that a build needed more."""

from __future__ import annotations

import msgspec

from builder.progress.events import Note
from builder.store.store import Store
from tests.engine.site import Site

MB = 1 << 20
LARGE = "RUN --network=none dd if=/dev/urandom of=/large bs=1024 count={} 2>/dev/null\n"


def _notes(site: Site) -> list[str]:
    return [event.message for event in site.heard.events if isinstance(event, Note)]


def _built(site: Site, name: str, kilobytes: int) -> list[str]:
    site.dockerfile("FROM scratch\nCOPY --from=box / /\nARG NAME\n" + LARGE.format(kilobytes))
    site.build(tags=(name,), build_args={"NAME": name})
    return _notes(site)


def _names(site: Site) -> list[str]:
    with Store.open(site.settings.root) as store:
        return [name.reference for name in store.images.list()]


def test_the_least_recently_used_image_goes_and_is_named(site: Site) -> None:
    site.settings = msgspec.structs.replace(site.settings, store_size=24 * MB)
    assert _built(site, "one", 3000) == []
    assert _built(site, "two", 3000) == []
    told = [*_built(site, "three", 3000), *_built(site, "four", 3000), *_built(site, "five", 3000), *_built(site, "six", 3000)]
    assert "the image one:latest went from the store, as the least recently used, to keep it within 25.17MB" in told
    assert not [text for text in told if "more than its size" in text]
    assert "docker.io/library/six:latest" in _names(site)
    assert "docker.io/library/one:latest" not in _names(site)


def test_a_build_that_needs_more_gets_it_and_says_so(site: Site) -> None:
    site.settings = msgspec.structs.replace(site.settings, store_size=2 * MB)
    (told,) = _built(site, "large", 3000)
    assert told.startswith("the store takes ")
    assert told.endswith("MB, more than its size of 2.10MB: what runs needs it")
    assert _names(site) == ["docker.io/library/large:latest"]


def test_without_a_size_nothing_goes(site: Site) -> None:
    for name in ("one", "two", "three"):
        assert _built(site, name, 3000) == []
    assert len(_names(site)) == 3
