"""`admin store`: backup, restore, status, rotate the key that encrypts, accept a corrected clock."""

from __future__ import annotations

import glob
import os
import shutil

import click

from gitguard.cli.admin.office import Office, open_office
from gitguard.cli.here import counted, say_json
from gitguard.command_line import Group
from gitguard.factor import keyring
from gitguard.factor.totp import WINDOW
from gitguard.host.files import locked, replace
from gitguard.message.moments import clock
from gitguard.message.reasons import Refusal
from gitguard.session.moment import now
from gitguard.store.chain import faults
from gitguard.store.sqlite import SqliteStore, audit_head, copy_file, create, is_no_store


@click.group(cls=Group)
def store() -> None:
    """The store: backup, restore, status, rotate-key, accept-clock."""


@store.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.pass_context
def backup(ctx: click.Context, file: str) -> None:
    """Copy the store to FILE while it is in use. The key file is not in it: keep that apart."""
    path = os.path.abspath(file)
    office = open_office(ctx)
    if os.path.lexists(path):
        raise Refusal("usage", text=f"{path} is there already")
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise Refusal(
            "usage",
            text=f"cannot write {path}: {error.strerror} (it is written as {office.settings.host.account})",
        ) from None
    try:
        office.sqlite.backup(path)
    except Refusal:
        os.unlink(path)  # half a backup is none
        raise
    click.echo(f"wrote {path} ({os.path.getsize(path)} bytes)")
    click.echo(
        f"the key file is apart: keep a copy of {office.settings.paths.state}/secret.keys elsewhere, or the backup opens nothing"
    )


@store.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--keep-recovery-codes", is_flag=True, help="Keep recovery codes, although some may have been used since."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def restore(ctx: click.Context, file: str, keep_recovery_codes: bool, yes: bool) -> None:
    """Put the store in FILE in place. Ends all sessions, refuses codes up to now, voids recovery codes."""
    path = os.path.abspath(file)
    try:
        with open(path, "rb") as source:  # as who types: it may be closed to the Git account
            data = source.read()
    except OSError as error:
        raise Refusal("usage", text=f"cannot read {path}: {error.strerror}") from None
    if not yes:
        click.confirm(f"replace the store by {path}?", abort=True, err=True)
    office = open_office(ctx, store_may_be_broken=True)
    live = office.settings.store.url.path
    candidate = f"{os.path.dirname(live)}/.restore-{os.getpid()}"
    for stale in glob.glob(f"{os.path.dirname(live)}/.restore-*"):
        os.unlink(stale)  # of a restore that was interrupted
    try:
        replace(candidate, data, 0o600)
        _check_store(candidate, path)
        counts = _make_safe(
            office, candidate, keep_recovery_codes=keep_recovery_codes, name=os.path.basename(path)
        )
        with locked(f"{office.settings.paths.state}/admin.lock"):
            if os.path.exists(live):
                shutil.copyfile(live, f"{live}.before-restore")
                os.chmod(f"{live}.before-restore", 0o600)
            office.riding.end(lambda _: True)
            copy_file(candidate, live)
    finally:
        for suffix in ("", "-wal", "-shm"):
            if os.path.exists(candidate + suffix):
                os.unlink(candidate + suffix)
    renewed = SqliteStore(live, audit_head(office.settings.paths.access_log))
    renewed.renew_head()
    office.riding.end(lambda _: True)
    counted(counts[0], "session", "ended")
    counted(
        counts[1],
        "recovery code",
        "kept" if keep_recovery_codes else "voided; people make new ones with: 2fa recovery-codes",
    )
    counted(counts[2], "invite", "voided")
    click.echo(
        f"restored {path}; codes up to now are refused. What was there before is in {live}.before-restore.\n"
        "Keys that were removed, users that were suspended and factors that were reset since the backup are back: "
        "look through them.\nBring the key file in line: gitguard admin init"
    )


def _check_store(candidate: str, shown: str) -> None:
    """A whole store with a whole chain, brought up to date. Raises Refusal for an empty, foreign or damaged file."""
    if is_no_store(candidate):
        raise Refusal("usage", text=f"{shown} is no store of gitguard's; nothing was changed")
    create(candidate)
    store = SqliteStore(candidate, candidate + ".head")
    try:
        damage = store.integrity()
        found: list[str] = []
        if not damage:
            with store.reading() as tx:
                found, _ = faults(tx.audit(), None)
        # A copy has no head of its own; what its chain says of itself counts.
        found = [fault for fault in found if "head outside" not in fault]
    finally:
        store.close()
    if damage or found:
        raise Refusal("usage", text=f"{shown} is damaged ({damage or found[0]}); nothing was changed")


def _make_safe(
    office: Office, candidate: str, *, keep_recovery_codes: bool, name: str
) -> tuple[int, int, int]:
    """What was used since the backup must not be accepted again. (sessions, recovery codes, invites)."""
    old = SqliteStore(candidate, candidate + ".head")
    moment = now()
    try:
        with old.writing() as tx:
            ended = sum(len(tx.end_sessions(user.name)) for user in tx.users())
            for factor in tx.factors():
                tx.advance_step(factor.user, moment.at // factor.period_seconds + WINDOW)
            codes = tx.recovery_codes_issued() if keep_recovery_codes else tx.void_recovery_codes()
            invites = tx.void_invites()
            head = office.head_before()
            tx.record(
                "store-restored",
                moment.at,
                office.actor,
                file=name,
                recovery_codes_kept=keep_recovery_codes,
                head_before=head,
            )
    finally:
        old.close()
        if os.path.exists(candidate + ".head"):
            os.unlink(candidate + ".head")
    return ended, codes, invites


@store.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> int:
    """Where the store is, whether it is whole, what is in it. Exit 1 if it is damaged."""
    office = open_office(ctx)
    damage = office.sqlite.integrity()
    with office.desk.store.reading() as tx:
        facts: dict[str, object] = {
            "path": office.sqlite.path,
            "bytes": os.path.getsize(office.sqlite.path),
            "whole": not damage,
            "damage": damage,
            "users": len(tx.users()),
            "keys": len(tx.keys()),
            "repositories": len(tx.repositories()),
            "sessions": len(tx.sessions()),
            "records": len(tx.audit()),
            "latest_at": tx.latest_at(),
            "cipher_key": office.desk.keyring.newest,
        }
    if as_json:
        say_json(facts)
        return 1 if damage else 0
    click.echo(f"{facts['path']}: {'whole' if not damage else 'DAMAGED: ' + damage}, {facts['bytes']} bytes")
    click.echo(
        f"{facts['users']} users, {facts['keys']} keys, {facts['repositories']} repositories, {facts['sessions']} sessions, {facts['records']} audit records"
    )
    latest = int(str(facts["latest_at"]))
    click.echo(
        f"latest record: {clock(latest, now().at) if latest else 'none'}; secrets rest under key {facts['cipher_key']}"
    )
    return 1 if damage else 0


@store.command(name="rotate-key")
@click.pass_context
def rotate_key(ctx: click.Context) -> None:
    """Make a new encryption key and re-encrypt every TOTP secret under it; the old key is then dropped."""
    office = open_office(ctx)
    path = f"{office.settings.paths.state}/secret.keys"
    with locked(f"{office.settings.paths.state}/admin.lock"):
        keyring.add_key(path)
        ring = keyring.read(path)
        with office.desk.store.writing() as tx:
            factors = tx.factors()
            for factor in factors:
                name, sealed = ring.encrypt(factor.user, factor.enrolment, ring.decrypt(factor))
                tx.replace_secret(factor.user, sealed, name)
            tx.record(
                "cipher-key-rotated", now().at, office.actor, cipher_key=ring.newest, secrets=len(factors)
            )
        # Only now is nothing encrypted under the old ones. A crash before this leaves both, which is in order.
        keyring.drop_old_keys(path)
    counted(len(factors), "secret", f"re-encrypted under key {ring.newest}")
    click.echo(f"keep a new copy of {path}; backups made before need the old one")


@store.command(name="accept-clock")
@click.option("--reason", required=True, help="Why, for the audit trail.")
@click.pass_context
def accept_clock(ctx: click.Context, reason: str) -> None:
    """Go on by the present clock after it was wrong: codes are judged again, from now on."""
    office = open_office(ctx)
    moment = now()
    with office.desk.store.writing() as tx:
        before = tx.latest_at()
        tx.record("clock-accepted", moment.at, office.actor, before=before, reason=reason)
        tx.accept_clock(moment.at)
    click.echo(
        f"the store goes on from {clock(moment.at, moment.at)} (its latest record said {clock(before, moment.at)})"
    )
    click.echo(
        "whose codes stay refused (their watermark is in the future) needs: gitguard admin user reset NAME"
    )
