"""`layerwright inspect`: an image of the store, whole."""

from __future__ import annotations

import sys

import click

from builder.cli.settings import read_environment

EPILOG = """\b
Examples:
  layerwright inspect app:1
  layerwright inspect --config app:1
"""


@click.command(epilog=EPILOG)
@click.argument("image")
@click.option("--platform", metavar="OS/ARCH", help="The image of an index to look at (this machine's).")
@click.option("--raw", is_flag=True, help="Print the manifest or index, byte for byte.")
@click.option("--config", is_flag=True, help="Print the image's config, byte for byte.")
@click.option("--root", metavar="DIR", help="The store.")
def inspect(image: str, platform: str | None, raw: bool, config: bool, root: str | None) -> int:
    """Show an image of the store as JSON: digests, layers, config."""
    import msgspec

    from builder.cli.userspace import workshop_settings
    from builder.engine.catalogue import stored_image
    from builder.oci.platform import parse_platform
    from builder.store.store import Store

    with Store.open(workshop_settings(read_environment(), root).root) as store:
        found = stored_image(store, image, parse_platform(platform) if platform else None)
    if raw or config:
        data = found.config_raw if config else (found.index_raw if found.index_raw is not None and platform is None else found.manifest_raw)
        sys.stdout.buffer.write(data)
        return 0
    layers = [
        {"digest": layer.digest, "diffId": diff_id, "size": layer.size, "mediaType": layer.media_type}
        for layer, diff_id in zip(found.manifest.layers, found.config.rootfs.diff_ids, strict=False)
    ]
    shown = {
        "name": found.reference.familiar,
        "digest": found.root.digest,
        "manifest": found.descriptor.digest,
        "id": found.manifest.config.digest,
        "platform": str(found.config.platform),
        "created": found.config.created,
        "layers": layers,
        "config": found.config.config,
    }
    click.echo(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode())
    return 0
