"""What `admin init` makes of secrets and data: the key file, the grant key, the store, the key
lines' file. Safe to run again.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable

from gitguard.config.schema import Settings
from gitguard.factor import keyring
from gitguard.host import key_file
from gitguard.host.places import Places, authorized_keys
from gitguard.machine.files import replace
from gitguard.machine.whereabouts import there
from gitguard.message.reasons import Refusal
from gitguard.session.grant import KEY_BYTES
from gitguard.store.chain import GENESIS, Head
from gitguard.store.contract import Store
from gitguard.store.opening import audit_head, create, exists, open_store


def keys_and_store(
    settings: Settings, places: Places, say: Callable[[str], None], *, new_store: bool
) -> None:
    """Make what is missing, and say so. Raises Refusal where a part is gone that the rest still tells of."""
    secret, store = settings.paths.key_ring, settings.store.url.shown
    keys = authorized_keys(settings)
    is_there = exists(settings.store.url, settings.store.password_file)
    _check_store_not_lost(settings, secret, keys, new_store=new_store or is_there)
    if os.path.exists(secret):
        keyring.read(secret)
    elif is_there and not settings.store.url.is_file:
        raise Refusal(
            "store-unavailable",
            text=f"the store {store} is there, and {secret}, whose key its secrets are encrypted by, is not",
            hint=f"copy {secret} from another server of this store, or from where you keep its copy",
        )
    elif is_there:
        raise Refusal(
            "store-unavailable",
            f'{secret} is gone, but the store is there; see docs/operations.md, "The key file is gone"',
            text=f"{secret} is gone, but the store is there; put it back from where you keep its copy",
            hint='docs/operations.md, "The key file is gone"',
        )
    else:
        keyring.create(secret)
        say(f"made the key file {secret}; keep a copy apart from the store's backups")
    grant = settings.paths.grant_key
    if not os.path.exists(grant):
        replace(grant, secrets.token_bytes(KEY_BYTES), 0o600)
        say(f"made {grant}")
    head = audit_head(settings.paths.access_log)
    if not is_there:
        Head(head).write(0, GENESIS)
    for file in create(settings.store.url, settings.store.password_file):
        say(f"store {store}: ran {file}" if file[:1].isdigit() else f"made the store {store}")
    if not settings.store.url.is_file and not os.path.exists(
        head
    ):  # one more server of a store that is there
        with contextlib.closing(open_store(settings.store.url, head, settings.store.password_file)) as joined:
            _check_decrypts(joined, secret)
            joined.renew_head()
        say(f"joined the store {store}")
    if not there([keys]):
        key_file.write(keys, [], places.gate)
        say(f"made {keys}")


def _check_decrypts(store: Store, secret: str) -> None:
    """Raises Refusal where the key file is not that of the servers that share the store."""
    with store.reading() as tx:
        needed = {factor.cipher_key for factor in tx.totp_factors()}
    if missing := sorted(needed - set(keyring.read(secret).names)):
        raise Refusal(
            "store-unavailable",
            text=f"{secret} has no key {missing[0]}, by which the secrets of {store.place} are encrypted",
            hint=f"copy {secret} from another server of this store, and run this again",
        )


def _check_store_not_lost(settings: Settings, secret: str, keys: str, *, new_store: bool) -> None:
    """A store that is gone is not one that was never there. Raises Refusal("store-unavailable")."""
    store = settings.store.url.shown
    if new_store:
        return
    block = key_file.read(keys)[0].splitlines() if there([keys]) else []
    try:
        head = Head(audit_head(settings.paths.access_log)).read()
    except (OSError, ValueError):
        head = (1, b"")
    if not block and head in (None, (0, GENESIS)):
        return
    left = [f"{len(block)} key line{'' if len(block) == 1 else 's'}"] if block else []
    left += ["the secrets"] if os.path.exists(secret) else []
    left += ["the head of its audit trail"] if head not in (None, (0, GENESIS)) else []
    text = f"the store {store} is gone, but {' and '.join(left)} of it are there; nothing was changed"
    raise Refusal(
        "store-unavailable",
        text,
        text=text,
        hint="put a backup in place: gitguard admin store restore FILE; or begin anew, with no users: gitguard admin init --new-store",
    )
