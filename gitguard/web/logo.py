"""The organisation's own picture, from a file that the configuration names."""

from __future__ import annotations

from flask import Blueprint, Response

from gitguard.message.reasons import Refusal
from gitguard.web.context import ANYONE, current, needs

pages = Blueprint("logo", __name__)
LONGEST_BYTES = 256 * 1024
KINDS = {"svg": "image/svg+xml", "png": "image/png"}


@pages.get("/logo")
@needs(ANYONE)
def logo() -> Response:
    """The picture, as that and nothing else: the policy of every page (no script but ours) holds here too."""
    path = current().settings.web.logo
    kind = KINDS.get(path.rpartition(".")[2], "")
    try:
        with open(path, "rb") as file:
            data = file.read(LONGEST_BYTES + 1)
    except OSError:
        data = b""
    if not kind or not data or len(data) > LONGEST_BYTES:
        raise Refusal("not-available")
    return Response(data, mimetype=kind, headers={"Cache-Control": "private, max-age=3600"})
