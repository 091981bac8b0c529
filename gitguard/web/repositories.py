"""The repositories that someone administers, and what they demand: the toggle, its lifetime, its admins."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from gitguard.action import toggles
from gitguard.action.effects import Effects
from gitguard.action.repository_state import state_lines
from gitguard.config.types import format_duration
from gitguard.factor.change import ProofWanted
from gitguard.message.reasons import Refusal, readable
from gitguard.policy.requirement import TOGGLES
from gitguard.repository import toggle
from gitguard.repository.registry import known
from gitguard.store.rows import Repository
from gitguard.web.context import SIGNED_IN, current, needs
from gitguard.web.render import refusal_in_words, say, say_not_all, show, typed_code

pages = Blueprint("repositories", __name__)
PAGE = 50


@pages.get("/repositories")
@needs(SIGNED_IN)
def repositories() -> ResponseReturnValue:
    """One's own repositories; all of them for the server's admins. A page at a time."""
    context, after = current(), request.args.get("after", "")
    containing = request.args.get("q", "")
    with context.installation.store.reading() as tx:
        if context.is_admin and context.is_fresh:
            rows = tx.find_repositories(containing, after, PAGE + 1)
        else:
            names = [name for name in tx.administered_by(context.person.user) if containing in name]
            found = [tx.repository(name) for name in names if name > after][: PAGE + 1]
            rows = [row for row in found if row is not None]
    return show(
        "repositories.html",
        rows=[(row, described(row)) for row in rows[:PAGE]],
        more=rows[PAGE - 1].name if len(rows) > PAGE else "",
        q=containing,
        after=after,
        why=why_not_offered(),
        all=context.is_admin and context.is_fresh,
    )


def described(row: Repository) -> str:
    """`push, lifetime 1h`."""
    return toggle.describe(row.require, row.lifetime_seconds)


def why_not_offered() -> str:
    """Why the toggle cannot be changed here, "" where it can."""
    try:
        toggle.check_offered(current().settings)
    except Refusal as refusal:
        return refusal.text
    return ""


@pages.get("/repository")
@needs(SIGNED_IN)
def repository() -> ResponseReturnValue:
    """What one repository requires. MUST: only its admins and the server's see it here."""
    return _show(_administered(request.args.get("name", "")))


def _show(
    row: Repository, error: Markup | str = "", field: str = "", status: int = 200
) -> ResponseReturnValue:
    context = current()
    with context.installation.store.reading() as tx:
        admins = tx.repository_admins(row.name)
        lines = state_lines(tx, context.settings, row, context.person, context.moment)
    lowest = TOGGLES.index(row.floor_require)
    limit = row.floor_lifetime_seconds or int(context.settings.session.lifetime)
    return show(
        "repository.html",
        status=status,
        row=row,
        lines=lines,
        user=request.form.get("user", "") if field == "user" else "",
        admins=admins,
        lifetime=request.form.get("lifetime")
        or (format_duration(row.lifetime_seconds) if row.lifetime_seconds is not None else "default"),
        longest=format_duration(limit),
        why=why_not_offered(),
        words=TOGGLES[lowest:],
        error=error,
        field=field,
    )


def _administered(name: str) -> Repository:
    """The repository, for who may administer it. Raises Refusal, the same for one that is not there."""
    context = current()
    with context.installation.store.reading() as tx:
        try:
            row = known(tx, context.settings, name)
        except Refusal:
            row = None
        own = row is not None and context.person.user in tx.repository_admins(row.name)
    if row is None or not (own or context.is_admin):
        raise Refusal("forbidden")
    if not own and not context.is_fresh and typed_code() is None:
        raise ProofWanted  # a server's admin, who looks at all of them with a fresh factor alone
    return row


def _set(field: str, act: Callable[[str], Effects | None], done: str = "") -> ResponseReturnValue:
    """Change the repository of the form; what was filled in wrongly is said beside its field."""
    row = _administered(request.form.get("name", ""))
    try:
        effects = act(row.name)
    except Refusal as refusal:
        if refusal.reason not in ("usage", "forbidden", "not-available") or typed_code() is not None:
            raise  # with a code in it the page of its own may not be theirs to see
        return _show(row, refusal_in_words(refusal), field, 403 if refusal.reason != "usage" else 400)
    say(f"repository.done.{done or field}", user=readable(request.form.get("user", ""), 64))
    say_not_all(effects.fault if effects is not None else None)
    return redirect(url_for("repositories.repository", name=row.name), 303)


@pages.post("/repository/require")
@needs(SIGNED_IN)
def require() -> ResponseReturnValue:
    """Set what is required, with a factor of the last five minutes or a code."""
    context, word = current(), request.form.get("require", "")
    return _set(
        "require",
        lambda name: toggles.set_require(
            context.installation, context.person, name, word, context.moment, typed_code()
        )[1],
    )


@pages.post("/repository/lifetime")
@needs(SIGNED_IN)
def lifetime() -> ResponseReturnValue:
    """Set how long a verification counts here."""
    context, word = current(), request.form.get("lifetime", "").strip()
    return _set(
        "lifetime",
        lambda name: toggles.set_lifetime(
            context.installation, context.person, name, word, context.moment, typed_code()
        )[1],
    )


@pages.post("/repository/admins")
@needs(SIGNED_IN)
def admins() -> ResponseReturnValue:
    """Add or remove an admin of the repository."""
    context, verb = current(), request.form.get("verb", "")
    user = request.form.get("user", "").strip()

    def act(name: str) -> None:
        toggles.change_admin(
            context.installation, context.person, name, verb, user, context.moment, typed_code()
        )

    return _set("user", act, f"admin-{verb}")
