"""The web page of an installation, really served over TLS on a free port of the loopback;
and browsers without a screen.
"""

from __future__ import annotations

import datetime as dt
import http.client
import re
import socket
import ssl
import subprocess
import sys
import time
from html import unescape
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from lab.installation import Installation, free_port

ROOT = Path(__file__).resolve().parents[1]
WAIT_SECONDS = 30
NAME = "localhost"


class Page:
    """`gitguard admin serve` for `server`, from `start` to `stop`."""

    def __init__(self, server: Installation, *, prefix: str = "", tls: bool = True) -> None:
        self.server = server
        self.port = free_port()
        self.scheme = "https" if tls else "http"
        self.url = f"{self.scheme}://{NAME}:{self.port}{prefix}"
        self.prefix = prefix
        self._process: subprocess.Popen[bytes] | None = None
        server.configure(host={"web_url": self.url})

    def start(self, *words: str) -> None:
        """Serve, and wait until it answers."""
        words = words or self._words()
        log = open(self.server.folder / "web.log", "ab")  # noqa: SIM115 - the process's own from here on
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gitguard", "--config", str(self.server.config), "admin", "serve", *words],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT,
        )  # fmt: skip
        log.close()
        ends = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < ends:
            if self._process.poll() is not None:
                raise RuntimeError(f"the page did not start: {self.log()}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError("the page does not answer")

    def _words(self) -> tuple[str, ...]:
        bind = ("--bind", f"127.0.0.1:{self.port}")
        if self.scheme == "http":
            return bind
        certificate, key = self._certificate()
        return (*bind, "--tls-cert", str(certificate), "--tls-key", str(key))

    def _certificate(self) -> tuple[Path, Path]:
        """A certificate of its own for `localhost`."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        certificate, secret = self.server.folder / "web.crt", self.server.folder / "web.key"
        if certificate.exists():
            return certificate, secret
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
        now = dt.datetime.now(dt.UTC)
        made = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=30))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
            .sign(key, hashes.SHA256())
        )  # fmt: skip
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        secret.touch(0o600)
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate, secret

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        if self._process is None:
            return 0
        self._process.terminate()
        status = self._process.wait(WAIT_SECONDS)
        self._process = None
        return status

    def log(self) -> str:
        """What it has said."""
        return (self.server.folder / "web.log").read_text()


class Answer:
    """What came back: `status`, `headers` (lower case, several lines joined), `body`."""

    def __init__(self, status: int, headers: list[tuple[str, str]], body: str) -> None:
        self.status = status
        self.all_headers = headers
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body

    @property
    def text(self) -> str:
        """The words of the page, without its tags."""
        inside = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", self.body, flags=re.DOTALL)
        return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", inside))).strip()

    @property
    def title(self) -> str:
        """The page's heading."""
        found = re.search(r"<h1>(.*?)</h1>", self.body, re.DOTALL)
        return unescape(found[1].strip()) if found else ""

    @property
    def token(self) -> str:
        """The token of its forms."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.body)
        return found[1] if found else ""

    def value(self, name: str) -> str:
        """The value of its first field of this name."""
        found = re.search(rf'name="{name}" value="([^"]*)"', self.body)
        return unescape(found[1]) if found else ""


class Browser:
    """Cookies and forms, as a browser has them; follows no redirection unless told so."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.cookies: dict[str, str] = {}
        self.last = Answer(0, [], "")
        self._connection: http.client.HTTPConnection | None = None

    def __del__(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        """GET a path below the page's own."""
        return self._ask("GET", path, None, headers or {})

    def post(
        self,
        path: str,
        form: dict[str, str] | None = None,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """POST a form with the token of the page that was seen last, or with `token` ("" for none)."""
        fields = dict(form or {})
        token = self.last.token if token is None else token
        if token:
            fields["csrf_token"] = token
        return self._ask("POST", path, urlencode(fields), headers or {})

    def follow(self, answer: Answer) -> Answer:
        """The page at the end of redirections."""
        for _ in range(10):
            if not 300 <= answer.status < 400:
                return answer
            place = urlsplit(answer.headers["location"])
            assert not place.netloc or f"{place.scheme}://{place.netloc}" == self._origin
            answer = self.get(
                place.path.removeprefix(self.page.prefix) + (f"?{place.query}" if place.query else "")
            )
        raise AssertionError("redirected without end")

    def send(self, path: str, form: dict[str, str] | None = None, **more: str) -> Answer:
        """POST a form, and the page that it leads to."""
        return self.follow(self.post(path, form, **more))  # type: ignore[arg-type]

    @property
    def _origin(self) -> str:
        return f"{self.page.scheme}://{NAME}:{self.page.port}"

    def _answer(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Answer:
        """One request over the connection that is kept, as browsers keep it."""
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request(method, self.page.prefix + path, body, headers)
        response = self._connection.getresponse()
        return Answer(response.status, response.getheaders(), response.read().decode())

    def _connect(self) -> http.client.HTTPConnection:
        if self.page.scheme == "http":
            return http.client.HTTPConnection("127.0.0.1", self.page.port, timeout=WAIT_SECONDS)
        trust = ssl.create_default_context(cafile=str(self.page.server.folder / "web.crt"))
        return http.client.HTTPSConnection(NAME, self.page.port, timeout=WAIT_SECONDS, context=trust)

    def _ask(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Answer:
        sent = {"Host": f"{NAME}:{self.page.port}"}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if body is not None:
            sent |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": self._origin}
        sent |= headers
        kept = {name: value for name, value in sent.items() if value}
        try:
            answer = self._answer(method, path, body, kept)
        except (
            http.client.RemoteDisconnected,
            ConnectionError,
        ):  # it was kept too long, or the page began again
            self._connection = None
            answer = self._answer(method, path, body, kept)
        for name, value in answer.all_headers:
            if name.lower() == "set-cookie":
                cookie, _, held = value.partition(";")[0].partition("=")
                self.cookies[cookie] = held
                if not held:
                    del self.cookies[cookie]
        if answer.token:
            self.last = answer
        return answer


def sign_in(browser: Browser, link: str) -> Answer:
    """Open a link of `2fa web` and press its button; the page that follows."""
    path = urlsplit(link).path.removeprefix(browser.page.prefix)
    shown = browser.get(path)
    assert shown.status == 200, shown.text
    return browser.follow(browser.post("/sign-in/link", {"link": shown.value("link")}))
