"""`/healthz`: whether requests get an answer, for whoever watches the service. It says nothing of anyone."""

from __future__ import annotations

from flask import Blueprint, Response, current_app

from gitguard.action.installation import open_installation
from gitguard.config.faults import ConfigurationError
from gitguard.message.reasons import Refusal
from gitguard.web.context import ANYONE, needs

pages = Blueprint("health", __name__)


@pages.get("/healthz")
@needs(ANYONE)
def healthz() -> Response:
    """200 `ok` while configuration, keys and store can be used, else 503."""
    try:
        installation = open_installation(
            current_app.config["CONFIG"],
            current_app.config["NOW"](),
            "configuration",
            current_app.extensions["settings"],
        )
        try:
            with installation.store.reading() as tx:
                tx.latest_at()
        finally:
            installation.store.close()
    except (ConfigurationError, Refusal):
        return Response("unavailable\n", 503, mimetype="text/plain")
    return Response("ok\n", 200, mimetype="text/plain")
