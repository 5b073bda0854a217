"""Entry of the launcher: `python -I -S -E <this file> FD`; `--die-with-parent PROGRAM ARG...` becomes a helper; `--probe` tries the host.

Makes the package importable by itself: nothing beside it, in particular nothing of site-packages, can be
imported, whatever is installed there.
"""

from __future__ import annotations

import gc
import os
import sys
import types


def _only_this_package() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    for name, path in (("runtime", os.path.dirname(here)), ("runtime.child", here)):
        package = types.ModuleType(name)
        package.__path__ = [path]
        sys.modules[name] = package


if __name__ == "__main__":
    gc.disable()  # there is nothing to collect while modules load; half a millisecond each time it looks
    _only_this_package()
    if sys.argv[1] == "--die-with-parent":
        import signal

        from runtime.child import libc

        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and pasta of 2023 takes that for an error
        os.execv(sys.argv[2], sys.argv[2:])
    if sys.argv[1] == "--probe":
        from runtime.child.probe import main as probe

        probe(*sys.argv[2:4])
        sys.exit()
    from runtime.child.launcher import main

    main(int(sys.argv[1]))
