"""The rule tester: what a request would be answered, and what made it so. The gate's own question."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from msgspec import to_builtins

from gitguard.action.explaining import Question, answer
from gitguard.config.types import format_duration
from gitguard.decision.explain import VERBS, facts
from gitguard.message.reasons import Refusal
from gitguard.web.context import SERVER_ADMIN, current, needs
from gitguard.web.render import refusal_in_words, show

pages = Blueprint("policy", __name__)
ASKED = ("user", "repository", "operation", "key", "address", "ref")


@pages.get("/rules")
@needs(SERVER_ADMIN)
def rules() -> ResponseReturnValue:
    """Ask about a request that nobody has sent; it changes nothing."""
    asked = {name: request.args.get(name, "").strip() for name in ASKED}
    told, error = None, ""
    if asked["user"] or asked["repository"]:
        try:
            told = _answer(asked)
        except Refusal as refusal:
            error = refusal_in_words(refusal)
    return show(
        "admin/rules.html",
        asked=asked,
        operations=tuple(VERBS),
        answer=told,
        error=error,
        status=400 if error else 200,
        rules=current().settings.rules,
        enforcement=current().settings.git.enforcement,
    )


def _answer(asked: dict[str, str]) -> dict[str, object]:
    context = current()
    refs = tuple(asked["ref"].split()) if asked["operation"] == "push" else ()
    question = Question(
        asked["user"],
        asked["repository"],
        asked["operation"],
        asked["key"] or None,
        asked["address"] or None,
        refs,
    )
    found = facts(*answer(context.installation, question, context.moment))
    lifetime = found.lifetime_seconds
    return {**to_builtins(found), "lifetime": "" if lifetime is None else format_duration(lifetime)}
