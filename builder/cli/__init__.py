"""The commands: the only place that prints, exits, or reads the environment."""

import gc
import sys

# Loading modules allocates much and frees nothing; looking for cycles meanwhile was 8 % of a build of which nothing
# had changed. A long build allocates enough to be collected all the same.
gc.set_threshold(50_000, 20, 20)

# msgspec asks for typing_extensions and does without: where other packages have brought it, it takes 7 ms to load.
if "typing_extensions" not in sys.modules:
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    import msgspec  # noqa: F401

    del sys.modules["typing_extensions"]
