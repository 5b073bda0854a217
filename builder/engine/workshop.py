"""What a build works with, opened when it is first needed and closed together: store, layers, registry, sandbox."""

from __future__ import annotations

import contextlib
import resource
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from builder.errors import BuildCancelled, LayerwrightError
from builder.oci.manifest import Descriptor
from builder.snapshot.layers import LAYOUT_ORIGIN, LayerLost, Layers
from builder.store.store import Store

if TYPE_CHECKING:
    from builder.registry.client import Registry
    from builder.registry.settings import Settings
    from builder.registry.transfer import Control
    from runtime.sandbox import Sandbox


class WorkshopSettings(msgspec.Struct, frozen=True):
    """Where the store is, how registries are spoken to, and where the sandbox keeps what outlives a build."""

    root: Path
    registry: Settings
    state_dir: str = "/run/layerwright"
    docker_engine: str = "unix:///var/run/docker.sock"
    xattr_prefix: str = "trusted.overlay."
    overlay: bool = True
    store_size: int = 0
    """Bytes that the store may take; 0 for what suits the disk."""


class Workshop:
    """A context manager; the registry's and the sandbox's libraries are loaded by the build that needs them."""

    def __init__(self, settings: WorkshopSettings, control: Control | None = None, cancel: threading.Event | None = None) -> None:
        """Once `cancel` is set, or the block was left by an exception, what is under way ends."""
        self._settings = settings
        self._cancel = cancel or (control.cancel if control else threading.Event())
        self.docker_engine = settings.docker_engine
        self._control = control
        self._stack = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._registry: Registry | None = None
        self._sandbox: Sandbox | None = None

    def __enter__(self) -> Workshop:
        _allow_many_files()
        with contextlib.ExitStack() as stack:
            self.store = stack.enter_context(Store.open(self._settings.root))
            self.layers = stack.enter_context(
                Layers(self.store, self, overlay=self._settings.overlay, xattr_prefix=self._settings.xattr_prefix, cancel=self._cancel)
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            self._cancel.set()
        self._stack.close()

    @property
    def registry_settings(self) -> Settings:
        """What the registry client was told; reading it loads nothing."""
        return self._settings.registry

    def registry(self) -> Registry:
        """The registry client; the first call loads it."""
        with self._lock:
            if self._registry is None:
                from builder.registry.client import Registry
                from builder.registry.transfer import Control
                from builder.store.places import StoredPlaces

                control, places = self._control or Control(cancel=self._cancel), StoredPlaces(self.store.index)
                self._registry = self._stack.enter_context(
                    Registry(self._settings.registry, self.store.blobs, control=control, places=places)
                )
            return self._registry

    def sandbox(self) -> Sandbox:
        """The sandbox; its launcher starts with the first step."""
        with self._lock:
            if self._sandbox is None:
                from runtime.sandbox import open_sandbox

                self._sandbox = open_sandbox(state_dir=self._settings.state_dir)
                self._stack.callback(self._sandbox.close)
            return self._sandbox

    def scratch_store(self) -> Store:
        """An empty store that ends with this workshop."""
        with self._lock:
            return self._stack.enter_context(Store.open(self.store.scratch_directory("cold-")))

    def fetch(self, descriptor: Descriptor, origin: str) -> None:
        """Bring a layer's blob into the store (BlobFetcher); LayerLost for one that an imported cache promised in vain."""
        try:
            if origin.startswith(LAYOUT_ORIGIN):
                from builder.store.layout import Layout, copy_blob

                copy_blob(Layout.at(Path(origin.removeprefix(LAYOUT_ORIGIN))), descriptor, self.store.blobs)
            else:
                self.registry().fetch(descriptor, origin)
        except BuildCancelled:
            raise
        except LayerwrightError as error:
            imported = self.store.index.layers.imported(descriptor.digest)
            if imported is None or imported[1] != origin or error.code == "disk-full":
                raise
            raise LayerLost(imported[0], error.message) from error


def _allow_many_files() -> None:
    """A merged view holds a descriptor a layer; shells start with a soft limit of 1,024, which steps get back from the sandbox."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
