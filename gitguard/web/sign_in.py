"""Signing in, which is the first factor alone: by a one-time link, or by a proxy that is believed. And out."""

from __future__ import annotations

from flask import Blueprint, current_app, redirect, request, session, url_for
from flask.typing import ResponseReturnValue

from gitguard.action import browsers
from gitguard.message.reasons import Refusal
from gitguard.session.scope import neighbours_of
from gitguard.web import way_back
from gitguard.web.limit import Limiter
from gitguard.web.showing import show
from gitguard.web.visit import ANYONE, COOKIE_KEY, SIGNED_IN, needs, visit

pages = Blueprint("sign_in", __name__)


@pages.get("/")
@needs(ANYONE)
def home() -> ResponseReturnValue:
    """Where everybody begins: on to what waits, to the account, or to signing in."""
    here = visit()
    if here.visitor is None or here.stand is None:
        return redirect(url_for("sign_in.sign_in"), 303)
    if not here.stand.enrolled:
        return redirect(url_for("set_up.begin"), 303)
    return redirect(url_for("account.account" if here.stand.verified else "verify.verify"), 303)


@pages.get("/sign-in")
@needs(ANYONE)
def sign_in() -> ResponseReturnValue:
    """The command that signs in, or the button where a proxy says who it is."""
    return sign_in_page()


def sign_in_page(status: int = 200, link: str = "", user: str = "") -> ResponseReturnValue:
    """How to sign in. `link` and `user`: a good link and whom it signs in."""
    here = visit()
    login_user = browsers.user_of_login(here.site, here.peer.login) if here.peer.login else ""
    return show(
        "sign_in.html",
        status=status,
        link=link,
        user=user,
        login=here.peer.login,
        login_user=login_user,
        came_for=way_back.came_for(),
    )


@pages.get("/sign-in/<token>")
@needs(ANYONE)
def by_link(token: str) -> ResponseReturnValue:
    """What a link would do. MUST: looking uses nothing up: mail scanners and previews look too."""
    here = visit()
    user = browsers.user_of_link(here.site, token, here.moment)
    if not user:
        _check_rate()
        return sign_in_page(403, link="gone")
    return sign_in_page(link=token, user=user)


@pages.post("/sign-in/link")
@needs(ANYONE)
def use_link() -> ResponseReturnValue:
    """Use the link up, and sign this browser in."""
    here = visit()
    try:
        return _signed_in(
            browsers.sign_in_by_link(
                here.site,
                request.form.get("link", ""),
                here.peer.address,
                here.moment,
                request.user_agent.string,
            )
        )
    except Refusal:
        _check_rate()
        raise


@pages.post("/sign-in/login")
@needs(ANYONE)
def use_login() -> ResponseReturnValue:
    """Sign in as whom the trusted proxy names."""
    here = visit()
    if not here.peer.login:
        _check_rate()
        raise Refusal("forbidden")
    return _signed_in(
        browsers.sign_in_by_login(
            here.site, here.peer.login, here.peer.address, here.moment, request.user_agent.string
        )
    )


def _check_rate() -> None:
    """Count what was not good, from the browser's network. MUST: what is good is never held up by others' tries."""
    here = visit()
    limiter: Limiter = current_app.extensions["limiter"]
    retry_at = limiter.retry_at(neighbours_of(here.peer.address), here.moment.at)
    if retry_at is not None:
        raise Refusal("throttled", retry_at=retry_at)


def _signed_in(done: browsers.SignedIn) -> ResponseReturnValue:
    """On to what the browser came for. MUST: nothing else of what it held is kept (session fixation), its form tokens neither."""
    here, came_for = visit(), way_back.came_for()
    if here.visitor is not None:
        browsers.sign_out(here.site, here.visitor, here.visitor.browser.credential, here.moment)
    session.clear()
    session[COOKIE_KEY] = done.token
    return redirect(way_back.link_to(came_for) if came_for else url_for("sign_in.home"), 303)


@pages.post("/sign-out")
@needs(SIGNED_IN)
def sign_out() -> ResponseReturnValue:
    """Sign out: the browser is known no more, here and in the store."""
    here = visit()
    if here.visitor is not None:
        browsers.sign_out(here.site, here.visitor, here.visitor.browser.credential, here.moment)
        current_app.extensions["enrolments"].drop(here.browser)
        current_app.extensions["once"].forget(here.browser)
    session.clear()
    return redirect(url_for("sign_in.sign_in"), 303)
