"""--cache-from and --cache-to as people write them."""

from __future__ import annotations

import os

import pytest

from builder.cache.spec import ExportSpec, ImportSpec, parse_cache_from, parse_cache_to
from builder.errors import UsageError
from builder.oci.reference import parse_reference

REF = parse_reference("reg.example/app:cache")

FROM = [
    ("reg.example/app:cache", ImportSpec("registry", REF)),
    ("type=registry,ref=reg.example/app:cache", ImportSpec("registry", REF)),
    ("ref=reg.example/app:cache,type=registry,registry.insecure=true", ImportSpec("registry", REF, insecure=True)),
    ("user/app:main", ImportSpec("registry", parse_reference("docker.io/user/app:main"))),
    ("type=local,src=/cache", ImportSpec("local", path="/cache")),
    ("type=local,src=cache/../other,tag=x", ImportSpec("local", path=os.path.abspath("other"), tag="x")),
    ('type=local,"src=/with,comma"', ImportSpec("local", path="/with,comma")),
]

TO = [
    ("reg.example/app:cache", ExportSpec("registry", REF)),
    ("type=registry,ref=reg.example/app:cache,mode=max", ExportSpec("registry", REF, mode="max")),
    (
        "type=registry,ref=reg.example/app:cache,compression=zstd,compression-level=22,force-compression=true,ignore-error=1",
        ExportSpec("registry", REF, compression="zstd", level=22, force=True, ignore_error=True),
    ),
    ("type=registry,ref=reg.example/app:cache,image-manifest=true,oci-mediatypes=true", ExportSpec("registry", REF)),
    ("type=registry,ref=reg.example/app:cache,compression=uncompressed", ExportSpec("registry", REF, compression="none")),
    ("type=local,dest=/cache,mode=max,cache-mounts=true", ExportSpec("local", path="/cache", mode="max", mounts=True)),
    ("type=inline", ExportSpec("inline")),
]


@pytest.mark.parametrize(("text", "spec"), FROM)
def test_imports(text: str, spec: ImportSpec) -> None:
    assert parse_cache_from(text) == spec


@pytest.mark.parametrize(("text", "spec"), TO)
def test_exports(text: str, spec: ExportSpec) -> None:
    assert parse_cache_to(text) == spec


BAD = [
    (parse_cache_from, "", "--cache-from is empty", "write as type=registry,ref=host/name:tag"),
    (
        parse_cache_from,
        "ref=reg.example/app",
        "--cache-from 'ref=reg.example/app' has no type",
        "add type=, one of registry, local, inline",
    ),
    (parse_cache_from, "type=registry", "--cache-from type=registry has no ref", "add ref=host/name:tag"),
    (parse_cache_from, "type=local", "--cache-from type=local has no src", "add src=DIRECTORY"),
    (parse_cache_from, "type=locl,src=x", "'locl' is not a type of --cache-from", "did you mean local?"),
    (parse_cache_to, "type=local,dest=x,compresion=zstd", "--cache-to has no option 'compresion'", "did you mean compression?"),
    (
        parse_cache_from,
        "type=inline",
        "--cache-from type=inline does not exist",
        "an image's inline cache is read with --cache-from type=registry,ref=IMAGE",
    ),
    (
        parse_cache_from,
        "type=gha",
        "--cache-from type=gha is not supported",
        "use type=registry, or type=local with the CI's own cache of directories",
    ),
    (parse_cache_to, "type=local", "--cache-to type=local has no dest", "add dest=DIRECTORY"),
    (parse_cache_to, "type=inline,mode=max", "--cache-to type=inline has only mode=min", "use type=registry for mode=max"),
    (parse_cache_to, "type=registry,ref=a/b,mode=mid", "--cache-to: mode='mid' is neither min nor max", None),
    (
        parse_cache_to,
        "type=registry,ref=a/b,compression-level=10",
        "--cache-to: compression-level=10 is over the highest of gzip",
        "it goes up to 9",
    ),
    (parse_cache_to, f"a/b@sha256:{'0' * 64}", f"--cache-to: a/b@sha256:{'0' * 64} has a digest", "name a tag"),
    (
        parse_cache_to,
        "type=registry,ref",
        "--cache-to 'type=registry,ref': 'ref' is not KEY=VALUE",
        "write as type=registry,ref=host/name:tag",
    ),
]


@pytest.mark.parametrize(("parse", "text", "message", "help"), BAD)
def test_what_cannot_be_meant(parse, text: str, message: str, help: str | None) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert (caught.value.message, caught.value.help) == (message, help)
