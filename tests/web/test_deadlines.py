"""Clients that are slow on purpose: in clear, over TLS, behind nginx and Apache, each in each way.
The page answers everyone else.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gitguard.web import deadlines
from gitguard.web.deadlines import MOST_UNFINISHED, READ_SECONDS, Watch
from gitguard.web.serving import THREADS
from lab.fronts import Front
from lab.page import NAME, Browser, Page
from lab.server import Direct

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
MANY = THREADS + 8
SOON_SECONDS = 2.0  # an honest request on a machine with two busy cores
SLACK_SECONDS = 4.0
HEAD = b"POST /2fa/sign-in/link HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/x-www-form-urlencoded\r\n"


def nothing(_: int) -> list[bytes]:
    """Connects, and says nothing."""
    return []


def half_a_handshake(_: int) -> list[bytes]:
    """The beginning of a TLS client hello."""
    return [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"]


def half_a_head(port: int) -> list[bytes]:
    """A head without its end."""
    return [HEAD % port]


def half_a_form(port: int) -> list[bytes]:
    """A head that promises more than comes."""
    return [HEAD % port + b"Content-Length: 100\r\n\r\nlink="]


def a_drip_of_head(port: int) -> list[bytes]:
    """A byte now and then, for ever: no wait between two of them is long."""
    return [HEAD % port, *([b"X"] * 1000)]


def a_drip_of_form(port: int) -> list[bytes]:
    """The same in the form."""
    return [HEAD % port + b"Content-Length: 4000\r\n\r\n", *([b"a"] * 1000)]


WAYS = (nothing, half_a_handshake, half_a_head, half_a_form, a_drip_of_head, a_drip_of_form)
PLAIN = (nothing, half_a_handshake)  # below TLS, where there is any


class Slow:
    """One connection that is slow in one way."""

    def __init__(self, way: Callable[[int], list[bytes]], page: Page) -> None:
        self.way = way.__name__
        self.pieces = way(page.port)
        self.began = time.monotonic()
        self.socket: socket.socket = socket.create_connection(("127.0.0.1", page.port), timeout=READ_SECONDS)
        if page.scheme == "https" and way not in PLAIN:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket, server_hostname=NAME)
        self.socket.settimeout(READ_SECONDS)
        self.say()

    def say(self) -> None:
        """The next piece."""
        with contextlib.suppress(OSError):
            if self.pieces:
                self.socket.sendall(self.pieces.pop(0))


def ended_within(slow: list[Slow], seconds: float) -> dict[str, int]:
    """Let them drip for so long; how many of each way the server has not let go by then."""
    watching = selectors.DefaultSelector()
    for one in slow:
        watching.register(one.socket, selectors.EVENT_READ, one)
    ends = time.monotonic() + seconds
    while watching.get_map() and time.monotonic() < ends:
        for key, _ in watching.select(0.25):
            with contextlib.suppress(OSError):
                if key.data.socket.recv(4096):
                    continue  # an answer that says so; the end follows
            watching.unregister(key.fileobj)
        for key in list(watching.get_map().values()):
            key.data.say()
    left: dict[str, int] = {}
    for key in watching.get_map().values():
        left[key.data.way] = left.get(key.data.way, 0) + 1
    return left


@pytest.fixture(scope="module", params=["clear", "tls", "nginx", "apache"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page, as it may be reached."""
    server = Direct(tmp_path_factory.mktemp("slow") / "server")
    server.install()
    page: Page
    if request.param in ("nginx", "apache"):
        page = Front(server, request.param)
    else:
        page = Page(server, prefix="/2fa", tls=request.param == "tls")
    page.kind = request.param  # type: ignore[attr-defined]
    page.start()
    yield page
    page.stop()


@pytest.mark.parametrize("way", WAYS)
def test_who_is_slow_stops_nobody(page: Page, way: Callable[[int], list[bytes]]) -> None:
    """ATTACK: more connections than there are threads, all slow in one way. EXPECTED:
    others are answered at once.
    """
    slow = []
    try:
        for _ in range(MANY):
            with contextlib.suppress(OSError):  # it may be let go before it has said its piece
                slow.append(Slow(way, page))
        began = time.monotonic()
        assert Browser(page).get("/sign-in").status == 200
        assert time.monotonic() - began < SOON_SECONDS
    finally:
        for one in slow:
            one.socket.close()


def test_all_of_them_are_let_go(page: Page) -> None:
    """One of each way: ten seconds after it connected each is gone, however
    little it waits between two bytes.

    nginx itself waits on between two bytes of a form; that costs nginx a connection, and the page nothing.
    """
    slow = [Slow(way, page) for way in WAYS]
    try:
        left = ended_within(slow, READ_SECONDS + SLACK_SECONDS)
        assert Browser(page).get("/sign-in").status == 200
    finally:
        for one in slow:
            one.socket.close()
    kind = page.kind  # type: ignore[attr-defined]
    allowed = {"nginx": {"nothing", "half_a_handshake", "a_drip_of_form"}, "apache": {"nothing"}}.get(
        kind, set()
    )
    assert set(left) <= allowed, left


@pytest.mark.parametrize("length", [deadlines.LONGEST_FORM_BYTES, deadlines.LONGEST_FORM_BYTES + 1])
def test_how_long_a_form_may_be(page: Page, length: int) -> None:
    """Eight kilobytes are read, one byte more is not; anyone who is in front says the same."""
    browser = Browser(page)
    browser.get("/sign-in")
    answer = browser._ask("POST", "/sign-in/link", "x" * length, {})
    assert answer.status == (400 if length == deadlines.LONGEST_FORM_BYTES else 413), answer.text


def test_the_oldest_of_a_network_makes_room(tmp_path: Path) -> None:
    """Eight unfinished of one network; the ninth ends the first. A proxy that is believed speaks
    for many, and is not counted.
    """
    shut: list[Any] = []
    pairs = [socket.socketpair() for _ in range(30)]
    try:
        watch = Watch(lambda number: pairs[number][0], lambda address: address != "10.0.0.1")
        watch._shut = shut.append  # type: ignore[method-assign, assignment]
        for number in range(MOST_UNFINISHED + 1):
            watch.reading(number, "192.0.2.1")
        assert shut == [0]
        for number in range(10, 10 + MOST_UNFINISHED + 3):
            watch.reading(number, "10.0.0.1")
        watch.reading(25, "198.51.100.1")
        assert shut == [0]
        watch.reading(9, "192.0.2.1")
        assert shut == [0, 1], "one that is shut is named once, and makes room once"
        watch.done(1)
        watch.done(0)
        watch.reading(26, "192.0.2.2")
        assert shut == [0, 1], "of what is done nothing is counted"
    finally:
        for one, other in pairs:
            one.close()
            other.close()


def test_who_takes_no_answer_takes_no_more_than_half_of_the_threads(tmp_path: Path) -> None:
    """ATTACK: requests that are whole, whose answers nobody reads. EXPECTED: of one
    network so many, and the oldest go.
    """
    shut: list[Any] = []
    watch = Watch(lambda _: socket.socket(), lambda _: True)
    watch._shut = shut.append  # type: ignore[method-assign, assignment]
    for number in range(deadlines.MOST_OF_NETWORK + 3):
        watch.reading(number, "192.0.2.1")
        watch._watched[number].reading = False
        watch._watched[number].ends = time.monotonic() + 10
    assert shut == [0, 1, 2]
    watch.reading(99, "198.51.100.1")
    assert shut == [0, 1, 2]


def test_what_is_overdue_is_ended_in_each_state() -> None:
    """A request that does not come and an answer that nobody takes end; while the
    page itself works, nothing does.
    """
    pairs = [socket.socketpair() for _ in range(3)]
    watch = Watch(lambda number: pairs[number][0], lambda _: True)
    try:
        for number in range(3):
            watch.reading(number)
        app = watch.wrap(lambda environ, start: [environ["wsgi.input"].read()])

        def serve(number: int) -> object:
            return app({"wsgi.input": pairs[number][0].makefile("rb", 0)}, lambda *_: None)

        pairs[1][1].close()
        assert watch.around(1, serve) == [b""]
        watch._watched[2].ends = None  # as while the page makes its answer
        for number in (0, 1):
            ends = watch._watched[number].ends
            assert ends is not None
            watch._watched[number].ends = 0.0
        watch.start()
        pairs[0][1].settimeout(5)
        assert pairs[0][1].recv(1) == b""
        pairs[2][1].setblocking(False)
        with pytest.raises(BlockingIOError):
            pairs[2][1].recv(1)
    finally:
        for one, other in pairs:
            one.close()
            other.close()
