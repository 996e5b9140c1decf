"""Downloads from a server that breaks off, moves, refuses, waits, drips or changes its mind: whole, or one line."""

import gzip
import hashlib
import io
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from email.utils import formatdate
from pathlib import Path
from urllib.request import Request

import pytest

from local_web import serve
from seqrepro.data.sources import progress, web
from seqrepro.data.sources.failures import SourceError, WrongContent
from seqrepro.data.sources.part import Part

CONTENT = hashlib.shake_256(b"toy").digest(300_000)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(web, "PAUSES_S", (0.0, 0.0))
    monkeypatch.setattr(web, "TIMEOUT_S", 5.0)
    with serve() as server:
        yield server


@pytest.fixture
def part(tmp_path):
    return Part(tmp_path / ".toy.part")


def get(server, part, path: str = "/toy", size: int | None = None) -> bytes:
    web.download(server.root + path, part, size)
    return part.path.read_bytes()


def fails(server, part, path: str = "/toy", size: int | None = None) -> str:
    with pytest.raises(SourceError) as caught:
        get(server, part, path, size)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def starts(server) -> list[int | None]:
    """The bytes at which the answers that were asked for begin; None for the whole file."""
    return [int(wanted[6:-1]) if wanted else None for _, wanted in server.asked]


def test_breaks_are_resumed_and_each_byte_is_sent_once(server, part):
    server.put("/toy", CONTENT, cuts=[100_000, 50_000])
    assert get(server, part) == CONTENT
    assert starts(server) == [None, 100_000, 150_000]
    assert server.sent == len(CONTENT)


def test_a_server_without_ranges_sends_all_again(server, part):
    server.put("/toy", CONTENT, cuts=[100_000], ranges=False)
    assert get(server, part) == CONTENT
    assert starts(server) == [None, 100_000]


def test_a_file_without_a_version_is_never_pieced_together(server, part):
    server.put("/toy", CONTENT, cuts=[100_000], etag=None)
    assert get(server, part) == CONTENT
    assert starts(server) == [None, None]


def test_the_date_of_the_last_change_is_a_version_and_a_weak_etag_is_none(server, part):
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    server.put("/toy", CONTENT, cuts=[100_000], etag=date, headers={"ETag": 'W/"v1"', "Last-Modified": date})
    assert get(server, part) == CONTENT
    assert starts(server) == [None, 100_000]


def test_a_file_that_changed_is_fetched_from_its_start(server, part):
    server.put("/toy", b"old" * 1000, cuts=[100, 0, 0])
    fails(server, part)
    server.put("/toy", CONTENT, etag='"v2"')
    assert get(server, part) == CONTENT
    assert starts(server)[-1] == 100


@pytest.mark.parametrize(
    "changed", [{"ETag": '"v2"'}, {"Content-Range": "bytes 50-299999/300000"}, {"Content-Range": ""}]
)
def test_a_part_of_something_else_is_not_taken(server, part, changed):
    page = server.put("/toy", CONTENT, cuts=[100, 0, 0])
    fails(server, part)
    page.headers = changed  # a server that does not heed If-Range
    assert get(server, part) == CONTENT
    assert starts(server)[-2:] == [100, None]


def test_a_part_longer_than_the_file_is_given_up(server, part):
    page = server.put("/toy", CONTENT, cuts=[100_000, 0, 0])
    fails(server, part)
    page.body = CONTENT[:1000]
    assert get(server, part) == CONTENT[:1000]


def test_attempts_that_bring_the_download_on_do_not_count(server, part, monkeypatch):
    monkeypatch.setattr(web, "PROGRESS", 10_000)
    server.put("/toy", CONTENT, cuts=[20_000] * 10)
    assert get(server, part) == CONTENT
    other = Part(part.path.with_name(".other.part"))
    server.put("/other", CONTENT, cuts=[5_000] * 10)
    assert "truncated: 15000 bytes came" in fails(server, other, "/other")


def test_a_finished_download_asks_nobody(server, part):
    server.put("/toy", CONTENT)
    get(server, part)
    server.pages.clear()
    assert get(server, part) == CONTENT
    assert len(server.asked) == 1


@pytest.mark.parametrize("how", [{"announce_length": False}, {"announce_length": False, "chunked": True}])
def test_a_length_that_nobody_announces(server, part, how):
    server.put("/toy", CONTENT, **how)
    assert get(server, part) == CONTENT
    assert part.complete()


def test_chunks_that_break_off(server, part):
    server.put("/toy", CONTENT, announce_length=False, chunked=True, cuts=[100_000])
    assert get(server, part) == CONTENT
    assert starts(server) == [None, 100_000]


def test_another_size_than_the_registry_knows(server, part):
    server.put("/toy", CONTENT)
    assert fails(server, part, size=5) == "the server announces 300000 bytes, expected 5"
    assert part.have == 0
    server.put("/toy", CONTENT, announce_length=False)
    assert fails(server, part, size=5) == "more than the expected 5 bytes came"


def test_more_bytes_than_announced_are_not_taken(server, part):
    server.put("/toy", CONTENT, headers={"Content-Length": "1000"})
    assert get(server, part) == CONTENT[:1000]  # HTTP knows no more; checksums tell


def test_fewer_bytes_than_announced_are_no_file(server, part):
    server.put("/toy", CONTENT, headers={"Content-Length": "300001"}, ranges=False)
    assert fails(server, part).startswith("truncated: 300000 bytes came, expected 300001")


def test_an_empty_file(server, part):
    server.put("/toy", b"")
    with pytest.raises(WrongContent, match=r"^an empty file$"):
        get(server, part)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_keep_the_range(server, part, status):
    server.put("/there", CONTENT, cuts=[100_000])
    server.redirect("/toy", "/between", status)
    server.redirect("/between", f"{server.root}/there", status)
    assert get(server, part) == CONTENT
    assert server.asked[-1] == ("/there", "bytes=100000-")


def test_redirects_in_a_circle(server, part):
    server.redirect("/toy", "/back")
    server.redirect("/back", "/toy")
    assert "infinite loop" in fails(server, part)


@pytest.mark.parametrize("to", ["ftp://127.0.0.1/toy", "file:///etc/passwd", "data:,toy"])
def test_redirects_elsewhere_than_the_web(server, part, to):
    server.redirect("/toy", to)
    assert to in fails(server, part)


def test_redirects_from_https_to_http_are_refused_and_the_other_way_followed():
    follow = web.Redirects().redirect_request
    with pytest.raises(SourceError, match="redirected from https to http://a/b, which is not followed"):
        follow(Request("https://a/b"), None, 302, "", {}, "http://a/b")
    assert follow(Request("http://a/b"), None, 302, "", {}, "https://a/b").full_url == "https://a/b"


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_refusals_are_final(server, part, status):
    server.put("/toy", CONTENT, refusals=[(status, {})])
    assert fails(server, part).startswith(f"HTTP {status} ")
    assert len(server.asked) == 1


def test_no_content_is_no_file(server, part):
    server.put("/toy", CONTENT, for_ever=(204, {}))
    assert fails(server, part) == "HTTP 204 No Content, expected 200"


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_server_in_trouble_is_asked_again(server, part, status):
    server.put("/toy", CONTENT, refusals=[(status, {}), (status, {})])
    assert get(server, part) == CONTENT


def test_a_server_in_trouble_for_ever(server, part):
    server.put("/toy", CONTENT, for_ever=(503, {}))
    assert fails(server, part) == "HTTP 503 Service Unavailable"
    assert len(server.asked) == 3


def test_the_wait_that_a_server_asks_for(server, part, monkeypatch):
    waits = []
    monkeypatch.setattr(web.time, "sleep", waits.append)
    in_a_minute = formatdate(time.time() + 60, usegmt=True)
    server.put("/toy", CONTENT, refusals=[(503, {"Retry-After": "7"}), (429, {"Retry-After": in_a_minute})])
    assert get(server, part) == CONTENT
    assert waits[0] == 7
    assert 55 < waits[1] <= 60


def test_a_wait_that_is_too_long(server, part):
    server.put("/toy", CONTENT, for_ever=(503, {"Retry-After": "3600"}))
    assert fails(server, part) == "HTTP 503 Service Unavailable, asks to wait 3600 s"
    assert len(server.asked) == 1


@pytest.mark.parametrize("text", ["soon", "", "-5", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_wait_that_says_nothing(server, part, text):
    server.put("/toy", CONTENT, refusals=[(503, {"Retry-After": text})])
    assert get(server, part) == CONTENT


def test_a_server_that_falls_silent(server, part, monkeypatch):
    monkeypatch.setattr(web, "TIMEOUT_S", 0.2)
    server.put("/toy", CONTENT, stall_after=1000)
    message = fails(server, part)
    assert message.startswith("timed out (the next start goes on from the ")
    assert part.have >= 1000


def test_a_server_that_accepts_and_never_answers(part, monkeypatch):
    monkeypatch.setattr(web, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(web, "PAUSES_S", ())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(SourceError, match="timed out"):
        web.download(f"http://127.0.0.1:{silent.getsockname()[1]}/toy", part)


def test_a_server_that_drips(server, part, monkeypatch):
    monkeypatch.setattr(web, "SLOW_WINDOW_S", 0.2)
    monkeypatch.setattr(web, "PAUSES_S", ())
    server.put("/toy", CONTENT, drip=(5, 0.05))
    assert fails(server, part).startswith("too slow: ")


def test_a_server_that_speaks_no_http(part, monkeypatch):
    monkeypatch.setattr(web, "PAUSES_S", ())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as odd:

        def answer():
            with odd.accept()[0] as connection:
                connection.recv(1000)
                connection.sendall(b"220 welcome\nto ftp\r\n" * 3)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(SourceError, match=r"^220 welcome$"):
            web.download(f"http://127.0.0.1:{odd.getsockname()[1]}/toy", part)
        thread.join()


def test_a_server_that_is_not_there(part, monkeypatch):
    monkeypatch.setattr(web, "PAUSES_S", ())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(SourceError, match=r"^cannot be reached \(.*refused\)$"):
        web.download("http://127.0.0.1:9/toy", part)


def test_a_proxy_is_used(server, part, monkeypatch):
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", server.root)
    server.put("http://files.example/toy", CONTENT)
    web.download("http://files.example/toy", part)
    assert part.path.read_bytes() == CONTENT


def test_we_say_who_asks(server, part):
    server.put("/toy", CONTENT)
    get(server, part)
    assert server.agents == {web.AGENT}


def test_bytes_are_stored_as_they_come(server, part):
    packed = gzip.compress(CONTENT)
    server.put("/toy", packed, headers={"Content-Encoding": "gzip"})
    assert get(server, part) == packed
    assert part.version().encoding == "gzip"


@pytest.mark.parametrize("record", ["", "{", "[]", '{"url": "x"}', '{"unknown": 1}'])
def test_a_damaged_record_means_starting_again(server, part, record):
    server.put("/toy", CONTENT, cuts=[100, 0, 0])
    fails(server, part)
    part.record.write_text(record)
    assert get(server, part) == CONTENT
    assert starts(server)[-1] is None


def test_names_of_downloads(tmp_path):
    def name(url):
        return Part.of(tmp_path, url).path.name

    assert name("https://a.org/ml-100k.zip?x=/1").startswith(".ml-100k.zip-")
    assert name("https://a.org/a%20b&c").startswith(".a_20b_c-")
    assert len({name("https://a.org/a"), name("https://b.org/a"), name("https://a.org/a?b")}) == 3
    assert len(name("https://a.org/" + "a" * 5000)) < 120


KILLED = """
import sys
from pathlib import Path
from seqrepro.data.sources.part import Part
from seqrepro.data.sources.web import download
download(sys.argv[1], Part(Path(sys.argv[2])))
"""


def test_a_killed_process_is_resumed_by_the_next(server, part):
    page = server.put("/toy", CONTENT, drip=(10_000, 0.02))
    command = [sys.executable, "-c", KILLED, f"{server.root}/toy", str(part.path)]
    environment = os.environ | {"PYTHONPATH": str(Path(web.__file__).parents[3])}
    process = subprocess.Popen(command, env=environment)
    while part.have < 50_000 and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    page.drip = None
    came, sent = part.have, server.sent
    assert 50_000 <= came < len(CONTENT)
    assert get(server, part) == CONTENT
    assert starts(server) == [None, came]
    assert server.sent - sent <= len(CONTENT) - came + 10_000  # the drop that was on its way


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_on_a_terminal_only(server, part, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    server.put("/toy", CONTENT)
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    get(server, part)
    assert "toy" in screen.getvalue() and "300.0/300.0 kB" in screen.getvalue()
    assert caplog.messages == []
    part.drop()
    monkeypatch.setattr(sys, "stderr", screen := io.StringIO())
    get(server, part)
    assert screen.getvalue() == ""
    assert caplog.messages[-1] == "toy: 0.3 of 0.3 MB"
