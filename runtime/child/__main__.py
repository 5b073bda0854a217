"""Entry of the launcher: `python -I -S -E <this file> FD`.

Makes the package importable by itself: nothing beside it, in particular nothing of site-packages, can be
imported, whatever is installed there.
"""

from __future__ import annotations

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
    _only_this_package()
    from runtime.child.launcher import main

    main(int(sys.argv[1]))
