"""The operations a vertex can be, as data: everything that decides its result, nothing that does not.

Paths inside roots are absolute strings; variables are already expanded. An `Input` is an index into the
vertex's inputs, so that one operation's record says the same whatever its neighbours are called.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from builder.oci.digest import ChainID

Input = int
"""The index of a vertex's input; the root it works on, where it has one, is input 0."""


class ImageSource(msgspec.Struct, frozen=True, tag="image"):
    """An image's root filesystem; only the stack counts, so two tags of one stack are one source.

    The descriptors behind the chain are in the plan's `bases`.
    """

    chain: ChainID


class Scratch(msgspec.Struct, frozen=True, tag="scratch"):
    """A root filesystem of nothing."""


class ContextSource(msgspec.Struct, frozen=True, tag="context"):
    """A named context's files: the main one is `context`."""

    name: str


class HttpSource(msgspec.Struct, frozen=True, tag="http"):
    """One file from an http(s) URL, named `filename`, mode 0600, mtime from Last-Modified."""

    url: str
    filename: str
    checksum: str | None = None
    auth_host: str | None = None


class GitSource(msgspec.Struct, frozen=True, tag="git"):
    """A checkout of a commit; `ref` is a branch, tag, full ref or commit (None: the default branch)."""

    remote: str
    ref: str | None = None
    subdir: str | None = None
    checksum: str | None = None
    keep_git_dir: bool = False
    submodules: bool = True
    mtime_commit: bool = False


class InlineFile(msgspec.Struct, frozen=True):
    """A here-document as a source of COPY or ADD: mode 0644, 0:0."""

    name: str
    content: bytes


class CopyFrom(msgspec.Struct, frozen=True):
    """What is taken out of one input: `paths` as written (wildcards allowed), cleaned inside its root.

    `unpack`: regular files that are archives by content are extracted (the default of ADD for local files).
    `zero_owner`: files become 0:0 (contexts); files of stages and images keep their owner.
    """

    input: Input
    paths: tuple[str, ...]
    unpack: bool = False
    zero_owner: bool = False


class Merge(msgspec.Struct, frozen=True, tag="merge"):
    """The layers of input 1, made on nothing, laid on top of input 0 (COPY --link)."""


class CopyAction(msgspec.Struct, frozen=True, tag="copy"):
    """COPY, and ADD of anything (`add` True), onto input 0 (reference 1.5, 1.6).

    `destination` is absolute, with its trailing slash if it was written with one (or ended in `/.`, or was
    `.` or empty). `sources` in written order; here-documents in `inline` come after them.
    `chown` as written, its names resolved in the root of `owner_input` (None: in input 0); `chmod` as written.
    `link`: input 0 is Scratch and a Merge follows; links at the destination are not followed.
    """

    sources: tuple[CopyFrom, ...]
    destination: str
    inline: tuple[InlineFile, ...] = ()
    chown: str | None = None
    owner_input: Input | None = None
    chmod: str | None = None
    link: bool = False
    parents: bool = False
    excludes: tuple[str, ...] = ()
    add: bool = False


class MakeDirectory(msgspec.Struct, frozen=True, tag="mkdir"):
    """WORKDIR: the directory and its missing parents, 0755, owned by `user` (as written in USER)."""

    path: str
    user: str = ""


class BindSpec(msgspec.Struct, frozen=True, tag="bind"):
    """--mount=type=bind: a path of an input at `target`; writes are thrown away."""

    target: str
    input: Input
    source: str = "/"
    read_only: bool = True


class CacheSpec(msgspec.Struct, frozen=True, tag="cache"):
    """--mount=type=cache; the directory starts as `source` of `input` where there is one."""

    target: str
    id: str
    sharing: Literal["shared", "private", "locked"] = "shared"
    input: Input | None = None
    source: str = "/"
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    read_only: bool = False


class TmpfsSpec(msgspec.Struct, frozen=True, tag="tmpfs"):
    """--mount=type=tmpfs; size in bytes."""

    target: str
    size: int | None = None


class SecretSpec(msgspec.Struct, frozen=True, tag="secret"):
    """--mount=type=secret: a file at `target`, an environment variable `env`, or both."""

    id: str
    target: str | None = None
    env: str | None = None
    required: bool = False
    mode: int = 0o400
    uid: int = 0
    gid: int = 0


class SshSpec(msgspec.Struct, frozen=True, tag="ssh"):
    """--mount=type=ssh: an agent's socket at `target`."""

    id: str
    target: str
    required: bool = False
    mode: int = 0o600
    uid: int = 0
    gid: int = 0


class InlineSpec(msgspec.Struct, frozen=True, tag="inline"):
    """A here-document with a shebang, read-only at /dev/pipes/NAME, mode 0755."""

    target: str
    content: bytes


MountSpec = BindSpec | CacheSpec | TmpfsSpec | SecretSpec | SshSpec | InlineSpec


class RunAction(msgspec.Struct, frozen=True, tag="run"):
    """RUN on input 0. `env` is the whole environment the key covers; proxies are added at run time."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    cwd: str
    user: str
    mounts: tuple[MountSpec, ...] = ()
    network: Literal["default", "none", "host"] = "default"
    insecure: bool = False
    hostname: str = "buildkitsandbox"
    host_names: tuple[str, ...] = ()
    shm_size: int = 64 << 20
    ulimits: tuple[str, ...] = ()
    platform: str = ""


Operation = ImageSource | Scratch | ContextSource | HttpSource | GitSource | CopyAction | Merge | MakeDirectory | RunAction
