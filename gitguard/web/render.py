"""Templates, and the words, times and numbers in them."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from importlib import resources

from flask import Flask, Response, current_app, flash, g, make_response, render_template, request, url_for
from jinja2 import StrictUndefined
from markupsafe import Markup

from gitguard.factor.code import in_groups
from gitguard.message.moments import clock, duration
from gitguard.message.reasons import Refusal, readable
from gitguard.store.rows import Recorded
from gitguard.web.texts import Texts

LATEST_MOMENT = 1 << 40  # further on no calendar goes


def show_with(app: Flask, texts: Texts) -> None:
    """Give the templates what they all use."""
    app.extensions["texts"] = texts
    app.jinja_env.globals.update(t=texts, lang=texts.lang, duration=duration, in_groups=in_groups)
    app.jinja_env.globals.update(static=_static(), brand=_brand, fingerprint=_short)
    app.jinja_env.globals.update(
        request_at=_now, event_in_words=event_in_words, credential_in_words=credential_in_words
    )
    app.jinja_env.filters.update(
        readable=readable, moment=_moment, clock=_clock, until=_until, iso=_iso, date=_date, fact=_fact
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.undefined = StrictUndefined


def _static() -> Callable[[str], str]:
    """The address of a file of ours, which changes with what is in it: a browser keeps it until then."""
    marks = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:10]
        for file in (resources.files("gitguard.web") / "static").iterdir()
        if file.is_file()
    }
    return lambda name: url_for("static", filename=name, v=marks[name])


def _brand() -> dict[str, str]:
    """Whose page this is: the name that apps show, and the host. Empty where nothing is known."""
    context = g.get("context")
    if context is None:
        return {"name": "gitguard", "host": "", "logo": ""}
    settings = context.settings
    return {
        "name": readable(settings.issuer, 60),
        "host": "" if settings.issuer == settings.host.name else readable(settings.host.name, 100),
        "logo": settings.web.logo,
    }


def _short(fingerprint: str) -> str:
    """A fingerprint that can be told apart at a glance: its first and last letters."""
    return f"{fingerprint[:15]}…{fingerprint[-4:]}" if len(fingerprint) > 24 else fingerprint


def texts() -> Texts:
    """The catalogue in use."""
    found: Texts = current_app.extensions["texts"]
    return found


def show(template: str, *, status: int = 200, bare: bool = False, **facts: object) -> Response:
    """The page of `template`; `bare` ones know nothing of anyone who looks, and need no store."""
    current = None if bare else g.get("context")
    return make_response(render_template(template, context=current, **facts), status)


def say(key: str, category: str = "good", /, **facts: object) -> None:
    """Say this on the next page that is shown to this browser, once. `category`: good, warning or problem.

    MUST: what was done is done: a sentence that is missing does not turn it into an error.
    """
    said = texts()
    flash(said(key, **facts) if said.has(key) else said("common.done"), category)


def say_not_all(fault: Refusal | None) -> None:
    """Say on the next page that not all that follows a change could be done, if so: the change stands."""
    if fault is not None:
        flash(texts()("common.not_all", why=readable(fault.text or fault.reason, 200)), "problem")


def typed_code() -> bytes | None:
    """What was typed into the form's field for a code, or for a recovery code; None where it had neither."""
    if "code" not in request.form and "recovery" not in request.form:
        return None
    return (request.form.get("recovery", "").strip() or request.form.get("code", "")).encode(
        "utf-8", "replace"
    )


def refusal_in_words(refusal: Refusal) -> Markup:
    """Why, for people: the refusal's own words, or the catalogue's for its reason; and what helps."""
    said = texts()
    key = f"reason.{refusal.reason}" + ("-clock" if "clock" in refusal.facts else "")
    if refusal.reason == "code-rejected" and request.form.get("recovery", "").strip():
        key = "reason.code-rejected-recovery"
    if refusal.text:
        text = readable(refusal.text, 400)
        words = Markup("{}").format(text[:1].upper() + text[1:])
    elif said.has(key):
        retry_at = refusal.facts.get("retry_at")
        words = said(
            key,
            digits=refusal.facts.get("digits", 6),
            retry=_clock(retry_at) if isinstance(retry_at, int) else "",
            left=duration(retry_at - _now()) if isinstance(retry_at, int) else "",
            clock=refusal.facts.get("clock", ""),
        )
    else:
        words = said("reason.other")
    if refusal.hint:
        words += Markup(" ({})").format(readable(refusal.hint, 300))
    return words


def event_in_words(record: Recorded) -> Markup:
    """What a record of the trail says to its person; the event's own word if the catalogue has none."""
    event = str(record.get("event", ""))
    key = f"event.{event}"
    facts = {name: readable(str(record.get(name, "?")), 100) for name in ("repository", "method", "left")}
    return texts()(key, **facts) if texts().has(key) else Markup("{}").format(readable(event))


def credential_in_words(credential: str) -> Markup:
    """A key by the ends of its fingerprint, and a browser as what it is: nobody reads forty digits."""
    if not credential:
        return texts()("person.all_keys")
    if credential.startswith("web:"):
        return texts()("person.web")
    return Markup('<code class="id" title="{}">{}</code>').format(
        credential, _short(readable(credential, 60))
    )


def _fact(value: object) -> str:
    """A detail of a record; names of forty random digits by the first of them."""
    text = readable(str(value), 120)
    return re.sub(r"\b([0-9a-f]{8})[0-9a-f]{32,56}\b", r"\1…", text)


def _now() -> int:
    current = g.get("context")
    return current.moment.at if current is not None else int(time.time())


def _told(at: object) -> int:
    """A moment that can be told: what a file says may be anything."""
    return at if isinstance(at, int) and 0 <= at <= LATEST_MOMENT else 0


def _moment(at: int) -> Markup:
    """When, and how long ago: `14:32 UTC+1, 3 minutes ago`."""
    return texts()("common.ago", at=_clock(at), ago=duration(max(_now() - at, 0)))


def _clock(at: int) -> Markup:
    """`14:32 UTC+1`, with the machine's form beside it, from which a browser shows its own zone."""
    return Markup('<time datetime="{}">{}</time>').format(
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(_told(at))), clock(_told(at), _now())
    )


def _until(at: int) -> Markup:
    return Markup("{} {}").format(_clock(at), texts()("account.left", left=duration(max(at - _now(), 0))))


def _iso(at: int) -> str:
    """For paper and files, which are read elsewhere and later: `2026-11-30 14:32 UTC`."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(_told(at)))


def _date(at: int) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(_told(at)))
