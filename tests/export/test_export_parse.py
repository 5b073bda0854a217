"""The grammar of -o and --annotation."""

from __future__ import annotations

import pytest

from builder.errors import UsageError
from builder.export.parse import parse_annotation, parse_output
from builder.export.spec import OutputSpec
from builder.image.options import Annotation
from builder.oci.platform import Platform
from builder.oci.reference import parse_reference

GOOD: list[tuple[str, OutputSpec]] = [
    ("-", OutputSpec("tar", dest="-")),
    ("out", OutputSpec("local", dest="out")),
    ("./out dir", OutputSpec("local", dest="./out dir")),
    ("type=local,dest=out", OutputSpec("local", dest="out")),
    ("type=local,dest=out,mode=delete,platform-split=false", OutputSpec("local", dest="out", delete=True, platform_split=False)),
    ("type=tar", OutputSpec("tar", dest="-")),
    ("type=oci,dest=a.tar", OutputSpec("oci", dest="a.tar")),
    ("type=oci", OutputSpec("oci", dest="-")),
    ("type=oci,tar=false,dest=dir", OutputSpec("oci", dest="dir", tar=False)),
    ('"type=oci","dest=a,b.tar"', OutputSpec("oci", dest="a,b.tar")),
    ("type=docker", OutputSpec("docker")),
    ("type=docker,dest=-", OutputSpec("docker", dest="-")),
    ("TYPE=image,Name=app", OutputSpec("image", names=(parse_reference("app"),))),
    (
        'type=image,"name=app:1,r.example/app:2",push=true',
        OutputSpec("image", names=(parse_reference("app:1"), parse_reference("r.example/app:2")), push=True),
    ),
    ("type=registry,push-by-digest=1", OutputSpec("registry", push=True, push_by_digest=True)),
    ("type=image,store=false,unpack=true,name-canonical=true", OutputSpec("image", store=False)),
    ("type=cacheonly", OutputSpec("cacheonly")),
    (
        "type=oci,compression=zstd,compression-level=19,force-compression=true",
        OutputSpec("oci", dest="-", compression="zstd", level=19, force_compression=True),
    ),
    ("type=oci,compression=uncompressed,oci-mediatypes=false", OutputSpec("oci", dest="-", compression="none", oci_media_types=False)),
    ("type=oci,rewrite-timestamp=true,source-date-epoch=0", OutputSpec("oci", dest="-", rewrite_timestamp=True, epoch=0)),
    ("type=oci,annotation.org.A.b=c=d", OutputSpec("oci", dest="-", annotations=(Annotation("manifest", "org.A.b", "c=d"),))),
    (
        "type=oci,annotation-index-descriptor[linux/arm64].k=v",
        OutputSpec("oci", dest="-", annotations=(Annotation("index-descriptor", "k", "v", Platform("arm64", "linux")),)),
    ),
]


@pytest.mark.parametrize(("text", "spec"), GOOD, ids=[text for text, _ in GOOD])
def test_outputs(text: str, spec: OutputSpec) -> None:
    assert parse_output(text) == spec


BAD = [
    ("", "--output is empty", "write a directory, or type=…"),
    ("dest=a.tar", "--output 'dest=a.tar' has no type", "add type=, one of image, registry, oci, docker, local, tar, cacheonly"),
    ("type=ocj,dest=a", "'ocj' is not a type of --output", "did you mean oci?"),
    ("type=oci,dst=a", "--output has no option 'dst'", "did you mean dest?"),
    ("type=oci,dest", "--output 'type=oci,dest': 'dest' is not KEY=VALUE", "write as type=oci,dest=image.tar"),
    ("type=oci,tar=yes", "--output: tar='yes' is neither true nor false", "write tar=true or tar=false"),
    ("type=oci,tar=false", "--output 'type=oci,tar=false' needs a directory", "write type=oci,tar=false,dest=DIRECTORY"),
    ("type=local", "--output 'type=local' needs a directory", "write type=local,dest=DIRECTORY"),
    ("type=oci,compression=gzp", "--output: 'gzp' is not a compression", "did you mean gzip?"),
    ("type=oci,compression-level=10", "compression-level=10 is not a level of gzip", "0 to 9"),
    ("type=oci,compression-level=high", "--output: compression-level='high' is not a number", None),
    ("type=oci,push=true", "--output type=oci cannot push", "use type=registry, or a second --output"),
    ("type=image,dest=x", "--output type=image has no dest", "leave dest out, or use type=oci"),
    ('type=oci,"dest=a', "--output 'type=oci,\"dest=a' is not CSV: unexpected end of data", 'quote a field with a comma, as "name=a,b"'),
]


@pytest.mark.parametrize(("text", "message", "help"), BAD, ids=[text or "empty" for text, _, _ in BAD])
def test_wrong_outputs(text: str, message: str, help: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        parse_output(text)
    assert (caught.value.message, caught.value.help) == (message, help)


def test_annotations() -> None:
    assert parse_annotation("org.x=a:b=c") == (Annotation("manifest", "org.x", "a:b=c"),)
    assert parse_annotation("index:org.x=a") == (Annotation("index", "org.x", "a"),)
    assert parse_annotation("index,manifest[linux/arm64]:k=v") == (
        Annotation("index", "k", "v", Platform("arm64", "linux")),
        Annotation("manifest", "k", "v", Platform("arm64", "linux")),
    )


@pytest.mark.parametrize("text", ["novalue", "=v", ""])
def test_wrong_annotations(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_annotation(text)
    assert caught.value.code == "invalid-annotation"
