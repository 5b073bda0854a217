"""What to do about a difference between two builds of one Dockerfile: by what differs, and where it lies."""

from __future__ import annotations

import re
from collections.abc import Iterable

from builder.compare.differences import FileDifference
from builder.compare.first import Found, is_time

EPOCH = "set SOURCE_DATE_EPOCH, as SOURCE_DATE_EPOCH=$(git log -1 --pretty=%ct), for the times of config and history"
REWRITE = "add rewrite-timestamp=true to the output, as -o type=image,rewrite-timestamp=true, for the times of files"
OLDER = "a time before SOURCE_DATE_EPOCH is kept: the step sets it itself"
NAMED = "a name that only one build has comes from time or chance: give it a fixed one, or remove it in the same RUN"
CONTENT = "what a file holds comes from time, chance, the network or an order that is not fixed: find what writes it"

_PLACES = (
    (r".*\.pyc\Z", "byte code holds the time of its source: set PYTHONDONTWRITEBYTECODE=1, or remove __pycache__ in the same RUN"),
    (r"var/log/|.*\.log\Z", "logs name the time: remove them in the same RUN, or run it with --mount=type=tmpfs,target=/var/log"),
    (r"var/cache/ldconfig/aux-cache\Z", "remove /var/cache/ldconfig/aux-cache in the same RUN; ldconfig makes it again"),
    (
        r"var/lib/apt/|var/cache/|root/\.cache/|root/\.npm/",
        "keep caches out of the image: --mount=type=cache, or remove them in the same RUN",
    ),
    (r"(?:etc|var/lib/dbus)/machine-id\Z", "empty /etc/machine-id in the same RUN; it is made at the first start"),
    (r"etc/ssh/ssh_host_.*_key", "make host keys at the first start, not in the image: everybody who has it has them"),
    (r"(?:var/)?tmp/", "remove temporary files in the same RUN, or run it with --mount=type=tmpfs,target=/tmp"),
    (
        r".*\.(?:tar|tgz|gz|zip|jar|whl|a|deb|xz|bz2)\Z",
        "archives hold times and the order of files: gzip -n; tar --sort=name --mtime=@$SOURCE_DATE_EPOCH --owner=0 --group=0; zip -X",
    ),
    (r".*\.git/", "keep .git out of the image, with .dockerignore or a copy of what is needed"),
)


def remedies(found: Iterable[Found], *, epoch: bool, rewrite: bool) -> tuple[str, ...]:
    """What would help against these differences, each said once; `epoch` and `rewrite` say what was asked for."""
    advised: dict[str, None] = {}
    for difference in found:
        if isinstance(difference, FileDifference):
            for text in _file(difference, epoch=epoch, rewrite=rewrite):
                advised[text] = None
        elif is_time(difference) and not epoch:
            advised[EPOCH] = None
    return tuple(advised)


def _file(difference: FileDifference, *, epoch: bool, rewrite: bool) -> Iterable[str]:
    if is_time(difference):
        if not epoch:
            yield EPOCH
        if not rewrite:
            yield REWRITE
        elif epoch:
            yield OLDER
        return
    known = next((text for pattern, text in _PLACES if re.match(pattern, difference.path)), None)
    yield known or (CONTENT if difference.change == "changed" else NAMED)
