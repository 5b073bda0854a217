"""Documents of results: what goes in comes out, what is not as it should be is refused, two become one."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.cache.artifact import MEDIA_TYPE, ForeignCache, put_artifact, read_cache
from builder.cache.keys import CacheKey
from builder.cache.portable import MAX_AGE, MAX_LAYERS, MAX_RECORDS, Document, Entry, Layer, decode_document, encode_document, merge
from builder.errors import CorruptionError, LayerwrightError
from builder.oci.manifest import Descriptor, Index, Manifest, describe, encode
from builder.oci.media import OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST
from builder.store.blobs import MemoryBlobs

NOW = 1_800_000_000
CREATED = "2026-01-02T03:04:05.6Z"


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def layer(number: int) -> Layer:
    return Layer(digest(number), OCI_LAYER_GZIP, digest(number + 1_000_000), number + 1)


def entry(number: int, base: str = "", *, made: int | None = None, used: int = NOW) -> Entry:
    return Entry(CacheKey(f"{number:064x}"), base, layer(number if made is None else made), CREATED, 7, used, f"{number + 7:064x}")


def test_a_document_comes_back_as_it_was() -> None:
    document = Document((entry(1), entry(2, digest(1)), msgspec.structs.replace(entry(3, digest(1)), layer=None)), ("one", "two"))
    raw = encode_document(document)
    assert decode_document(raw) == document
    assert encode_document(decode_document(raw)) == raw


def test_a_document_of_another_version_holds_nothing() -> None:
    fields = msgspec.json.decode(encode_document(Document((entry(1),))))
    for name in ("schema", "keys"):
        assert decode_document(msgspec.json.encode({**fields, name: 99, "records": "of another shape"})) == Document()


def changed(**changes: object) -> bytes:
    """A document whose one record has other fields."""
    fields = msgspec.json.decode(encode_document(Document((entry(1),))))
    fields["records"][0].update({key: value for key, value in changes.items() if key not in fields or key == "layer"})
    fields.update({key: value for key, value in changes.items() if key in fields})
    return msgspec.json.encode(fields)


HOSTILE = {
    "no json": b"{",
    "no object": b"[]",
    "no version": b"{}",
    "deep": b"[" * 100_000,
    "not utf-8": b'{"schema": 1, "keys": 1, "covers": ["\xff"]}',
    "key of another form": changed(key="../../etc/passwd"),
    "key too long": changed(key="a" * 65),
    "content key of another form": changed(content="x"),
    "base that is no digest": changed(base="sha256:zz"),
    "base with a line feed": changed(base=digest(1) + "\n"),
    "layer that is not there": changed(layer=1),
    "layer below none": changed(layer=-2),
    "layer beyond the limit": changed(layer=MAX_LAYERS),
    "time that is none": changed(created="yesterday"),
    "time with an escape": changed(created="2026-01-02T03:04:05Z\x1b[31m"),
    "duration below zero": changed(duration=-1),
    "use beyond time": changed(used=1 << 63),
    "layer of another type": changed(layers=[{**msgspec.to_builtins(layer(1)), "media_type": "text/html"}]),
    "layer with a path": changed(layers=[{**msgspec.to_builtins(layer(1)), "digest": "sha256:../../x"}]),
    "layer with a size below zero": changed(layers=[{**msgspec.to_builtins(layer(1)), "size": -1}]),
    "too many records": changed(records=[msgspec.json.decode(changed())["records"][0]] * (MAX_RECORDS + 1)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_as_it_should_be_is_refused(name: str) -> None:
    with pytest.raises(CorruptionError):
        decode_document(HOSTILE[name])


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(raw: bytes) -> None:
    refused, document = "", Document()
    try:
        document = decode_document(b'{"schema":1,"keys":1,' + raw)
    except CorruptionError as error:
        refused = error.code
    assert refused.startswith("cache-") or decode_document(encode_document(document)) == document


def test_ours_win_and_nothing_else_is_lost() -> None:
    ours = Document((entry(1, made=10), entry(2)))
    theirs = Document((entry(1, made=11, used=NOW + 5), entry(3), entry(1, digest(9))), ("x",))
    merged = merge(ours, (theirs,), NOW)
    assert {(found.key, found.base, found.layer) for found in merged.entries} == {
        (found.key, found.base, found.layer) for found in (entry(1, made=10), entry(2), entry(3), entry(1, digest(9)))
    }
    assert merged.covers == ("x",)


def test_among_others_the_one_used_last_wins_whatever_the_order() -> None:
    old, new = Document((entry(1, made=10, used=NOW - 9),)), Document((entry(1, made=11, used=NOW - 1),))
    for others in ((old, new), (new, old)):
        (found,) = merge(Document(), others, NOW).entries
        assert found.layer == layer(11)


def test_a_use_in_the_future_counts_as_now() -> None:
    (found,) = merge(Document(), (Document((entry(1, used=NOW + 10**9),)),), NOW).entries
    assert found.used == NOW


def test_what_nobody_used_for_long_is_left_out() -> None:
    kept, left = entry(1, used=NOW - MAX_AGE), entry(2, used=NOW - MAX_AGE - 1)
    assert merge(Document(), (Document((kept, left)),), NOW).entries == (kept,)


def test_a_result_of_ours_keeps_the_other_keys_that_lead_to_it() -> None:
    other = msgspec.structs.replace(entry(2, made=1), used=NOW - MAX_AGE - 1)
    merged = merge(Document((entry(1),)), (Document((other,)),), NOW)
    assert {found.key for found in merged.entries} == {entry(1).key, entry(2).key}


def test_a_document_stays_within_its_bounds() -> None:
    many = Document(tuple(entry(number, used=NOW - number) for number in range(MAX_LAYERS + 50)))
    merged = merge(Document(), (many,), NOW)
    assert len(merged.layers) == MAX_LAYERS
    assert decode_document(encode_document(merged)) == merged


# -- as an artifact ---------------------------------------------------------------------------------------


def artifact(document: Document, blobs: MemoryBlobs) -> Descriptor:
    return put_artifact(document, blobs)


def reader(blobs: MemoryBlobs):  # type: ignore[no-untyped-def]
    return lambda descriptor: blobs.read(descriptor.digest, 8 << 20)


def test_an_artifact_names_every_layer_it_speaks_of() -> None:
    blobs = MemoryBlobs()
    document = Document((entry(1), entry(2), entry(3, made=1)))
    root = artifact(document, blobs)
    assert read_cache(root, reader(blobs), "x") == document
    manifest = msgspec.json.decode(blobs.read(root.digest, 1 << 20), type=Manifest)
    assert [found.digest for found in manifest.layers] == [layer(1).digest, layer(2).digest]
    assert manifest.artifact_type == MEDIA_TYPE


def test_records_may_only_name_layers_of_their_manifest() -> None:
    blobs = MemoryBlobs()
    raw = encode_document(Document((entry(1),)))
    blobs.put(raw)
    for layers in ((), (layer(2).descriptor,), (msgspec.structs.replace(layer(1).descriptor, size=9),)):
        manifest = encode(Manifest(describe(raw, MEDIA_TYPE), layers))
        blobs.put(manifest)
        with pytest.raises(CorruptionError, match="which its manifest does not"):
            read_cache(describe(manifest, OCI_MANIFEST), reader(blobs), "x")


def test_a_config_of_any_claimed_size_is_not_fetched() -> None:
    blobs = MemoryBlobs()
    manifest = encode(Manifest(Descriptor(MEDIA_TYPE, describe(b"", "").digest, 1 << 40), ()))
    blobs.put(manifest)
    with pytest.raises(CorruptionError, match="over the limit"):
        read_cache(describe(manifest, OCI_MANIFEST), reader(blobs), "x")


BUILDKIT = "application/vnd.buildkit.cacheconfig.v0"


def buildkit_manifest(blobs: MemoryBlobs) -> bytes:
    blobs.put(b"{}")
    return encode(Manifest(describe(b"{}", BUILDKIT), ()))


def buildkit_index(blobs: MemoryBlobs) -> bytes:
    return encode(Index((describe(b"{}", BUILDKIT),)))


def buildkit_inline(blobs: MemoryBlobs) -> bytes:
    config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"moby.buildkit.cache.v0":"e30="}'
    blobs.put(config)
    return encode(Manifest(describe(config, OCI_CONFIG), ()))


@pytest.mark.parametrize("make", [buildkit_manifest, buildkit_index, buildkit_inline])
def test_a_cache_of_buildkit_is_named_as_such(make) -> None:  # type: ignore[no-untyped-def]
    blobs = MemoryBlobs()
    raw = make(blobs)
    blobs.put(raw)
    media_type = OCI_INDEX if make is buildkit_index else OCI_MANIFEST
    with pytest.raises(ForeignCache, match="holds a cache of BuildKit, whose keys only BuildKit can compute"):
        read_cache(describe(raw, media_type), reader(blobs), "app:1")


def test_an_image_without_a_cache_is_named_as_such() -> None:
    blobs = MemoryBlobs()
    config = b'{"architecture":"amd64","os":"linux"}'
    manifest = encode(Manifest(describe(config, OCI_CONFIG), ()))
    for raw in (config, manifest):
        blobs.put(raw)
    with pytest.raises(LayerwrightError, match="app:1 holds no cache"):
        read_cache(describe(manifest, OCI_MANIFEST), reader(blobs), "app:1")
