"""The store moves to another place, with all that it knows: from a file into a database, and back."""

from __future__ import annotations

import contextlib
import os

from msgspec import Struct

from gitguard.action.installation import settings_of
from gitguard.config.types import StoreUrl
from gitguard.message.reasons import Refusal
from gitguard.store.contract import Store
from gitguard.store.copying import Say, check_earlier, copy
from gitguard.store.opening import audit_head, create, open_lost_store, open_store, url_of


class Moved(Struct, frozen=True):
    """How many rows of each table are in the copy; the files of SQL that ran to make it."""

    rows: dict[str, int]
    ran: list[str]


def copy_store(config: str, to: StoreUrl, password_file: str, say: Say) -> Moved:
    """Copy the store to `to`, which is empty or an earlier copy. Raises Refusal.

    MUST: what is recorded here while the copy is made, or after it, is missing there: a server whose head
    outside knows of it closes the database (`store-went-back`), and one more copy opens it again.
    """
    settings = settings_of(config)
    store = settings.store
    head = audit_head(settings.paths.access_log)
    if str(to) == str(store.url):
        raise Refusal("usage", text=f"{to.shown} is the store that is in use; name another")
    with contextlib.closing(open_store(store.url, head, store.password_file)) as source:
        ran = [] if to.is_file else _made(to, password_file)
        if to.is_file:
            return Moved(_into_file(source, to.path, say), ran)
        with contextlib.closing(open_lost_store(to, head, password_file)) as database:
            check_earlier(source, database)
            database.begin_copy()
            done = copy(source, database, say)
            database.open_if_whole()
            return Moved(done.rows, ran)


def _made(to: StoreUrl, password_file: str) -> list[str]:
    try:
        return create(to, password_file)
    except Refusal as refusal:
        text = (
            f"{to.shown} cannot be the store: {refusal.detail or refusal.text}; the store in use is untouched"
        )
        raise refusal.but(text=text) from None


def _into_file(source: Store, path: str, say: Say) -> dict[str, int]:
    """Beside its place, which stays empty until all of it is there: nobody believes half of it."""
    beside = f"{path}.copying"
    if os.path.exists(path):
        with contextlib.closing(open_store(url_of(path), f"{path}.head")) as there:
            check_earlier(source, there)
        os.rename(path, beside)  # an earlier copy, which is brought up to date
    create(url_of(beside))
    with contextlib.closing(open_store(url_of(beside), f"{beside}.head")) as file:
        try:
            rows = copy(source, file, say).rows
        except Refusal as refusal:
            raise refusal.but(text=refusal.text.replace(beside, path)) from None
    os.rename(beside, path)
    return rows


def migrate(config: str) -> list[str]:
    """Bring the store up to date, on one server of all that share it; the files of SQL that ran. Raises
    Refusal.
    """
    store = settings_of(config).store
    return create(store.url, store.password_file)
