"""Who looks, where the store's account is another than the Git account: each at what is its own, in a child
of root's, and what they found comes back as plain values.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable
from typing import Any

import click
import msgspec

from gitguard.agent.accounts import become_keeper
from gitguard.cli.admin.context import config_of, open_admin_context
from gitguard.cli.admin.doctor_looks import (
    GIT_ACCOUNT,
    KEEPER,
    DoctorLook,
    Seen,
    inner_looks,
    looked,
    seen_in,
    unopened,
)
from gitguard.config.schema import Settings
from gitguard.doctor import sshd
from gitguard.doctor.finding import Finding, note
from gitguard.doctor.reach import Reach
from gitguard.machine.git_account import become, own_command_line
from gitguard.machine.run_as import all_within, alone
from gitguard.message.reasons import Refusal

LOOK_SECONDS = 600.0  # ten thousand repositories, on a slow disk


class AccountFound(msgspec.Struct, frozen=True):
    """What one account found: by the name of each look, and what the next one needs to know."""

    findings: dict[str, list[Finding]]
    seen: Any = None


def look_in_a_child(become: Callable[[], None], look: Callable[[], AccountFound]) -> AccountFound:
    """What `look` finds once `become` has made the child another account. Raises the child's Refusal."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            alone()
            try:
                become()
                told = ["", msgspec.to_builtins(look())]
            except Refusal as refusal:
                told = ["refusal", refusal.reason, refusal.detail, refusal.text, refusal.hint]
            except Exception as error:
                told = ["refusal", "internal-error", f"{type(error).__name__}: {error}", "", ""]
            with os.fdopen(writing, "w") as pipe:
                json.dump(told, pipe)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    said = all_within(reading, child, LOOK_SECONDS).decode()
    if not said:
        raise Refusal("internal-error", "a look died half way")
    kind, *rest = json.loads(said)
    if kind == "":
        return msgspec.convert(rest[0], AccountFound)
    reason, detail, text, hint = msgspec.convert(rest, tuple[str, str, str, str])
    raise Refusal(reason, detail, text=text, hint=hint)


def by_both_accounts(
    ctx: click.Context,
    settings: Settings,
    outer: list[DoctorLook],
    entry: pwd.struct_passwd,
    effective: sshd.Sshd,
    reach: Reach,
    *,
    log_in: bool,
) -> tuple[dict[str, list[Finding]], list[DoctorLook]]:
    """(what was found, by the look's name; all the looks, in order): each account looks at what is its own.

    Raises Refusal("forbidden") for who is neither root nor the store's account.
    """

    def by_keeper() -> AccountFound:
        found = {look.name: list(looked(look.name, look.run)) for look in outer if look.whose == KEEPER}
        try:
            installation = open_admin_context(ctx).installation
            seen = seen_in(installation, settings)
        except Refusal as refusal:
            return AccountFound(found | {"store": [unopened(refusal)]})
        inner = inner_looks(
            installation, seen, entry, effective, reach, log_in=log_in, config=config, settings=settings
        )
        found |= {look.name: list(looked(look.name, look.run)) for look in inner if look.whose == KEEPER}
        return AccountFound(found, seen)

    by_root, config = os.geteuid() == 0, config_of(ctx)
    line = own_command_line()
    keeper = look_in_a_child(lambda: become_keeper(settings, line), by_keeper)
    found = dict(keeper.findings)
    looks = [DoctorLook("store", KEEPER, tuple), *outer] if "store" in found else outer
    if keeper.seen is not None:
        seen = msgspec.convert(keeper.seen, Seen)
        looks = [
            *outer,
            *inner_looks(
                None, seen, entry, effective, reach, log_in=log_in, config=config, settings=settings
            ),
        ]
    if by_root:
        found |= look_in_a_child(
            lambda: become(str(settings.host.account), line),
            lambda: AccountFound(
                {o.name: list(looked(o.name, o.run)) for o in looks if o.whose == GIT_ACCOUNT}
            ),
        ).findings
    else:
        what = f"what only {settings.host.account} may see (its home, keys, repositories and programs)"
        aside = [note("not-looked-at", what, f"sudo {line}")]
        found |= {
            look.name: aside if look.name == "home" else [] for look in looks if look.whose == GIT_ACCOUNT
        }
    return found, looks
