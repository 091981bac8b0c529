"""gunicorn's threaded worker, kept to deadlines: nobody who connects keeps a
thread, and nobody keeps the loop.

Three things differ from gunicorn's own: a new connection waits in the poller until it says something,
not in a thread; each is watched (deadlines.py); and it is closed by the thread that served it, since
closing waits for the client.
"""

from __future__ import annotations

import errno
import time
from concurrent.futures import Future
from functools import partial
from typing import Any

from gunicorn.util import close_graceful
from gunicorn.workers import gthread

from gitguard.web.deadlines import READ_SECONDS, Watch

FULL_SECONDS = 0.05
_CLOSED = object()


def _address(conn: Any) -> str:
    """Who is at the other end, "" over a Unix socket."""
    return str(conn.client[0]) if isinstance(conn.client, tuple) else ""


class Worker(gthread.ThreadWorker):  # type: ignore[misc]
    """`watch` is the application's, set before the worker starts (serving.py)."""

    watch: Watch

    def init_process(self) -> None:
        """As gunicorn does; the watch begins in this process."""
        self.watch.start()
        super().init_process()

    def accept(self, listener: Any) -> None:
        """Take a connection, and wait for its first byte beside all others."""
        try:
            client, address = listener.accept()
        except OSError as error:  # it is gone already
            if error.errno in (errno.EMFILE, errno.ENFILE):
                time.sleep(FULL_SECONDS)  # no descriptor is left: asked again at once it would be the same
            return
        self.nr_conns += 1
        conn = gthread.TConn(self.cfg, client, address, listener.getsockname())
        self.watch.reading(conn, _address(conn))
        conn.timeout = time.monotonic() + READ_SECONDS
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, 1, partial(self.on_pending_socket_readable, conn))  # 1: EVENT_READ

    def handle(self, conn: Any) -> Any:
        """Serve one request, watched. What cannot be kept is closed here, where waiting
        for the client holds up nobody.
        """
        self.watch.reading(conn, _address(conn))
        kept = self.watch.around(conn, super().handle)
        if kept is not True:
            close_graceful(conn.sock)
        self.watch.done(conn)
        return kept if kept is True else _CLOSED

    def murder_pending(self) -> None:
        """As gunicorn does, for those that never said anything."""
        waiting = list(self.pending_conns)
        super().murder_pending()
        for conn in waiting:
            if conn not in self.pending_conns:
                self.watch.done(conn)

    def finish_request(self, conn: Any, fs: Future[Any]) -> None:
        """Count what was closed already; all else as gunicorn does."""
        if not fs.cancelled() and fs.exception() is None and fs.result() is _CLOSED:
            self.nr_conns -= 1
            return
        super().finish_request(conn, fs)
