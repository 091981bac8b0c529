"""One deadline for sending a request and one for taking its answer, kept by a watching thread from
the moment a client connects.

A timeout of the socket counts from byte to byte, so whoever sends one byte a second keeps a thread for
minutes; and in TLS the handshake comes before any of it. So each connection has a state and an end, and one
thread shuts down whatever is overdue: the thread that waits for it then reads an end of file.
"""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from gitguard.session.scope import neighbours_of

READ_SECONDS = 10  # from connecting to the last byte of the form, handshake included
WRITE_SECONDS = 10  # to take the answer, which is a few thousand bytes
MOST_UNFINISHED = 8  # connections of one network whose request is not there yet; the oldest makes room
MOST_OF_NETWORK = 16  # with those whose answer is made or taken: half of the threads
LONGEST_FORM_BYTES = 8 * 1024
_LOOK_SECONDS = 0.2

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class _Watched:
    """One connection. `network` is "" for who is not counted; `ends` (monotonic) is None while
    the page works on an answer.
    """

    def __init__(self, network: str, ends: float) -> None:
        self.network = network
        self.ends: float | None = ends
        self.reading = True
        self.shut = False


class Watch:
    """What each connection is doing, and until when it may. `socket_of` gives a connection's present socket.

    `is_counted`: whether an address counts for its network: one proxy speaks for many people.
    """

    def __init__(self, socket_of: Callable[[Any], socket.socket], is_counted: Callable[[str], bool]) -> None:
        self._socket_of = socket_of
        self._is_counted = is_counted
        self._watched: dict[Any, _Watched] = {}
        self._lock = threading.Lock()
        self._here = threading.local()

    def start(self) -> None:
        """Begin to look, in a thread that ends with the process."""
        threading.Thread(target=self._look, name="deadlines", daemon=True).start()

    def reading(self, connection: Any, address: str = "") -> None:
        """A client has connected, or sends its next request: the time for it begins, once."""
        network = neighbours_of(address) if address and self._is_counted(address) else ""
        with self._lock:
            if connection in self._watched:
                return
            self._watched[connection] = _Watched(network, time.monotonic() + READ_SECONDS)
            over = self._over(network) if network else []
        for one in over:
            self._shut(one)

    def _over(self, network: str) -> list[Any]:
        """The oldest of a network that are too many, each named once: it stands here until
        its thread has let go of it.
        """
        own = [(one, w) for one, w in self._watched.items() if w.network == network and not w.shut]
        unfinished = [one for one, w in own if w.reading]
        over = unfinished[: max(len(unfinished) - MOST_UNFINISHED, 0)]
        over += [one for one, w in own if w.ends is not None and one not in over][
            : max(len(own) - len(over) - MOST_OF_NETWORK, 0)
        ]
        for one in over:
            self._watched[one].shut = True
        return over

    def done(self, connection: Any) -> None:
        """The answer is out, or the connection is closed."""
        with self._lock:
            self._watched.pop(connection, None)

    def around(self, connection: Any, act: Callable[[Any], Any]) -> Any:
        """What `act` gives, while this thread serves the connection."""
        self._here.connection = connection
        try:
            return act(connection)
        finally:
            self._here.connection = None

    def wrap(self, app: Application) -> Application:
        """`app`, given its request when all of it is there, and with the time for its answer
        running from when it is made.
        """

        def watched(environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
            environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(LONGEST_FORM_BYTES + 1))
            self._turn(None)
            answer = app(environ, start)
            self._turn(time.monotonic() + WRITE_SECONDS)
            return answer

        return watched

    def _turn(self, ends: float | None) -> None:
        with self._lock:
            one = self._watched.get(getattr(self._here, "connection", None))
            if one is not None:
                one.reading, one.ends = False, ends

    def _look(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            at = time.monotonic()
            with self._lock:
                late = [one for one, w in self._watched.items() if w.ends is not None and w.ends <= at]
            for one in late:
                self._shut(one)

    def _shut(self, connection: Any) -> None:
        """End it from beside. MUST: not by the TLS layer, which the thread that reads is in."""
        with contextlib.suppress(
            OSError
        ):  # it has just been closed; or is being wrapped, and is met at the next look
            socket.socket.shutdown(self._socket_of(connection), socket.SHUT_RDWR)
