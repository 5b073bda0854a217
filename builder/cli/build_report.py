"""--metadata-file: what a build made, with the keys of `docker buildx build`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from builder.engine.build import BuildOutcome


def write_metadata(path: str, outcome: BuildOutcome) -> None:
    """Writes the JSON document."""
    document: dict[str, object] = {
        "buildx.build.ref": outcome.id,
        "containerimage.digest": outcome.digest,
        "containerimage.descriptor": msgspec.to_builtins(outcome.result.descriptor),
    }
    if outcome.result.index_raw is None:
        document["containerimage.config.digest"] = outcome.config_digest
    if outcome.tags:
        document["image.name"] = ",".join(outcome.tags)
    Path(path).write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
