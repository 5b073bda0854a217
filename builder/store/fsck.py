"""Checks everything in the store against what it says of itself, and repairs what can be: `layerwright fsck`.

What is checked: sqlite's own structure; every blob's bytes; that every layer can be had, by its directory, a
blob or an origin; that every image name's manifest, config and layers can be had; and that nothing lies about
that nobody owns. A repair removes what is broken, so that the next build makes or fetches it anew: a wrong
blob goes; a layer that cannot be had goes with its cache records and all that stands on it; an image name
goes when its manifest or config is gone; a damaged index is set aside and a new one made.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

from builder.errors import CorruptionError, LayerwrightError, NotFoundError
from builder.oci.digest import Digest
from builder.oci.manifest import MAX_MANIFEST, Descriptor, Index, decode
from builder.oci.media import INDEXES, MANIFESTS
from builder.store import sweep
from builder.store.database import set_aside
from builder.store.layertable import EMPTY, LayerRecord
from builder.store.store import Store

Kind = Literal["index", "blob", "layer", "image", "leftover"]


class Problem(msgspec.Struct, frozen=True):
    """One thing that is not as it should be; `repaired` says that it no longer stands in the way."""

    kind: Kind
    subject: str
    message: str
    repaired: bool


def check_root(root: Path, *, repair: bool = False) -> list[Problem]:
    """`check` from the outside: also of a store whose index is damaged or cannot be opened."""
    try:
        with Store.open(root) as store:
            damage = store.index.database.problems()
            if not damage or not repair:
                return check(store, repair=repair)
    except CorruptionError as error:
        if error.code != "index-corrupt":
            raise
        damage = [error.message]
    problems = [Problem("index", "index.db", text, repair) for text in damage]
    if not repair:
        return problems
    set_aside(root / "index.db")
    with Store.open(root) as store:
        return [*problems, *check(store, repair=True)]


def check(store: Store, *, repair: bool = False) -> list[Problem]:
    """Every problem, those of blobs first, since repairing one can show the next."""
    problems = [Problem("index", "index.db", text, False) for text in store.index.database.problems()]
    problems += _blobs(store, repair)
    problems += _layers(store, repair)
    problems += _images(store, repair)
    problems += _leftovers(store, repair)
    return problems


def _blobs(store: Store, repair: bool) -> list[Problem]:
    problems = []
    for digest in store.blobs.digests():
        try:
            with store.blobs.open(digest) as reader:
                reader.drain()
        except NotFoundError:
            continue  # collected meanwhile
        except (CorruptionError, OSError) as error:
            if repair:
                store.blobs.delete(digest)
            message = error.message if isinstance(error, LayerwrightError) else f"blob {digest} cannot be read: {error.strerror}"
            problems.append(Problem("blob", digest, message, repair))
    return problems


def _layers(store: Store, repair: bool) -> list[Problem]:
    problems = []
    for record in store.index.layers.all():
        problem = _layer(store, record, repair)
        if problem is not None:
            problems.append(problem)
    return problems


def _layer(store: Store, record: LayerRecord, repair: bool) -> Problem | None:
    there = record.dir is not None and (store.root / "layers" / record.dir).is_dir()
    packed = record.origin is not None or any(store.blobs.has(blob.digest) for blob in record.blobs)
    table = store.index.layers
    if record.id == EMPTY or (there and packed):
        return None
    if not there and not packed:
        if repair:
            table.delete_with_descendants(record.id)
        return Problem("layer", record.id, f"layer {record.id} has neither a directory nor a blob", repair)
    if record.dir is not None and not there:
        if repair:
            table.set_directory(record.id, None, 0, None)
        return Problem("layer", record.id, f"the directory of layer {record.id} is missing", repair)
    lost = [blob.digest for blob in record.blobs]
    if there and lost:
        if repair:
            for digest in lost:
                table.forget_blob(digest)
        return Problem("layer", record.id, f"the blob of layer {record.id} is missing", repair)
    return None


def _images(store: Store, repair: bool) -> list[Problem]:
    problems = []
    fetchable = {blob.digest for record in store.index.layers.all() if record.origin is not None for blob in record.blobs}
    for name in store.images.list():
        message = _image(store, name.descriptor, fetchable)
        if message is not None:
            if repair:
                store.images.delete(name.reference)
            problems.append(Problem("image", name.reference, message, repair))
    return problems


def _image(store: Store, descriptor: Descriptor, fetchable: set[Digest]) -> str | None:
    """What an image lacks. An index may name images of other platforms that were never pulled."""
    try:
        document = decode(store.blobs.read(descriptor.digest, MAX_MANIFEST), descriptor.media_type)
    except LayerwrightError as error:
        return error.message
    if isinstance(document, Index):
        there = [child for child in document.manifests if child.media_type in INDEXES | MANIFESTS and store.blobs.has(child.digest)]
        messages = [_image(store, child, fetchable) for child in there]
        return next((message for message in messages if message is not None), None)
    for blob in (document.config, *document.layers):
        if not store.blobs.has(blob.digest) and blob.digest not in fetchable:
            return f"blob {blob.digest} of the image is missing"
    return None


def _leftovers(store: Store, repair: bool) -> list[Problem]:
    if repair:
        count = sweep.tidy(store)
        return [Problem("leftover", str(count), f"{count} things that nobody owned were removed", True)] if count else []
    with store.index.database.transaction():
        orphans = sorted(set(os.listdir(store.root / "layers")) - store.index.layers.directories())
    return [Problem("leftover", name, f"directory layers/{name} belongs to no layer", False) for name in orphans]
