"""Says a word with its checksum, which a program compiled in another stage computes; or serves it over HTTP."""

import argparse
import http.server
import pathlib
import subprocess


def sentence(word: str) -> str:
    """The word, its checksum, and who built the image."""
    checksum = subprocess.run(["checksum", word], capture_output=True, text=True, check=True).stdout.strip()
    builder = pathlib.Path("/home/app/built-by").read_text().strip()
    return f"{word} {checksum} built by {builder}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every GET with the sentence for its path."""

    def do_GET(self) -> None:
        body = (sentence(self.path.strip("/") or "hello") + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--say", metavar="WORD")
    parser.add_argument("--check", action="store_true", help="is everything there?")
    options = parser.parse_args()
    if options.check:
        assert sentence("check").startswith("check ")
    elif options.say:
        print(sentence(options.say))
    else:
        http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()


if __name__ == "__main__":
    main()
