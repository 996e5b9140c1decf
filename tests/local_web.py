"""A web server on this machine that behaves as badly as it is told to."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """What stands at one path, and how it is served."""

    body: bytes = b""
    etag: str | None = '"v1"'
    ranges: bool = True  # whether parts are sent
    cuts: list[int] = field(default_factory=list)  # answers in a row that break off after so many bytes
    refusals: list[tuple[int, dict[str, str]]] = field(default_factory=list)  # answers in a row that refuse
    for_ever: tuple[int, dict[str, str]] | None = None  # the refusal that each answer is
    headers: dict[str, str] = field(default_factory=dict)  # added, or put in place of the usual ones
    announce_length: bool = True
    chunked: bool = False
    stall_after: int | None = None  # bytes, then silence
    drip: tuple[int, float] | None = None  # so many bytes each time, and the seconds between


class Web:
    """Pages by path, and what the server was asked and sent."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.agents: set[str | None] = set()
        self.sent = 0
        self.closing = threading.Event()
        self.root = ""

    def put(self, path: str, body: bytes, **how) -> Page:
        self.pages[path] = Page(body, **how)
        return self.pages[path]

    def redirect(self, path: str, to: str, status: int = 302) -> None:
        self.pages[path] = Page(for_ever=(status, {"Location": to}))


class Handler(BaseHTTPRequestHandler):
    web: Web

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.web.asked.append((self.path, wanted))
        self.web.agents.add(self.headers.get("User-Agent"))
        self.close_connection = True
        page = self.web.pages.get(self.path)
        if page is None:
            self.send_error(404)
        elif page.refusals or page.for_ever:
            self.refuse(*(page.refusals.pop(0) if page.refusals else page.for_ever))
        else:
            self.serve(page, self.start(page, wanted))

    def start(self, page, wanted):
        """The byte to start at: not 0 only if a part of this very version is asked for."""
        if not wanted or not page.ranges or self.headers.get("If-Range") not in (None, page.etag):
            return 0
        return int(wanted.removeprefix("bytes=").removesuffix("-"))

    def refuse(self, status, headers):
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def serve(self, page, start):
        if start and start >= len(page.body):
            self.refuse(416, {"Content-Range": f"bytes */{len(page.body)}"})
            return
        if page.chunked:
            self.protocol_version = "HTTP/1.1"
        self.send_response(206 if start else 200)
        usual = {"Content-Length": str(len(page.body) - start)} if page.announce_length else {}
        usual |= {"ETag": page.etag} if page.etag else {}
        usual |= {"Content-Range": f"bytes {start}-{len(page.body) - 1}/{len(page.body)}"} if start else {}
        usual |= {"Transfer-Encoding": "chunked"} if page.chunked else {}
        for name, value in (usual | page.headers).items():
            self.send_header(name, value)
        self.end_headers()
        end = start + page.cuts.pop(0) if page.cuts else len(page.body)
        self.send(page, page.body[start:end], end >= len(page.body))

    def send(self, page, body, whole):
        size = page.drip[0] if page.drip else 1 << 16
        body = body[: page.stall_after]
        for first in range(0, len(body), size):
            self.write(page, body[first : first + size])
            if page.drip and self.web.closing.wait(page.drip[1]):
                return
        if page.stall_after is not None:
            self.web.closing.wait(20)
        if whole and page.chunked:
            self.wfile.write(b"0\r\n\r\n")

    def write(self, page, piece):
        try:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if page.chunked else piece)
            self.web.sent += len(piece)
        except OSError:  # the client has gone
            time.sleep(0.001)

    def log_message(self, *args):
        pass


@contextmanager
def serve() -> Iterator[Web]:
    """A server that runs while the block does."""
    web = Web()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Serving", (Handler,), {"web": web}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    web.root = f"http://127.0.0.1:{server.server_port}"
    try:
        yield web
    finally:
        web.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
