"""Brings the embedded base into a store: the tree of `builder.image.embedded` as an image of one layer."""

from __future__ import annotations

from builder.fs.pack import pack
from builder.image.assemble import write_image
from builder.image.embedded import PATH, assemble, entries
from builder.image.model import Image
from builder.image.options import ImageOptions
from builder.oci.config import History, ImageConfig, RootFS, RunConfig
from builder.oci.manifest import Descriptor
from builder.oci.media import OCI_LAYER_GZIP
from builder.oci.platform import host_platform
from builder.oci.reference import parse_reference
from builder.solver.solve import format_time
from builder.store.store import Store


def import_base(store: Store, name: str, *, epoch: int = 0, busybox: bool = True) -> Image:
    """The base under `name`, in place of what the name meant before; the same machine gives the same digest.

    Raises NotFoundError on a machine without a shell, UsageError for a bad name.
    """
    reference = parse_reference(name)
    with store.blobs.writer() as writer:
        packed = pack(entries(assemble(mtime=epoch, busybox=busybox)), "gzip", None, writer.write)
        writer.commit(packed.digest)
    created = format_time(epoch * 10**9)
    platform = host_platform()
    config = ImageConfig(
        architecture=platform.architecture,
        os=platform.os,
        variant=platform.variant,
        created=created,
        config=RunConfig(env=(f"PATH={PATH}",), cmd=("/bin/sh",), working_dir="/"),
        rootfs=RootFS(diff_ids=(packed.diff_id,)),
        history=(History(created, "layerwright base # files of this machine"),),
    )
    layer = Descriptor(OCI_LAYER_GZIP, packed.digest, packed.size)
    image = write_image(config, (layer,), platform, (), store.blobs, ImageOptions())
    store.images.set(str(reference), image.descriptor)
    return image
