"""Serve the page: one gunicorn worker with threads, on a loopback address, a Unix
socket, or what systemd hands over.

One worker, since a begun enrolment and the rate of sign-ins live in its memory (enrolments.py, limit.py);
its threads wait for the store and for pushes that continue, and Python is quick enough for what people
type (docs/web.md has figures).
"""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication
from msgspec import Struct

from gitguard.config.faults import ConfigurationError
from gitguard.message.numbers import number
from gitguard.message.reasons import Refusal, printable
from gitguard.web.app import create_app
from gitguard.web.deadlines import Watch
from gitguard.web.peer import is_trusted
from gitguard.web.worker import Worker

BIND = "127.0.0.1:8321"
THREADS = 32  # they wait more than they work: for the store, for a push that continues, for slow clients
GRACEFUL_SECONDS = 20


class Listening(Struct, frozen=True):
    """Where to listen. `certificate`, `key`: PEM files, "" for none; `handle`:
    the open socket, -1 for none.
    """

    bind: str = ""
    socket: str = ""
    certificate: str = ""
    key: str = ""
    behind_proxy: bool = False
    handle: int = -1

    @property
    def place(self) -> str:
        """For people: `unix:/run/gitguard/web.socket`, `127.0.0.1:8321`."""
        return f"unix:{self.socket}" if self.socket else self.bind or BIND


def check(listening: Listening) -> None:
    """Raises Refusal("usage") for what must not be: passwords of a day over the wire in clear."""
    if bool(listening.certificate) != bool(listening.key):
        raise Refusal("usage", text="--tls-cert and --tls-key belong together")
    for path in (listening.certificate, listening.key):
        if path and not os.access(path, os.R_OK):
            raise Refusal("usage", text=f"{path} cannot be read by the Git account")
    if listening.socket:
        return
    host, colon, port = listening.place.rpartition(":")
    if not colon or not number(port, 65535):
        raise Refusal("usage", text=f"--bind takes HOST:PORT, not {printable(listening.place, 60)}")
    if _is_loopback(host.strip("[]")) or listening.certificate or listening.behind_proxy:
        return
    raise Refusal(
        "usage",
        text=f"{printable(host, 60)} listens on the network, so codes would travel unencrypted",
        hint="listen on 127.0.0.1 behind a web server, give --tls-cert and --tls-key, or add --behind-proxy",
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Service(BaseApplication):  # type: ignore[misc]
    """Our application under gunicorn, configured by us alone."""

    def __init__(self, config: str, listening: Listening, ready: Callable[[], None]) -> None:
        self._config = config
        self._listening = listening
        self._ready = ready
        super().__init__()

    def init(self, parser: Any, opts: Any, args: Any) -> None:
        """Nothing of the command line is gunicorn's."""

    def load_config(self) -> None:
        """What gunicorn may not guess. MUST: no header of a client moves the page or its scheme."""
        options: dict[str, Any] = {
            "bind": f"fd://{self._listening.handle}" if self._listening.socket else self._listening.place,
            "certfile": self._listening.certificate or None,
            "keyfile": self._listening.key or None,
            "workers": 1,
            "worker_class": Worker,
            "threads": THREADS,
            "graceful_timeout": GRACEFUL_SECONDS,
            "preload_app": True,
            "accesslog": None,
            "loglevel": "warning",
            "proc_name": "gitguard-web",
            "control_socket_disable": True,
            "forwarder_headers": "",
            "secure_scheme_headers": {},
            "server_software": "gitguard",
            "forwarded_allow_ips": "",
            "when_ready": self._listens,
        }
        for name, value in options.items():
            if name in self.cfg.settings:  # older ones have no control socket
                self.cfg.set(name, value)

    def _listens(self, _: Any) -> None:
        self._ready()

    def load(self) -> Any:
        """The page, and what watches its clients."""
        app = create_app(self._config)
        settings = app.extensions["settings"]

        def is_counted(address: str) -> bool:
            try:
                return not is_trusted(address, "", settings(self._config))
            except (ConfigurationError, Refusal):
                # broken just now: which of them are proxies is not known, and each request says
                # what is broken
                return False

        Worker.watch = Watch(lambda conn: conn.sock, is_counted)
        return Worker.watch.wrap(app)


def serve(config: str, listening: Listening, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is called when it listens. Raises Refusal,
    ConfigurationError, SystemExit.
    """
    check(listening)
    create_app(config)  # a fault is said here, in words
    os.environ.pop("GUNICORN_CMD_ARGS", None)
    # The server's own zone, once: reading dates must not switch it while other threads tell the time.
    os.environ.pop("TZ", None)
    time.tzset()
    _Service(config, listening, ready).run()
