"""Signing in, the first factor alone: by a one-time link, or a proxy that is believed. And out."""

from __future__ import annotations

from flask import Blueprint, current_app, redirect, request, session, url_for
from flask.typing import ResponseReturnValue

from gitguard.action import browsers
from gitguard.message.reasons import Refusal
from gitguard.message.refusals import ServerAddress
from gitguard.session.scope import neighbours_of
from gitguard.web import return_to
from gitguard.web.context import ANYONE, COOKIE_KEY, SIGNED_IN, current, needs
from gitguard.web.limit import Limiter
from gitguard.web.render import show

pages = Blueprint("sign_in", __name__)


@pages.get("/")
@needs(ANYONE)
def home() -> ResponseReturnValue:
    """Where everyone begins: on to what waits, to the account, or to signing in."""
    context = current()
    if context.visitor is None or context.status is None:
        return redirect(url_for("sign_in.sign_in"), 303)
    if not context.status.enrolled:
        return redirect(url_for("set_up.begin"), 303)
    return redirect(url_for("account.account" if context.status.verified else "verify.verify"), 303)


@pages.get("/sign-in")
@needs(ANYONE)
def sign_in() -> ResponseReturnValue:
    """The command that signs in, or the button where a proxy says who it is."""
    return sign_in_page()


def sign_in_page(status: int = 200, link: str = "", user: str = "") -> ResponseReturnValue:
    """How to sign in. `link` and `user`: a good link and whom it signs in."""
    context = current()
    host = context.settings.host
    login_user = (
        browsers.user_of_login(context.installation, context.peer.login) if context.peer.login else ""
    )
    return show(
        "sign_in.html",
        status=status,
        link=link,
        user=user,
        login=context.peer.login,
        login_user=login_user,
        came_for=return_to.came_for(),
        line=ServerAddress(str(host.account), host.name, host.port).ssh("web"),
    )


@pages.get("/sign-in/<token>")
@needs(ANYONE)
def by_link(token: str) -> ResponseReturnValue:
    """What a link would do. MUST: looking uses nothing up: mail scanners and previews look too."""
    context = current()
    user = browsers.user_of_link(context.installation, token, context.moment)
    if not user:
        _check_rate()
        return sign_in_page(403, link="gone")
    return sign_in_page(link=token, user=user)


@pages.post("/sign-in/link")
@needs(ANYONE)
def use_link() -> ResponseReturnValue:
    """Use the link up, and sign this browser in."""
    context = current()
    try:
        return _signed_in(
            browsers.sign_in_by_link(
                context.installation,
                request.form.get("link", ""),
                context.peer.address,
                context.moment,
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
    context = current()
    if not context.peer.login:
        _check_rate()
        raise Refusal("forbidden")
    return _signed_in(
        browsers.sign_in_by_login(
            context.installation,
            context.peer.login,
            context.peer.address,
            context.moment,
            request.user_agent.string,
        )
    )


def _check_rate() -> None:
    """Count a bad one, from the browser's network. MUST: a good one is never held up by others' tries."""
    context = current()
    limiter: Limiter = current_app.extensions["limiter"]
    retry_at = limiter.retry_at(neighbours_of(context.peer.address), context.moment.at)
    if retry_at is not None:
        raise Refusal("throttled", retry_at=retry_at)


def _signed_in(done: browsers.SignedIn) -> ResponseReturnValue:
    """On to what the browser came for. MUST: nothing else of what it held is kept (session
    fixation), its form tokens neither.
    """
    context, came_for = current(), return_to.came_for()
    if context.visitor is not None:
        browsers.sign_out(
            context.installation, context.visitor, context.visitor.browser.credential, context.moment
        )
    session.clear()
    session[COOKIE_KEY] = done.token
    return redirect(return_to.link_to(came_for) if came_for else url_for("sign_in.home"), 303)


@pages.post("/sign-out")
@needs(SIGNED_IN)
def sign_out() -> ResponseReturnValue:
    """Sign out: the browser is known no more, here and in the store."""
    context = current()
    if context.visitor is not None:
        browsers.sign_out(
            context.installation, context.visitor, context.visitor.browser.credential, context.moment
        )
        current_app.extensions["enrolments"].drop(context.browser)
        current_app.extensions["once"].forget(context.browser)
    session.clear()
    return redirect(url_for("sign_in.sign_in"), 303)
