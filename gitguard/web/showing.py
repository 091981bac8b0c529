"""Templates, and the words, times and numbers in them."""

from __future__ import annotations

import time

from flask import Flask, Response, current_app, flash, g, make_response, render_template, request
from jinja2 import StrictUndefined
from markupsafe import Markup

from gitguard.factor.code import in_groups
from gitguard.message.moments import clock, duration, until
from gitguard.message.reasons import Refusal, readable
from gitguard.store.rows import Recorded
from gitguard.web.texts import Texts

LATEST_MOMENT = 1 << 40  # further on no calendar goes


def show_with(app: Flask, texts: Texts) -> None:
    """Give the templates what they all use."""
    app.extensions["texts"] = texts
    app.jinja_env.globals.update(t=texts, lang=texts.lang, duration=duration, in_groups=in_groups)
    app.jinja_env.globals.update(request_at=_now, event_in_words=event_in_words)
    app.jinja_env.filters.update(readable=readable, moment=_moment, clock=_clock, until=_until)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.undefined = StrictUndefined


def texts() -> Texts:
    """The catalogue in use."""
    found: Texts = current_app.extensions["texts"]
    return found


def show(template: str, *, status: int = 200, bare: bool = False, **facts: object) -> Response:
    """The page of `template`; `bare` ones know nothing of whoever looks, and need no store."""
    visit = None if bare else g.get("visit")
    return make_response(render_template(template, visit=visit, **facts), status)


def say(key: str, /, **facts: object) -> None:
    """Say this on the next page that is shown to this browser, once."""
    flash(texts()(key, **facts))


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
    key = f"reason.{refusal.reason}"
    if refusal.text:
        words = Markup("{}").format(readable(refusal.text, 400))
    elif said.has(key):
        retry_at = refusal.facts.get("retry_at")
        words = said(
            key,
            digits=refusal.facts.get("digits", 6),
            retry=clock(retry_at, _now()) if isinstance(retry_at, int) else "",
        )
    else:
        words = said("reason.other")
    if refusal.hint:
        words += Markup(" ({})").format(readable(refusal.hint, 300))
    return words


def event_in_words(record: Recorded) -> Markup:
    """What a record of the trail says to the person whom it is about; its own word where the catalogue has none."""
    event = str(record.get("event", ""))
    key = f"event.{event}"
    facts = {name: readable(str(record.get(name, "?")), 100) for name in ("repository", "method", "left")}
    return texts()(key, **facts) if texts().has(key) else Markup("{}").format(readable(event))


def _now() -> int:
    visit = g.get("visit")
    return visit.moment.at if visit is not None else int(time.time())


def _told(at: object) -> int:
    """A moment that can be told: what a file says may be anything."""
    return at if isinstance(at, int) and 0 <= at <= LATEST_MOMENT else 0


def _moment(at: int) -> Markup:
    """When, and how long ago: `14:32 UTC+1, 3 minutes ago`, with the machine's form beside it."""
    return Markup('<time datetime="{}">{}</time>').format(
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(_told(at))),
        texts()("common.ago", at=clock(_told(at), _now()), ago=duration(max(_now() - at, 0))),
    )


def _clock(at: int) -> str:
    return clock(_told(at), _now())


def _until(at: int) -> str:
    return until(at, _now())
