"""Downloading one file over HTTP so that a break at any point costs only what had not come yet.

Time-outs hold for connecting and for each read, and a server that drips is a break like any other. A break, a server
error (5xx), 408 and 429 are tried again, resuming by `Range` and `If-Range` if the server names a version of the file
(ETag or Last-Modified), else from the start; attempts that bring the download on do not count. Redirects are followed,
except from https to http: nobody on the way shall choose the bytes. Proxy variables (`https_proxy`, `no_proxy`) hold.

This is our own code because pooch, the usual library, neither resumes nor bounds: it starts again at byte 0, and a
server that drips or an archive that unpacks without end keeps it busy for ever.
"""

import logging
import re
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPMessage, HTTPResponse, InvalidURL
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from seqrepro.data.sources.failures import SourceError, WrongContent
from seqrepro.data.sources.part import Part, Version, last_part
from seqrepro.data.sources.progress import shown

TIMEOUT_S = 20.0  # to connect, and to wait for the next bytes
SLOW_WINDOW_S = 30.0  # over so long at least
SLOW_RATE = 1024  # bytes a second must come on average
PAUSES_S = (1.0, 3.0, 9.0)  # between attempts that bring nothing
LONGEST_WAIT_S = 120.0  # that a server may ask for
PROGRESS = 1 << 20  # bytes after which the attempts are counted anew
CHUNK = 1 << 18
AGENT = "seqrepro (retrieves public datasets for research)"

log = logging.getLogger(__name__)


class Broken(Exception):
    """An attempt broke off; another may do better, after the seconds that the server asks for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Redirects(HTTPRedirectHandler):
    """Redirects to http and https, and never from https to http."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """The request that follows, as the base class says."""
        if urlsplit(newurl).scheme not in ({"https"} if req.type == "https" else {"http", "https"}):
            raise SourceError(f"redirected from {req.type} to {newurl}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(url: str, part: Part, size: int | None = None) -> None:
    """Bring a download to its end, from where it stands.

    Args:
        url: the file's address.
        part: where its bytes go.
        size: bytes of the file, where known.

    Raises:
        SourceError: the server refuses, gives another size, or breaks off again and again.
        SeqReproError: the disk does not take the bytes.
    """
    failures, furthest = 0, part.have
    while not part.complete():
        try:
            _attempt(url, part, size)
        except Broken as broken:
            failures = 0 if part.have >= furthest + PROGRESS else failures
            furthest = max(furthest, part.have)
            if failures == len(PAUSES_S):
                raise SourceError(f"{broken}{_kept(part)}") from None
            pause = max(PAUSES_S[failures], broken.wait)
            failures += 1
            log.info("%s: %s; trying again in %g s", url, broken, pause)
            time.sleep(pause)


def _kept(part: Part) -> str:
    version = part.version()
    if not part.have or version is None or version.validator is None:
        return ""
    return f" (the next start goes on from the {part.have:,} bytes that are there)"


def _attempt(url: str, part: Part, size: int | None) -> None:
    try:
        with build_opener(Redirects).open(_request(url, part), timeout=TIMEOUT_S) as response:
            _receive(response, url, part, size)
    except HTTPError as error:
        with error:
            raise _refusal(error, part) from None
    except (ValueError, InvalidURL) as error:
        raise SourceError(f"not a usable URL ({_one_line(error)})") from None
    except (OSError, HTTPException) as error:
        raise Broken(_reason(error)) from None


def _request(url: str, part: Part) -> Request:
    request = Request(url, headers={"User-Agent": AGENT, "Accept-Encoding": "identity"})
    version = part.version()
    if part.have and version is not None and version.url == url and version.validator is not None:
        request.add_header("Range", f"bytes={part.have}-")
        request.add_header("If-Range", version.validator)
    return request


def _receive(response: HTTPResponse, url: str, part: Part, size: int | None) -> None:
    if response.status not in (200, 206):
        raise SourceError(f"HTTP {response.status} {response.reason}, expected 200")
    start, version = _announced(response, url)
    resumed = response.status == 206
    if resumed and not (start == part.have and _same(version, part.version())):
        part.drop()
        raise Broken("the server sent a part of another version")
    if size is not None and version.size not in (None, size):
        raise WrongContent(f"the server announces {version.size} bytes, expected {size}")
    if resumed:
        log.info("%s: going on from byte %d", url, start)
    with part.add(version, resumed) as stream, shown(last_part(url), start, version.size) as advance:
        for piece in _pieces(response):
            stream.write(piece)
            advance(len(piece))
            if size is not None and stream.tell() > size:
                raise WrongContent(f"more than the expected {size} bytes came")
    _finish(part, version)


def _announced(response: HTTPResponse, url: str) -> tuple[int, Version]:
    """The byte at which the answer starts, and the version of the whole file that it belongs to."""
    headers = response.headers
    start, length = 0, headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() and not headers.get("Transfer-Encoding") else None
    if response.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", "").strip())
        start = int(found[1]) if found else -1
        total = int(found[2]) if found and found[2] != "*" else None
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    return start, Version(url, headers.get("ETag"), headers.get("Last-Modified"), total, encoding)


def _same(one: Version, other: Version | None) -> bool:
    """Whether nothing that both say differs."""
    if other is None:
        return False
    pairs = ((one.etag, other.etag), (one.modified, other.modified), (one.size, other.size))
    return all(a is None or b is None or a == b for a, b in pairs)


def _finish(part: Part, version: Version) -> None:
    if version.size is None:
        part.write_record(Version(version.url, version.etag, version.modified, part.have, version.encoding))
    elif part.have != version.size:
        raise Broken(f"truncated: {part.have} bytes came, expected {version.size}")
    if not part.have:
        raise WrongContent("an empty file")


def _pieces(response: HTTPResponse) -> Iterator[bytes]:
    since, came = time.monotonic(), 0
    while piece := _read(response):
        yield piece
        came += len(piece)
        seconds = time.monotonic() - since
        if seconds >= SLOW_WINDOW_S:
            if came < SLOW_RATE * seconds:
                raise Broken(f"too slow: {came} bytes in {seconds:.0f} s")
            since, came = time.monotonic(), 0


def _read(response: HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK)
    except (OSError, HTTPException) as error:
        raise Broken(_reason(error)) from None


def _refusal(error: HTTPError, part: Part) -> Exception:
    reason = f"HTTP {error.code} {' '.join(str(error.reason).split())}"
    if error.code == 416:  # the bytes that are there are no beginning of the file
        part.drop()
        return Broken(reason)
    if error.code < 500 and error.code not in (408, 429):
        return SourceError(reason)
    wait = _retry_after(error.headers.get("Retry-After", ""))
    if wait > LONGEST_WAIT_S:
        return SourceError(f"{reason}, asks to wait {wait:.0f} s")
    return Broken(reason, wait)


def _retry_after(text: str) -> float:
    """Seconds: given as such, or as a date; 0 if nothing readable is given."""
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def _reason(error: Exception) -> str:
    return f"cannot be reached ({error.reason})" if isinstance(error, URLError) else _one_line(error)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
