"""Run by an ordinary user (see test_escape): every attempt in a sandbox in a user namespace; prints the report."""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path

from runtime.userns import enter_user_namespace

enter_user_namespace()

from runtime.sandbox import open_sandbox  # noqa: E402 - the namespace comes before anything that could start a thread
from runtime.spec import Overlay, Process, User  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
from host import COMMAND, reachable  # type: ignore[import-not-found]  # noqa: E402

place = Path(tempfile.mkdtemp())
for name in ("upper", "work", "state"):
    (place / name).mkdir(mode=0o755)
(place / "canary").write_text("well")
written: list[bytes] = []
with reachable(place / "canary") as env, open_sandbox(state_dir=str(place / "state")) as sandbox:
    root = Overlay((sys.argv[1],), str(place / "upper"), str(place / "work"))
    process = Process(argv=("/bin/sh", "-c", COMMAND), root=root, env=env, network="none", user=User(int(sys.argv[2])))
    ended = sandbox.run(process, lambda _stream, data: written.append(data), threading.Event())
sys.stdout.buffer.write(b"".join(written))
sys.exit(ended.setup_error)
