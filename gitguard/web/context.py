"""One request: installation, moment, who it comes from, who is signed in; and what a route requires."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import current_app, g, request, session
from msgspec import Struct
from msgspec.structs import replace

from gitguard.action.browsers import Visitor, see, user_of_login, visitor_of
from gitguard.action.installation import Installation, open_installation
from gitguard.config.schema import Settings
from gitguard.decision.status import Status, status_of
from gitguard.factor.person import Person
from gitguard.session.moment import Moment
from gitguard.web.log import seldom
from gitguard.web.peer import Peer, peer_of
from gitguard.web.recent import Recent

ANYONE = "anyone"
SIGNED_IN = "signed in"
SERVER_ADMIN = "server admin"  # in [git] admins, with a factor proved in this browser a short while ago

COOKIE_KEY = "browser"  # in the cookie: what this browser is known by
VIEW = TypeVar("VIEW", bound=Callable[..., Any])


def needs(who: str, *, opens: bool = False) -> Callable[[VIEW], VIEW]:
    """Who may come to a route. MUST: each says it; one that does not is closed.

    `opens`: an admin's form that gives someone a way in, so that one phished code of
    an admin is not enough for it.
    """

    def marked(view: VIEW) -> VIEW:
        view.needs = who  # type: ignore[attr-defined]
        view.opens = opens  # type: ignore[attr-defined]
        return view

    return marked


class PageContext(Struct, frozen=True):
    """`visitor` and `stand` are None for anyone who is not signed in."""

    installation: Installation
    moment: Moment
    peer: Peer
    visitor: Visitor | None
    status: Status | None

    @property
    def settings(self) -> Settings:
        """The configuration."""
        return self.installation.settings

    @property
    def person(self) -> Person:
        """Who acts. Only for routes that need someone who is signed in."""
        if self.visitor is None:
            raise LookupError("nobody is signed in")
        return self.visitor.person

    @property
    def is_admin(self) -> bool:
        """Whether the visitor is one of the server's admins, verified or not."""
        return self.visitor is not None and self.settings.is_server_admin(self.visitor.person.user)

    @property
    def is_verified(self) -> bool:
        """Whether the padlock is closed."""
        return self.status is not None and self.status.verified

    @property
    def is_blind(self) -> bool:
        """Whether no session can open here: they are bound to an address, and this browser's is unknown."""
        return self.settings.session.scope == "address" and not self.peer.address

    @property
    def is_fresh(self) -> bool:
        """Whether a factor was proved in this browser within five minutes, or its pages were in use since."""
        session = self.status.session if self.status is not None else None
        if session is None or not session.how.by_code:
            return False
        recent: Recent = current_app.extensions["recent"]
        return recent.is_fresh(self.person.credential.text, session.verified, self.moment)

    @property
    def browser(self) -> str:
        """What this browser is known by, in the store and in memory. Only for routes that
        need someone who is signed in.
        """
        return self.person.credential.text


def begin() -> PageContext:
    """The context of the present request. Raises ConfigurationError, Refusal."""
    moment: Moment = current_app.config["NOW"]()
    installation = open_installation(
        current_app.config["CONFIG"], moment, "configuration", current_app.extensions["settings"]
    )
    peer = peer_of(request.environ, installation.settings)
    if peer.unknown:
        seldom(f"no browser's address is known: {peer.unknown}")
    visitor = _visitor(installation, peer, moment)
    status = None
    if visitor is not None:
        see(installation, visitor, moment)
        with installation.store.reading() as tx:
            status = status_of(tx, installation.settings, visitor.person, moment)
    g.context = PageContext(installation, moment, peer, visitor, status)
    return current()


def _visitor(installation: Installation, peer: Peer, moment: Moment) -> Visitor | None:
    token = session.get(COOKIE_KEY)
    if not isinstance(token, str):
        return None
    visitor = visitor_of(installation, token, peer.address, moment)
    if visitor is not None and not _still_says_so(installation, peer, visitor):
        return None
    return visitor


def _still_says_so(installation: Installation, peer: Peer, visitor: Visitor) -> bool:
    """MUST: who was signed in by a proxy is only that one as long as the proxy says so."""
    if not visitor.browser.origin.startswith("http:"):
        return True
    return bool(peer.login) and user_of_login(installation, peer.login) == visitor.person.user


def renew() -> None:
    """Look again where the visitor stands, after something has changed."""
    context = current()
    with context.installation.store.reading() as tx:
        g.context = replace(context, status=status_of(tx, context.settings, context.person, context.moment))


def end() -> None:
    """Let go of what the context holds."""
    held = g.pop("context", None)
    if held is not None:
        held.installation.store.close()


def current() -> PageContext:
    """The context of the present request."""
    found: PageContext = g.context
    return found
