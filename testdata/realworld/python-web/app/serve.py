"""A page that greets whoever asks, its name escaped by C code; --once answers one request to itself and ends."""

import os
import pwd
import sys
import threading
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen
from wsgiref.simple_server import WSGIRequestHandler, make_server

import bottle
from markupsafe import Markup, _speedups

PAGE = Markup((Path(__file__).parent / "views/greeting.html").read_text())
PORT = 8000
app = bottle.Bottle()


@app.get("/hello/<name>")
def hello(name: str) -> str:
    return PAGE.format(name=name, user=pwd.getpwuid(os.getuid()).pw_name, revision=os.environ["REVISION"])


class Quiet(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


def main(options: list[str]) -> None:
    if "--check" in options:
        urlopen(f"http://127.0.0.1:{PORT}/hello/check", timeout=2).read()
        return
    server = make_server("0.0.0.0", PORT, app, handler_class=Quiet)
    if "--once" not in options:
        server.serve_forever()
    threading.Thread(target=server.handle_request).start()
    print(urlopen(f"http://127.0.0.1:{PORT}/hello/{quote('<you>')}", timeout=10).read().decode().strip())
    print("escaped by", Path(_speedups.__file__).suffix, "of", Path(sys.prefix))


main(sys.argv[1:])
