"""Every route, by everyone, with and without a form's token: one table, made from the routes themselves."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gitguard.web.app import create_app
from gitguard.web.context import ANYONE, SERVER_ADMIN, SIGNED_IN
from lab.page import Answer, Browser
from tests.web.conftest import Hall

FREE = {"/static/<path:filename>", "/healthz"}
# What anyone may send without being signed in: only signing in itself.
SIGNING_IN = {"/sign-in/link", "/sign-in/login"}


@dataclass(frozen=True)
class Route:
    """A route, as the page declares it."""

    rule: str
    methods: tuple[str, ...]
    needs: str

    @property
    def path(self) -> str:
        """An address that leads to it."""
        return self.rule.replace("<token>", "x" * 43).replace("<id_>", "0" * 8).replace("<name>", "x" * 12)


@pytest.fixture(scope="module")
def routes(hall: Hall) -> list[Route]:
    """Every route of the page."""
    app = create_app(str(hall.server.config))
    return [
        Route(
            rule.rule,
            tuple(sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})),
            getattr(app.view_functions[rule.endpoint], "needs", ""),
        )
        for rule in app.url_map.iter_rules()
        if rule.rule not in FREE
    ]


def test_every_route_says_whom_it_lets_in(routes: list[Route]) -> None:
    """And anyone who is not signed in gets to signing in alone."""
    for route in routes:
        assert route.needs in (ANYONE, SIGNED_IN, SERVER_ADMIN), route
        if route.needs == ANYONE:
            assert route.rule in ("/", "/logo") or route.rule.startswith("/sign-in"), route
        assert len(route.methods) == 1, f"{route}: one address, one meaning"
    assert {r.rule for r in routes if r.needs == ANYONE and r.methods == ("POST",)} == SIGNING_IN


@pytest.mark.parametrize("who", ["signed out", "signed in", "verified", "repository admin", "server admin"])
def test_the_doors(hall: Hall, routes: list[Route], who: str) -> None:
    """{GET, POST without a token, POST with another's token} of every route, by each kind of visitor.

    A POST without its own browser's token changes nothing for anyone; pages of others
    are closed, and none breaks.
    """
    server = hall.server
    other = hall.signed_in()
    stolen = other.browser.get("/account").token
    if who == "signed out":
        browser = Browser(hall.page)
    else:
        guest = hall.verified() if who != "signed in" else hall.signed_in()
        browser = guest.browser
        if who == "repository admin":
            server.admin("repo", "create", f"r-{guest.person.name}", "--admin", guest.person.name)
        if who == "server admin":
            server.configure(git={"admins": [guest.person.name]})
    before = _trail(hall)
    for route in routes:
        if route.methods == ("GET",):
            _check_get(route, browser.get(route.path), who)
            continue
        for token in ("", stolen, "x"):
            answer = browser.post(route.path, {"name": "app", "reason": "x", "switch": "on"}, token=token)
            assert answer.status in (400, 403), (who, route, token, answer.status)
            _check_no_page_of_others(answer, other.person.name)
    assert _trail(hall) == before, "nothing that was posted without its own token changed anything"
    server.configure(git={"admins": []})


def _trail(hall: Hall) -> int:
    return hall.server.admin("audit", "show", "--json").out.count('"event"')


def _check_get(route: Route, answer: Answer, who: str) -> None:
    assert answer.status < 500, (route, answer.text)
    if route.needs == SIGNED_IN and who == "signed out":
        assert answer.status == 401, route
    if route.needs == SERVER_ADMIN:
        allowed = who == "server admin"
        # 400: a page about a person, and nobody was named
        assert answer.status in ((200, 400) if allowed else (401, 403)), (route, who, answer.status)


def _check_no_page_of_others(answer: Answer, name: str) -> None:
    assert name not in answer.body


def test_what_one_may_see_of_another_is_nothing(hall: Hall, routes: list[Route]) -> None:
    """No page of a person who is verified holds a name, a key or an address of someone else."""
    victim = hall.server.new_user(hall.name())
    guest = hall.verified()
    secret = (victim.name, victim.fingerprint)
    hall.refused(hall.signed_in(victim).person) if not hall.may_push(victim) else None
    for route in routes:
        if route.methods == ("GET",):
            body = guest.browser.get(
                route.path + f"?name={victim.name}&user={victim.name}&q={victim.name}"
            ).body
            body = body.replace(f'value="{victim.name}"', "")  # what was asked for, said back in its field
            assert not any(word in body for word in secret), route
