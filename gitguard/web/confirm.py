"""A form that needs a code, again: the act and its object, one sentence of effect, a field for the code."""

from __future__ import annotations

from flask import request
from flask.typing import ResponseReturnValue

from gitguard.message.reasons import readable
from gitguard.web.context import current
from gitguard.web.render import show, texts


def confirm(error: str = "", status: int = 200) -> ResponseReturnValue:
    """The same form with everything that was filled in, and a field for the code that it needs."""
    kept = [
        (name, value)
        for name, value in request.form.items(multi=True)
        if name not in ("code", "recovery", "csrf_token")
    ]
    act, facts = _act(), _facts()
    said = texts()
    effect = f"effect.{act}"
    return show(
        "confirm.html",
        status=status,
        action=request.path,
        kept=kept,
        error=error,
        what=said(f"act.{act}", **facts) if said.has(f"act.{act}") else said("confirm.title"),
        effect=said(effect, **facts) if said.has(effect) else "",
        button=said(f"button.{act}", **facts) if said.has(f"button.{act}") else said("confirm.button"),
        is_admins=request.path.startswith("/admin"),
    )


def _act() -> str:
    """The key of the act's sentences: its route, and which way it goes where there are two."""
    act = str(request.endpoint).replace(".", "-")
    way = request.form.get("switch") or request.form.get("verb") or ""
    return f"{act}-{way}" if way and texts().has(f"act.{act}-{way}") else act


def _facts() -> dict[str, str]:
    """What the act is about, in words: the key by its comment, the browser by
    what it is, names as they are.
    """
    facts = {
        name: readable(request.form.get(name, ""), 100)
        for name in ("name", "user", "require", "lifetime", "reason")
    }
    key, browser = request.form.get("key", ""), request.form.get("browser", "")
    context = current()
    with context.installation.store.reading() as tx:
        comment = next((own.comment for own in tx.keys(context.person.user) if own.fingerprint == key), "")
        found = tx.browser(browser) if browser else None
    facts["key"] = readable(comment or key, 100)
    facts["browser"] = (
        readable(found.agent or found.address, 60) if found and found.user == context.person.user else ""
    )
    return facts
