"""The repositories that somebody administers, and what they demand: the toggle, its lifetime, its admins."""

from __future__ import annotations

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from gitguard.action import toggles
from gitguard.action.follow import Followed
from gitguard.config.types import format_duration
from gitguard.decision.standing import exempted
from gitguard.message.reasons import Refusal
from gitguard.policy.requirement import TOGGLES
from gitguard.repository import toggle
from gitguard.repository.registry import known
from gitguard.store.rows import Repository
from gitguard.web.showing import show
from gitguard.web.visit import SIGNED_IN, needs, visit

pages = Blueprint("repositories", __name__)
PAGE = 50
DONE = ("require", "lifetime", "admins")


@pages.get("/repositories")
@needs(SIGNED_IN)
def repositories() -> ResponseReturnValue:
    """One's own repositories; all of them for the server's admins. A page at a time."""
    here, after = visit(), request.args.get("after", "")
    holding = request.args.get("q", "")
    with here.site.store.reading() as tx:
        if here.is_admin:
            rows = tx.find_repositories(holding, after, PAGE + 1)
        else:
            names = [name for name in tx.administered_by(here.person.user) if holding in name]
            found = [tx.repository(name) for name in names if name > after][: PAGE + 1]
            rows = [row for row in found if row is not None]
    return show(
        "repositories.html",
        rows=[(row, described(row)) for row in rows[:PAGE]],
        more=rows[PAGE - 1].name if len(rows) > PAGE else "",
        q=holding,
        why=why_not_offered(),
    )


def described(row: Repository) -> str:
    """`push, lifetime 1h`."""
    return toggle.describe(row.require, row.lifetime_seconds)


def why_not_offered() -> str:
    """Why the toggle cannot be changed here, "" where it can."""
    try:
        toggle.check_offered(visit().settings)
    except Refusal as refusal:
        return refusal.text
    return ""


@pages.get("/repository")
@needs(SIGNED_IN)
def repository() -> ResponseReturnValue:
    """What one repository demands. MUST: only its admins and the server's see it here."""
    here = visit()
    row = _administered(request.args.get("name", ""))
    with here.site.store.reading() as tx:
        admins = tx.repository_admins(row.name)
    return show(
        "repository.html",
        row=row,
        demands=described(row),
        floor=toggle.describe(row.floor_require, row.floor_lifetime_seconds)
        if row.floor_require != "none" or row.floor_lifetime_seconds is not None
        else "",
        admins=admins,
        lifetime=format_duration(row.lifetime_seconds) if row.lifetime_seconds is not None else "default",
        exempt=exempted(here.settings, row.name, here.moment),
        why=why_not_offered(),
        words=TOGGLES,
        done=request.args.get("done", "") if request.args.get("done") in DONE else "",
        enforcement=here.settings.git.enforcement,
    )


def _administered(name: str) -> Repository:
    """The repository, for who may administer it. Raises Refusal, the same for one that is not there."""
    here = visit()
    with here.site.store.reading() as tx:
        try:
            row = known(tx, here.settings, name)
        except Refusal:
            row = None
        if row is None or not toggle.may_administer(tx, here.settings, row, here.person.user):
            raise Refusal("forbidden")
    return row


def _typed() -> bytes | None:
    return request.form["code"].encode("utf-8", "replace") if "code" in request.form else None


def _back(name: str, done: str, followed: Followed | None = None) -> ResponseReturnValue:
    if followed is not None and followed.fault is not None:
        raise followed.fault
    return redirect(url_for("repositories.repository", name=name, done=done), 303)


@pages.post("/repository/require")
@needs(SIGNED_IN)
def require() -> ResponseReturnValue:
    """Set what is demanded, with a factor of the last five minutes or a code."""
    here, row = visit(), _administered(request.form.get("name", ""))
    word = request.form.get("require", "")
    _, followed = toggles.set_require(here.site, here.person, row.name, word, here.moment, _typed())
    return _back(row.name, "require", followed)


@pages.post("/repository/lifetime")
@needs(SIGNED_IN)
def lifetime() -> ResponseReturnValue:
    """Set how long a verification counts here."""
    here, row = visit(), _administered(request.form.get("name", ""))
    word = request.form.get("lifetime", "").strip()
    _, followed = toggles.set_lifetime(here.site, here.person, row.name, word, here.moment, _typed())
    return _back(row.name, "lifetime", followed)


@pages.post("/repository/admins")
@needs(SIGNED_IN)
def admins() -> ResponseReturnValue:
    """Add or remove an admin of the repository."""
    here, row = visit(), _administered(request.form.get("name", ""))
    verb, user = request.form.get("verb", ""), request.form.get("user", "").strip()
    toggles.change_admin(here.site, here.person, row.name, verb, user, here.moment, _typed())
    return _back(row.name, "admins")
