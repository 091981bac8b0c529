"""Web servers in front of the page, as people run them: nginx, Apache, HAProxy and
Caddy with the snippets of etc/.

A snippet is used as it stands but for names of this machine: the socket, the port and the path. `signs_on`
makes the edit that its comment names for single sign-on, and has the server ask for a password. Each listens
with TLS on the loopback, and is ended by its pid.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lab.installation import Installation
from lab.page import ROOT, WAIT_SECONDS, Page

SNIPPETS = {
    "nginx": "etc/nginx/gitguard.conf",
    "apache": "etc/apache/gitguard.conf",
    "haproxy": "etc/haproxy/gitguard.cfg",
    "caddy": "etc/caddy/gitguard.caddyfile",
}
PASSWORD = "opensesame"
LOGIN = "alice"


class Front(Page):
    """The page of `server` behind a web server of `kind`, below /2fa."""

    def __init__(self, server: Installation, kind: str, *, signs_on: bool = False) -> None:
        super().__init__(server, prefix="/2fa")
        self.kind, self.signs_on = kind, signs_on
        self.folder = Path(tempfile.mkdtemp(prefix="gitguard-front-"))
        self.folder.chmod(0o755)  # the web server's own account looks for the socket there
        self.account = self._account()
        web: dict[str, object] = {"trusted_proxies": [f"unix:{self.account}"]}
        if signs_on:
            web["trusted_header"] = "X-Forwarded-User"
        server.configure(web=web)
        self._front: subprocess.Popen[bytes] | None = None

    def _account(self) -> str:
        """As whom the web server connects to the page."""
        if os.geteuid() != 0:
            return pwd.getpwuid(os.geteuid()).pw_name
        return {"nginx": "www-data", "apache": "www-data", "haproxy": "haproxy"}.get(self.kind, "root")

    def start(self, *words: str) -> None:
        """Serve on a socket, and in front of it on the port."""
        self.socket = self.folder / "web.socket"
        before = self.log().count("gitguard: serving") if (self.server.folder / "web.log").exists() else 0
        log = open(self.server.folder / "web.log", "ab")  # noqa: SIM115 - the process's own from here on
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gitguard", "--config", str(self.server.config), "admin", "serve", "--socket",
             str(self.socket), *words],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT,
        )  # fmt: skip
        self._front = subprocess.Popen(
            self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env()
        )
        log.close()
        ends = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < ends:
            if self._front.poll() is not None or self._process.poll() is not None:
                raise RuntimeError(f"{self.kind} did not start: {self.log()}")
            with socket.socket() as probe:
                if (
                    self.log().count("gitguard: serving") > before
                    and probe.connect_ex(("127.0.0.1", self.port)) == 0
                ):
                    return
            time.sleep(0.05)
        raise RuntimeError(f"{self.kind} does not answer: {self.log()}")

    def stop(self) -> int:
        """End both."""
        if self._front is not None:
            self._front.terminate()
            self._front.wait(WAIT_SECONDS)
            self._front = None
        status = super().stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        return status

    def _env(self) -> dict[str, str]:
        return {
            **os.environ,
            "HOME": str(self.folder),
            "XDG_DATA_HOME": str(self.folder),
            "XDG_CONFIG_HOME": str(self.folder),
        }

    def snippet(self) -> str:
        """The snippet of etc/, with this machine's names; with the edit of its
        comment where it signs people on.
        """
        text = (ROOT / SNIPPETS[self.kind]).read_text()
        text = text.replace("/run/gitguard/web.socket", str(self.socket)).replace(
            "git.example.com", f"localhost:{self.port}"
        )
        if self.signs_on:
            text = edited(text)
        return text

    def _command(self) -> list[str]:
        certificate, key = self._certificate()
        both = self.folder / "both.pem"
        both.touch(0o600)
        both.write_bytes(certificate.read_bytes() + key.read_bytes())
        text = getattr(self, f"_{self.kind}")(certificate, key, both)
        config = self.folder / f"{self.kind}.conf"
        config.write_text(text)
        programs = {
            "nginx": ["nginx", "-c", str(config), "-e", "stderr", "-g", "daemon off;"],
            "apache": ["apache2", "-D", "FOREGROUND", "-f", str(config)],
            "haproxy": ["haproxy", "-db", "-f", str(config)],
            "caddy": ["caddy", "run", "--config", str(config), "--adapter", "caddyfile"],
        }
        program, *words = programs[self.kind]
        found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        assert found is not None, f"{program} is not installed: make test installs it"
        return [found, *words]

    def _passwords(self) -> Path:
        """A file of passwords as nginx and Apache read it."""
        path = self.folder / "passwords"
        hashed = subprocess.run(
            ["openssl", "passwd", "-apr1", PASSWORD], capture_output=True, text=True, check=True
        ).stdout.strip()
        path.write_text(f"{LOGIN}:{hashed}\nnobody-here:{hashed}\n")
        return path

    def _nginx(self, certificate: Path, key: Path, _: Path) -> str:
        user = f"user {self.account};" if os.geteuid() == 0 else ""
        asks = f'auth_basic "git"; auth_basic_user_file {self._passwords()};' if self.signs_on else ""
        temporary = " ".join(
            f"{name}_temp_path {self.folder}/{name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return f"""{user} pid {self.folder}/nginx.pid; events {{ worker_connections 200; }}
http {{ access_log {self.folder}/access.log; {temporary}
  server {{ listen 127.0.0.1:{self.port} ssl; server_name localhost; ssl_certificate {certificate}; ssl_certificate_key {key};
  {asks}
  {self.snippet()} }} }}
"""

    def _apache(self, certificate: Path, key: Path, _: Path) -> str:
        modules = "mpm_event proxy proxy_http headers reqtimeout setenvif ssl authn_file authn_core auth_basic authz_core authz_user"
        loads = "\n".join(
            f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in modules.split()
        )
        user = f"User {self.account}\nGroup {self.account}" if os.geteuid() == 0 else ""
        asks = ""
        if self.signs_on:
            asks = f'<Location "/">\nAuthType Basic\nAuthName git\nAuthUserFile {self._passwords()}\nRequire valid-user\n</Location>'
        return f"""{loads}
{user}
ServerRoot {self.folder}
DefaultRuntimeDir {self.folder}
PidFile {self.folder}/apache.pid
ErrorLog /dev/stderr
ServerName localhost
Listen 127.0.0.1:{self.port}
<VirtualHost 127.0.0.1:{self.port}>
SSLEngine on
SSLCertificateFile {certificate}
SSLCertificateKeyFile {key}
{asks}
{self.snippet()}
</VirtualHost>
"""

    def _haproxy(self, _: Path, __: Path, both: Path) -> str:
        asks = f" ca-file {self.client()[0]} verify optional" if self.signs_on else ""
        user = f"    user {self.account}\n    group {self.account}\n" if os.geteuid() == 0 else ""
        return f"""global
    maxconn 500
{user}
defaults
    mode http
    timeout client 30s
    timeout http-request 10s
frontend web
    bind 127.0.0.1:{self.port} ssl crt {both}{asks}
    use_backend gitguard if {{ path /2fa }} || {{ path_beg /2fa/ }}
{self.snippet()}
"""

    def client(self) -> tuple[Path, Path]:
        """A certificate that says who its holder is, for HAProxy, which cannot name who
        gave a password; and its key.
        """
        certificate, key = self.folder / "client.crt", self.folder / "client.key"
        if not certificate.exists():
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                 "-subj", f"/CN={LOGIN}", "-keyout", str(key), "-out", str(certificate)],
                capture_output=True, check=True,
            )  # fmt: skip
            certificate.chmod(0o644)
        return certificate, key

    def _caddy(self, certificate: Path, key: Path, _: Path) -> str:
        asks = ""
        if self.signs_on:
            caddy = shutil.which("caddy") or "caddy"
            hashed = subprocess.run(
                [caddy, "hash-password", "--plaintext", PASSWORD],
                capture_output=True,
                text=True,
                check=True,
                env=self._env(),
            ).stdout.strip()
            asks = f"basicauth {{\n {LOGIN} {hashed}\n nobody-here {hashed}\n }}"
        return f"""{{
    admin off
    auto_https disable_redirects
    servers {{
        timeouts {{
            read_header 10s
            read_body 10s
        }}
    }}
}}
https://localhost:{self.port} {{
    bind 127.0.0.1
    tls {certificate} {key}
    {asks}
{self.snippet()}
}}
"""


def edited(snippet: str) -> str:
    """The snippet with the edit that its comment names: what stands there
    takes the place of the next line.
    """
    lines = snippet.splitlines()
    place = next(number for number, line in enumerate(lines) if "instead of the next line:" in line)
    new = lines[place].partition("instead of the next line:")[2].strip()
    lines[place + 1] = re.match(r"\s*", lines[place + 1])[0] + new  # type: ignore[index]
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def behind(server: Installation, kind: str, *, signs_on: bool = False) -> Iterator[Front]:
    """A front that runs, and is ended afterwards."""
    front = Front(server, kind, signs_on=signs_on)
    try:
        front.start()
        yield front
    finally:
        front.stop()
