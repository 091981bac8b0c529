"""The page as a WSGI application: routes, and what stands around each request."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from flask import Flask
from flask_wtf.csrf import CSRFProtect

from gitguard.action.installation import settings_of
from gitguard.config.cache import SettingsCache
from gitguard.factor import keyring
from gitguard.session.moment import Moment, now
from gitguard.web import (
    account,
    checks,
    double_submit,
    health,
    logo,
    middleware,
    repositories,
    set_up,
    sign_in,
    verify,
)
from gitguard.web.admin import doctor, overview, people, policy, records
from gitguard.web.deadlines import LONGEST_FORM_BYTES
from gitguard.web.enrolments import PendingEnrolments
from gitguard.web.limit import Limiter
from gitguard.web.middleware import HEADERS
from gitguard.web.recent import Recent
from gitguard.web.render import show_with
from gitguard.web.results import Results
from gitguard.web.texts import Texts

Environ = dict[str, Any]
Start = Callable[..., Any]


def create_app(config: str, clock: Callable[[], Moment] = now) -> Flask:
    """The page of the installation whose configuration is at `config`. Raises ConfigurationError, Refusal."""
    settings = settings_of(config)
    app = Flask(__name__)
    app.config.update(
        CONFIG=config,
        NOW=clock,
        # One key for every process of this installation, so that a restart signs nobody out.
        SECRET_KEY=keyring.read(settings.paths.key_ring).digest("web cookie", "", "").hex(),
        SESSION_COOKIE_NAME=cookie_name(settings.host.web_url),
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=timedelta(hours=12),
        MAX_CONTENT_LENGTH=LONGEST_FORM_BYTES,
        WTF_CSRF_TIME_LIMIT=None,  # as long as the browser is signed in
        WTF_CSRF_SSL_STRICT=False,  # it asks for a Referer, which we forbid; middleware.py asks for Origin
    )
    app.url_map.strict_slashes = app.url_map.merge_slashes = False  # no redirection that is not our own
    app.extensions["settings"] = SettingsCache(settings_of)
    app.extensions["enrolments"] = PendingEnrolments()
    app.extensions["limiter"] = Limiter()
    app.extensions["once"] = Results()
    app.extensions["recent"] = Recent()
    app.extensions["doctor"] = doctor.Looks()
    folder = os.path.join(os.path.dirname(os.path.abspath(config)), "texts")
    show_with(app, Texts(settings.web.language, folder))
    middleware.stand_around(app)
    CSRFProtect(app)
    double_submit.install(app)
    checks.install(app)
    for part in (sign_in, verify, set_up, account, repositories, health, logo):
        app.register_blueprint(part.pages)
    for part in (overview, people, policy, records, doctor):
        app.register_blueprint(part.pages, url_prefix="/admin")
    app.wsgi_app = Below(app.wsgi_app, urlsplit(settings.host.web_url).path)  # type: ignore[method-assign, assignment]
    return app


def cookie_name(web_url: str) -> str:
    """A name of its own for each page: a cookie belongs to a host, which two installations may share."""
    return f"__Host-gitguard-{hashlib.sha256(web_url.rstrip('/').lower().encode()).hexdigest()[:8]}"


class Below:
    """Serve the page below the path of `web_url`, whole as the web server in front passes it on."""

    def __init__(self, app: Callable[[Environ, Start], Iterable[bytes]], path: str) -> None:
        self._app = app
        self._path = path.rstrip("/")

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """One request; what lies elsewhere is not ours."""
        path = str(environ.get("PATH_INFO", ""))
        if "//" in path and environ.get("REQUEST_METHOD") == "GET":
            one = re.sub("//+", "/", path)  # a slash too many, typed or pasted; to no other place than here
            start(
                "308 Permanent Redirect",
                [("Location", quote(one)), ("Content-Length", "0"), *HEADERS.items()],
            )
            return [b""]
        if self._path and path != "/healthz":
            if path != self._path and not path.startswith(f"{self._path}/"):
                start(
                    "404 Not Found",
                    [("Content-Type", "text/plain"), ("Content-Length", "10"), *HEADERS.items()],
                )
                return [b"not found\n"]
            environ["SCRIPT_NAME"] = self._path
            environ["PATH_INFO"] = path[len(self._path) :] or "/"
        return self._app(environ, start)
