"""Manifests, indexes, configs, digests, media types: what is read, what is written, what is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.errors import CorruptionError
from builder.oci.config import Health, History, ImageConfig, RootFS, RunConfig, decode_config, encode_config
from builder.oci.digest import EMPTY_LAYER, DiffID, chain_ids, digest_of, hex_of, parse_digest
from builder.oci.manifest import Descriptor, Index, Manifest, decode, describe, encode
from builder.oci.media import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Compression,
    layer_compression,
    layer_media_type,
)
from builder.oci.platform import Platform

A = digest_of(b"a")
B = digest_of(b"b")
CONFIG = {"mediaType": OCI_CONFIG, "digest": A, "size": 1}
LAYER = {"mediaType": OCI_LAYER_GZIP, "digest": B, "size": 2}
IMAGE = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": CONFIG, "layers": [LAYER]}
INDEX = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [{"mediaType": OCI_MANIFEST, "digest": A, "size": 1}]}


def raw(document: object) -> bytes:
    return json.dumps(document).encode()


# -- digests --------------------------------------------------------------------------------------------


def test_digests() -> None:
    assert digest_of(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert parse_digest(A) == A
    assert hex_of(A) == A[7:]
    assert digest_of(bytes(1024)) == str(EMPTY_LAYER)


@pytest.mark.parametrize(
    "text", ["", "sha256:", "sha256:../../x", A.upper(), A + "0", A[:-1], A + "\n", " " + A, "sha512:" + "0" * 128, None, 5, A[7:], ["x"]]
)
def test_what_is_no_digest(text: object) -> None:
    """CVE-2024-3727."""
    with pytest.raises(CorruptionError) as caught:
        parse_digest(text)
    assert caught.value.code == "invalid-digest"
    assert len(caught.value.message) < 200


def test_chain_ids() -> None:
    """The image-spec's own rule: the first is the DiffID, each further one covers the chain before."""
    one, two, three = (DiffID(digest_of(text)) for text in (b"1", b"2", b"3"))
    chains = chain_ids([one, two, three])
    assert chains[0] == str(one)
    assert chains[1] == str(digest_of(f"{one} {two}".encode()))
    assert chains[2] == str(digest_of(f"{chains[1]} {three}".encode()))
    assert chain_ids([]) == ()


# -- media types ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("docker", [False, True])
def test_layer_media_types_round_trip(compression: Compression, docker: bool) -> None:
    assert layer_compression(layer_media_type(compression, docker=docker)) == compression


@pytest.mark.parametrize(
    ("media_type", "wanted"),
    [
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "gzip"),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "gzip"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", "none"),
        ("application/vnd.in-toto+json", None),
        ("", None),
    ],
)
def test_other_layer_media_types(media_type: str, wanted: str | None) -> None:
    assert layer_compression(media_type) == wanted


# -- manifests ------------------------------------------------------------------------------------------


def test_a_manifest() -> None:
    document = decode(raw(IMAGE))
    assert document == Manifest(Descriptor(OCI_CONFIG, A, 1), (Descriptor(OCI_LAYER_GZIP, B, 2),))


def test_an_index() -> None:
    platform = {"architecture": "arm64", "os": "linux", "variant": "v8", "os.version": "1", "os.features": ["x"]}
    document = decode(raw({**INDEX, "manifests": [{**INDEX["manifests"][0], "platform": platform}]}))  # type: ignore[index]
    assert isinstance(document, Index)
    assert document.manifests[0].platform == Platform("arm64", "linux", "1", ("x",), "v8")


@pytest.mark.parametrize(
    "document",
    [Manifest(Descriptor("x", A, 1), ()), Index(()), Manifest(Descriptor("x", A, 1), (), annotations={"a": "<b>"}, artifact_type="t")],
)
def test_what_is_written_is_read(document: Manifest | Index) -> None:
    data = encode(document)
    assert data.startswith(b'{"schemaVersion":2,"mediaType":"')
    assert b" " not in data
    assert decode(data) == document


def test_an_image_of_no_layers_has_a_list() -> None:
    assert b'"layers":[]' in encode(Manifest(Descriptor("x", A, 1), ()))


def test_nulls_of_go_programs() -> None:
    """BuildKit writes `"layers": null` for an image without layers."""
    document = decode(raw({**IMAGE, "layers": None, "annotations": None, "config": {**CONFIG, "urls": None, "platform": None}}))
    assert document == Manifest(Descriptor(OCI_CONFIG, A, 1), ())
    assert decode(raw({**INDEX, "manifests": None})) == Index(())


CONFUSED = [
    ({**IMAGE, "manifests": INDEX["manifests"]}, None),
    ({**IMAGE, "manifests": []}, None),
    ({**IMAGE, "manifests": None}, None),
    ({**INDEX, "layers": []}, None),
    ({**INDEX, "config": CONFIG}, OCI_INDEX),
    (IMAGE, OCI_INDEX),
    (INDEX, OCI_MANIFEST),
    (IMAGE, DOCKER_MANIFEST),
    ({**IMAGE, "mediaType": OCI_INDEX}, None),
    ({**IMAGE, "mediaType": OCI_INDEX}, "application/json"),
    ({**IMAGE, "mediaType": ""}, DOCKER_LIST),
    ({**INDEX, "mediaType": ""}, OCI_MANIFEST),
]


@pytest.mark.parametrize(("document", "media_type"), CONFUSED)
def test_confusions(document: dict[str, object], media_type: str | None) -> None:
    """CVE-2021-41190: fields, mediaType and header have to agree."""
    with pytest.raises(CorruptionError) as caught:
        decode(raw(document), media_type)
    assert caught.value.code in ("manifest-confusion", "manifest-invalid")


@pytest.mark.parametrize("media_type", [None, "", "text/plain", "application/json", OCI_MANIFEST])
def test_media_types_that_say_nothing(media_type: str | None) -> None:
    document = {key: value for key, value in IMAGE.items() if key != "mediaType"}
    assert isinstance(decode(raw(document), media_type), Manifest)
    assert isinstance(decode(raw({"schemaVersion": 2, "manifests": []}), "application/json"), Index)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (raw({**IMAGE, "schemaVersion": 1}), "manifest-schema"),
        (raw({"config": CONFIG, "layers": []}), "manifest-schema"),
        (raw({"schemaVersion": 1, "name": "x", "fsLayers": []}), "manifest-schema"),
        (b" " * ((4 << 20) + 1), "manifest-too-large"),
        (b"", "manifest-invalid"),
        (b"null", "manifest-invalid"),
        (b"[]", "manifest-invalid"),
        (b"\xff", "manifest-invalid"),
        (b'{"schemaVersion":2,"x":"\xff"}', "manifest-invalid"),
        (b'{"schemaVersion":2,"x":' + b"[" * 100_000, "manifest-invalid"),
        (raw({**IMAGE, "config": {**CONFIG, "size": -1}}), "manifest-invalid"),
        (raw({**IMAGE, "config": {**CONFIG, "size": 1.5}}), "manifest-invalid"),
        (raw({**IMAGE, "config": {**CONFIG, "size": 1 << 70}}), "manifest-invalid"),
        (raw({**IMAGE, "layers": [{**LAYER, "digest": "sha256:../../x"}]}), "invalid-digest"),
        (raw({**IMAGE, "config": {**CONFIG, "digest": 5}}), "manifest-invalid"),
        (raw({**IMAGE, "subject": {**CONFIG, "digest": "x"}}), "invalid-digest"),
        (raw({**INDEX, "manifests": [{"mediaType": "x", "digest": "md5:0", "size": 1}]}), "invalid-digest"),
    ],
)
def test_broken_documents(data: bytes, code: str) -> None:
    with pytest.raises(CorruptionError) as caught:
        decode(data)
    assert caught.value.code == code


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*IMAGE, "manifests", "x"]), inner),
    ).map(raw)
)
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_a_document_or_an_error(data: bytes) -> None:
    for read in (decode, decode_config):
        try:
            assert read(data) is not None
        except CorruptionError:
            continue


def test_descriptors() -> None:
    assert describe(b"abc", "t") == Descriptor("t", digest_of(b"abc"), 3)


# -- configs --------------------------------------------------------------------------------------------

FULL = ImageConfig(
    architecture="arm64",
    os="linux",
    variant="v8",
    author="me",
    created="2024-01-01T00:00:00Z",
    config=RunConfig(
        user="app",
        exposed_ports={"80/tcp": {}},
        env=("A=b",),
        entrypoint=("/x",),
        cmd=("y",),
        volumes={"/v": {}},
        working_dir="/w",
        labels={"k": "v"},
        stop_signal="SIGINT",
        args_escaped=True,
        healthcheck=Health(("CMD", "x"), interval=5_000_000_000),
        on_build=("RUN x",),
        shell=("/bin/bash", "-c"),
    ),
    rootfs=RootFS(diff_ids=(DiffID(A),)),
    history=(History(created="c", created_by="b", comment="d", empty_layer=True), History()),
)


def test_a_config_round_trips() -> None:
    assert decode_config(encode_config(FULL)) == FULL


def test_the_names_of_the_fields() -> None:
    fields = json.loads(encode_config(FULL))
    assert list(fields) == sorted(fields)
    assert set(fields["config"]) == {
        "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "ArgsEscaped", "Healthcheck",
        "OnBuild", "Shell",
    }  # fmt: skip
    assert fields["config"]["Healthcheck"] == {"Test": ["CMD", "x"], "Interval": 5_000_000_000}
    assert fields["history"] == [{"created": "c", "created_by": "b", "comment": "d", "empty_layer": True}, {}]
    assert fields["rootfs"] == {"type": "layers", "diff_ids": [A]}


def test_the_smallest_config() -> None:
    assert json.loads(encode_config(ImageConfig())) == {"config": {}, "history": [], "rootfs": {"type": "layers", "diff_ids": []}}


def test_nulls_in_configs_of_go_programs() -> None:
    data = raw(
        {
            "config": {"Env": None, "Labels": None, "Volumes": {"/v": None}, "ExposedPorts": {"80/tcp": {}}, "Cmd": None},
            "history": None,
            "rootfs": {"type": "layers", "diff_ids": None},
        }
    )
    config = decode_config(data)
    assert config.config == RunConfig(volumes={"/v": {}}, exposed_ports={"80/tcp": {}})
    assert config.rootfs.diff_ids == ()
    assert config.history is None


def test_fields_that_nobody_knows_are_passed_over() -> None:
    assert decode_config(raw({"container": "x", "config": {"Hostname": "h", "AttachStdin": False}, "docker_version": "1"})) == ImageConfig()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        b'{"author":"\xff"}',
        b"[" * 100_000,
        raw({"config": []}),
        raw({"config": {"Env": "A=b"}}),
        raw({"rootfs": {"diff_ids": ["../x"]}}),
        b" " * ((8 << 20) + 1),
    ],
)
def test_broken_configs(data: bytes) -> None:
    with pytest.raises(CorruptionError) as caught:
        decode_config(data)
    assert caught.value.code in ("config-invalid", "config-too-large", "invalid-digest")


def test_maps_are_written_in_order_of_their_keys() -> None:
    first = ImageConfig(config=RunConfig(labels={"b": "1", "a": "2"}, exposed_ports={"9/tcp": {}, "1/udp": {}}))
    second = ImageConfig(config=RunConfig(labels={"a": "2", "b": "1"}, exposed_ports={"1/udp": {}, "9/tcp": {}}))
    assert encode_config(first) == encode_config(second)
