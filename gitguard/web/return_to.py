"""Where a browser was going before it had to sign in or verify. MUST: only ever a page of our own."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import current_app, request, session, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

CAME_FOR = "came-for"  # in the cookie: the page that was asked for before signing in
LONGEST = 500
# Looking at these does something, or leads nowhere when one comes back.
NOWHERE = (
    "static",
    "logo.logo",
    "health.healthz",
    "sign_in.home",
    "sign_in.sign_in",
    "sign_in.by_link",
    "verify.verify",
)


def own_page(address: str, *, to_verify: bool = False) -> str:
    """`address` (path and query, without the page's own prefix) if one of our pages is there, else "".

    `to_verify`: the page where one verifies counts too.
    """
    if (
        not address.startswith("/")
        or address.startswith("//")
        or len(address) > LONGEST
        or not address.isprintable()
    ):
        return ""
    try:
        parts = urlsplit(address)
        if parts.scheme or parts.netloc or "\\" in address:
            return ""
        endpoint, _ = current_app.url_map.bind("").match(parts.path, method="GET")
    except (HTTPException, RequestRedirect, ValueError):
        return ""
    found = endpoint not in NOWHERE or (to_verify and endpoint == "verify.verify")
    return address if found else ""


def this_page() -> str:
    """The present request's address, for `own_page`."""
    return request.full_path.rstrip("?")


def link_to(address: str) -> str:
    """The address as a link, with the page's prefix; the account for "" and for what is no page of ours."""
    found = own_page(address, to_verify=True)
    return f"{request.script_root}{found}" if found else url_for("account.account")


def remember() -> None:
    """Note in the browser's cookie what it came for, to lead there after it has signed in."""
    if request.method == "GET" and (page := own_page(this_page(), to_verify=True)):
        session[CAME_FOR] = page


def came_for() -> str:
    """What the browser came for before it signed in, "" for nothing."""
    return own_page(str(session.get(CAME_FOR, "")), to_verify=True)
