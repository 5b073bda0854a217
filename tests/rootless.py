"""`python -m tests.rootless ARGUMENTS`: pytest as root of an ordinary user's user namespace, as builds without root work.

Most of what needs root for owners, overlays and steps runs in there.
"""

from __future__ import annotations

import os
import sys

from runtime.userns import enter_user_namespace

if __name__ == "__main__":
    enter_user_namespace()
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *sys.argv[1:]])
