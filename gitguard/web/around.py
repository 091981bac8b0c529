"""What stands around every request: whose Host it is, whose Origin, and the headers of every answer."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import Forbidden, MisdirectedRequest

from gitguard.config.schema import Settings
from gitguard.web import visit

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Strict-Transport-Security": "max-age=31536000",
}
FREE = ("static", "health.healthz")  # endpoints that look at nothing of anybody's


def stand_around(app: Flask) -> None:
    """Look at each request before anything else does, and at each answer after all else."""
    app.before_request(_before)
    app.after_request(_after)
    app.teardown_request(lambda _: visit.end())


def _before() -> None:
    if request.endpoint in FREE:
        return
    settings = current_app.extensions["settings"](current_app.config["CONFIG"])
    _check_host(settings)
    if request.method not in ("GET", "HEAD"):
        _check_origin(settings)
    visit.begin()


def _check_host(settings: Settings) -> None:
    """MUST: only under the name of `web_url`: or another name that leads here (DNS rebinding) would be same-origin."""
    if request.host.lower() != urlsplit(settings.host.web_url).netloc.lower():
        raise MisdirectedRequest


def _check_origin(settings: Settings) -> None:
    """MUST: a form comes from our own pages. Browsers say so in Origin, and in Sec-Fetch-Site."""
    parts = urlsplit(settings.host.web_url)
    ours = f"{parts.scheme}://{parts.netloc}".lower()
    # Under no-referrer a form of our own says `null`; then Sec-Fetch-Site speaks, and the token in the form.
    origin = request.headers.get("Origin", ours).lower()
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    if origin not in (ours, "null") or site not in ("same-origin", "none"):
        raise Forbidden
    if origin == "null" and "Sec-Fetch-Site" not in request.headers:
        raise Forbidden


def _after(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers[name] = value
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    response.headers.pop("Server", None)
    response.vary.add("Cookie")
    return response
