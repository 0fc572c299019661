"""Serve the built site on this machine, compressed as a real host would: ``python scripts/serve.py [--port N]``."""

from __future__ import annotations

import argparse
import functools
import gzip
import http.server
import threading
from pathlib import Path

SITE = Path(__file__).resolve().parent.parent / "_build" / "html"
COMPRESSED = (".html", ".js", ".css", ".svg", ".json", ".txt", ".xml")


@functools.lru_cache(maxsize=256)
def compressed(path: Path, modified: int) -> bytes:
    """The file at ``path`` as gzip; ``modified`` is its time stamp, so that a changed file is read again."""
    return gzip.compress(path.read_bytes(), compresslevel=6)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files below one folder; text is gzipped for browsers that accept it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.is_dir():
            path = path / "index.html"
        if not (path.is_file() and path.suffix in COMPRESSED and "gzip" in self.headers.get("Accept-Encoding", "")):
            return super().do_GET()
        body = compressed(path, path.stat().st_mtime_ns)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing: one line a request would hide the address."""


def start(folder: Path = SITE, port: int = 0) -> http.server.ThreadingHTTPServer:
    """Serve ``folder`` on 127.0.0.1 in a background thread; port 0 takes a free one.  ``shutdown()`` ends it."""
    handler = functools.partial(Handler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the built book on this machine.")
    parser.add_argument("--port", type=int, default=8000)
    port = parser.parse_args().port
    if not SITE.joinpath("index.html").exists():
        raise SystemExit("There is no built site yet: run `make book` first.")
    server = start(SITE, port)
    print(f"The book is at http://127.0.0.1:{port}/  (Ctrl-C ends)")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        server.shutdown()


if __name__ == "__main__":
    main()
