"""How an image is to be put together, as its output asks for it: compression, media types, annotations, timestamps."""

from __future__ import annotations

from typing import Literal

import msgspec

from builder.oci.media import Compression
from builder.oci.platform import Platform

AnnotationKind = Literal["manifest", "manifest-descriptor", "index", "index-descriptor"]


class Annotation(msgspec.Struct, frozen=True):
    """One annotation and the document it goes on; `platform` None: on all of them."""

    kind: AnnotationKind
    key: str
    value: str
    platform: Platform | None = None


class ImageOptions(msgspec.Struct, frozen=True):
    """Each with the meaning BuildKit gives the option of that name (reference 1.10).

    `level` None: the default of the compression. `epoch` in seconds: SOURCE_DATE_EPOCH of this output.
    `inline_cache`: the config holds the cache of the image's own steps.
    """

    compression: Compression = "gzip"
    level: int | None = None
    force: bool = False
    oci_media_types: bool = True
    rewrite_timestamp: bool = False
    epoch: int | None = None
    annotations: tuple[Annotation, ...] = ()
    inline_cache: bool = False
