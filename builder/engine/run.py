"""Runs an image's command in a sandbox, once, on a root whose writes are thrown away."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

import msgspec

from builder.engine.bases import BaseImages
from builder.engine.catalogue import runnable_platform
from builder.engine.workshop import Workshop
from builder.errors import LayerwrightError, UsageError
from builder.frontend.state import DEFAULT_PATH
from builder.fs.ownership import lookup_user
from builder.graph.operations import MakeDirectory
from builder.graph.plan import BaseImage
from builder.oci.digest import chain_ids
from builder.oci.platform import Platform, host_platform
from builder.ops.destination import Destination, Times
from builder.ops.emulation import require_platform
from builder.ops.mkdir import make_directory
from builder.snapshot.layers import LayerId
from runtime.spec import Exit, NetworkMode, Process, User

Output = Callable[[Literal["stdout", "stderr"], bytes], None]


class RunRequest(msgspec.Struct, frozen=True):
    """What to run: `args` take the place of the image's CMD; None in the others leaves the image's own."""

    reference: str
    args: tuple[str, ...] = ()
    entrypoint: str | None = None
    env: tuple[tuple[str, str], ...] = ()
    user: str | None = None
    workdir: str | None = None
    network: NetworkMode = "default"
    platform: Platform | None = None


def run_image(request: RunRequest, shop: Workshop, output: Output, cancel: threading.Event, now_ns: int) -> Exit:
    """The command to its end; raises LayerwrightError where there is no such image or it names nothing to run."""
    platform = request.platform or runnable_platform(shop.store, request.reference)
    require_platform(platform, f"name another image, or one for {host_platform()} with --platform")
    image = BaseImages(shop.store, shop.registry, pull=False).resolve(request.reference, platform)
    with shop.layers.draft(_layers(image, shop)) as draft:
        config = image.config.config
        # As `docker run` has it, root without a USER is a member of what /etc/group says; a RUN's is not.
        identity = lookup_user(draft.tree, (config.user if request.user is None else request.user) or "0")
        workdir = request.workdir or config.working_dir or "/"
        make_directory(
            MakeDirectory(workdir), Destination(draft.upper, draft.tree, draft.tree, shop.layers.opaque_xattr), Times(now_ns, None)
        )
        process = Process(
            argv=_command(request, image),
            root=draft.root(),
            env=_environment(request, image, identity.home),
            cwd=workdir,
            user=User(identity.uid, identity.gid, identity.all_groups),
            network=request.network,
            hostname="layerwright",
        )
        ended = shop.sandbox().run(process, output, cancel)
    if ended.setup_error is not None:
        message = f"{request.reference} could not be started: {ended.setup_error}"
        raise LayerwrightError("run-setup", message, help=ended.setup_help or None)
    return ended


def _layers(image: BaseImage, shop: Workshop) -> tuple[LayerId, ...]:
    """The image's layers made known to the store, lowest first; they are unpacked when the draft is made."""
    rows = zip(chain_ids(image.diff_ids), image.diff_ids, image.layers, strict=True)
    return tuple(shop.layers.add_base(chain, diff_id, descriptor, image.origin or None) for chain, diff_id, descriptor in rows)


def _command(request: RunRequest, image: BaseImage) -> tuple[str, ...]:
    config = image.config.config
    if request.entrypoint is not None:
        return (request.entrypoint, *request.args)
    command = (*(config.entrypoint or ()), *(request.args or config.cmd or ()))
    if not command:
        raise UsageError(
            "no-command", f"{request.reference} has neither an entrypoint nor a command", help="name the command to run after the image"
        )
    return command


def _environment(request: RunRequest, image: BaseImage, home: str) -> tuple[tuple[str, str], ...]:
    env = {"PATH": DEFAULT_PATH, "HOME": home}
    for line in image.config.config.env or ():
        key, _, value = line.partition("=")
        env[key] = value
    env.update(request.env)
    return tuple(env.items())
