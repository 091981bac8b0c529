"""What stands around every request: whose Host it is, whose Origin, and the headers of every answer."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import Forbidden, MisdirectedRequest

from gitguard.config.schema import Settings
from gitguard.message.reasons import printable
from gitguard.web import context
from gitguard.web.log import seldom

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
FREE = ("static", "health.healthz")  # endpoints that look at nothing of anyone's


def stand_around(app: Flask) -> None:
    """Look at each request before anything else does, and at each answer after all else."""
    app.before_request(_before)
    app.after_request(_after)
    app.teardown_request(lambda _: context.end())


def _before() -> None:
    if request.endpoint in FREE:
        return
    settings = current_app.extensions["settings"](current_app.config["CONFIG"])
    _check_host(settings)
    if request.method not in ("GET", "HEAD"):
        _check_origin(settings)
    context.begin()


def _check_host(settings: Settings) -> None:
    """MUST: only under the name of `web_url`; otherwise another name that leads here (DNS
    rebinding) would be same-origin.
    """
    scheme, ours = own_origin(settings).split("://")
    # The header as it came: what Flask makes of it strips ports by the scheme between proxy and page.
    asked = request.headers.get("Host", "")
    if _plain(asked, scheme) != ours:
        seldom(
            f"421: asked for under the name {printable(asked, 100)!r}, but [host] web_url is {settings.host.web_url}"
        )
        raise MisdirectedRequest


def own_origin(settings: Settings) -> str:
    """`https://git.example.com`, without the default port, a final dot and capitals: as browsers write it."""
    parts = urlsplit(settings.host.web_url)
    return f"{parts.scheme.lower()}://{_plain(parts.netloc, parts.scheme.lower())}"


def _plain(netloc: str, scheme: str) -> str:
    name = netloc.lower().removesuffix({"https": ":443", "http": ":80"}.get(scheme, " "))
    host, colon, port = name.rpartition(":") if not name.endswith("]") else (name, "", "")
    return f"{(host or name).removesuffix('.')}{colon}{port}" if colon else name.removesuffix(".")


def _check_origin(settings: Settings) -> None:
    """MUST: a form comes from our own pages. Browsers say so in Origin, and in Sec-Fetch-Site."""
    ours = own_origin(settings)
    # Under no-referrer a form of our own says `null`; then Sec-Fetch-Site speaks. Browsers before 2023 do not
    # send it: then the token in the form does, which is looked at in either case.
    scheme, _, there = request.headers.get("Origin", ours).lower().partition("://")
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    is_ours = f"{scheme}://{_plain(there, scheme)}" in (ours, "null://")
    if not is_ours or site not in ("same-origin", "none"):
        raise Forbidden


def _after(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers[name] = value
    has_logo = request.endpoint == "logo.logo" and response.status_code == 200  # which says itself how long
    if request.endpoint != "static" and not has_logo:
        response.headers["Cache-Control"] = "no-store"
    elif request.endpoint == "static" and "v" in request.args:  # its address changes with what is in it
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    response.headers.pop("Server", None)
    response.vary.add("Cookie")
    return response
