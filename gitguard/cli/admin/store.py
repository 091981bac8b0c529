"""`admin store`: backup, restore, status, rotate the key that encrypts, accept a corrected clock."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import click

from gitguard.action import moving, past, pruning, upkeep
from gitguard.action import restore as action
from gitguard.cli.admin import options
from gitguard.cli.admin.context import (
    AdminContext,
    actor,
    as_admin,
    check_reason,
    config_of,
    enter,
    open_admin_context,
    open_settings_or_say,
)
from gitguard.cli.admin.prompts import confirm
from gitguard.cli.admin.remedies import remedy
from gitguard.cli.context import check_effects, say_effects
from gitguard.cli.printing import counted, number, say_json
from gitguard.cli.progress import Progress
from gitguard.command_line import Group, as_typed, say
from gitguard.config.types import StoreUrl, store_url
from gitguard.machine.new_file import NewFile
from gitguard.machine.user_supplied_file import open_as_caller
from gitguard.message.moments import clock
from gitguard.message.reasons import Refusal, machine_fault
from gitguard.session.moment import now
from gitguard.store.rows import Health

_PART = 1 << 20  # bytes that are copied between two looks at how far it is


@click.group(cls=Group)
def store() -> None:
    """Back up, restore and look after the store."""


@store.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.pass_context
def backup(ctx: click.Context, file: str) -> None:
    """Copy the store to FILE while it is in use. The key file is not in it: keep that apart."""
    if file == "-":
        raise Refusal("usage", text="a backup goes to a file, since it must be whole or not there; name one")
    path = os.path.abspath(file)
    new = NewFile(path, open_settings_or_say(ctx).keeper)  # as who types: the folder may be root's
    progress = Progress("copying, bytes")
    try:
        context = open_admin_context(ctx, although_lost=True)
        with tempfile.TemporaryDirectory(dir=context.settings.paths.state, prefix=".backup-") as folder:
            context.installation.store.backup(f"{folder}/copy")
            size = os.path.getsize(f"{folder}/copy")
            with open(f"{folder}/copy", "rb") as copy, os.fdopen(new.handle, "wb", closefd=False) as target:
                while part := copy.read(_PART):
                    target.write(part)
                    progress.at(target.tell(), size)
        new.keep()
    except OSError as error:
        raise machine_fault(f"cannot write {path}", error) from None
    finally:
        progress.over()
        new.close()
    click.echo(f"wrote {path} ({size} bytes)")
    click.echo(
        f"the key file is apart: keep a copy of {context.installation.settings.paths.key_ring} elsewhere: without it the backup opens nothing"
    )


@store.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option(
    "--keep-recovery-codes", is_flag=True, help="Keep recovery codes, although some may have been used since."
)
@click.option(
    "--key-file-lost",
    is_flag=True,
    help="Restore even if secrets cannot be decrypted; their owners set up again.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def restore(ctx: click.Context, file: str, keep_recovery_codes: bool, key_file_lost: bool, yes: bool) -> None:
    """Put the store in FILE in place. Ends all sessions, refuses codes up to now, invalidates
    recovery codes and open invites.
    """
    path = file if file == "-" else os.path.abspath(file)
    if path == "-" and not yes:
        raise Refusal("usage", text="from stdin takes --yes: there is nobody to ask")
    if not yes:
        ends = "sessions" if keep_recovery_codes else "sessions, recovery codes"
        url = open_settings_or_say(ctx).store.url
        whose = "the store" if url.is_file else f"{url.shown}, for every server of it,"
        confirm(f"replace {whose} by {path}? {ends} and open invites end with it", "nothing was changed")
    who = actor()
    with open_as_caller(path, open_settings_or_say(ctx).keeper) as source:
        enter(ctx)
        try:
            done = action.restore(
                config_of(ctx), source, path, now(), who,
                action.Keeping(recovery_codes=keep_recovery_codes, only_what_decrypts=key_file_lost),
            )  # fmt: skip
        except OSError as error:
            raise machine_fault(f"cannot read {path}", error) from None
    counted(done.sessions, "session", "ended")
    if done.factors_dropped:
        counted(done.factors_dropped, "second factor", "did not decrypt and went")
    _say_spent(done.recovery_codes, done.invites, kept=keep_recovery_codes)
    kept = f" What was there before is in {done.before}." if done.before else ""
    say(
        f"restored {path}; codes up to now are refused.{kept}\n"
        "Keys that were removed, users that were suspended and factors that were reset since the backup are back: "
        "look through them.\nBring the key file in line: gitguard admin init"
    )
    check_effects(done.effects, "the store is restored")


def _say_spent(recovery_codes: int, invites: int, *, kept: bool) -> None:
    """What counts no more after a store that is an earlier one; `kept`: recovery codes still do."""
    rest = "kept" if kept else "voided; people make new ones with: 2fa recovery-codes"
    counted(recovery_codes, "recovery code", rest)
    rest = as_typed("voided; new ones for all who need one: gitguard admin user invite --all")
    counted(invites, "invite", rest)


@store.command()
@options.as_json
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> int:
    """Show whether the store is whole. Where it is and what is in it; exit 1 if it is damaged, or a server
    answers nobody because of it.
    """
    try:
        context = open_admin_context(ctx)
    except Refusal as refusal:
        if refusal.reason not in ("store-unavailable", "store-schema", "store-went-back"):
            raise
        return _say_damaged(open_settings_or_say(ctx).store.url, refusal, as_json=as_json)
    kept = context.installation.store
    damage, size, health = kept.integrity(), kept.size(), kept.health()
    with kept.reading() as tx:
        facts: dict[str, object] = {
            "path": kept.place,
            "bytes": size,
            "whole": not damage,
            "damage": damage,
            **tx.counts()._asdict(),
            "latest_at": tx.latest_at(),
            "cipher_key": context.installation.keyring.newest,
            **({"database": health.facts, "shortcomings": _listed(health)} if health.facts else {}),
        }
    closes = any(found.closes for found in health.shortcomings)
    if as_json:
        say_json(facts)
        return 1 if damage or closes else 0
    click.echo(f"{facts['path']}: {'whole' if not damage else 'DAMAGED: ' + damage}, {facts['bytes']} bytes")
    click.echo(
        ", ".join(
            number(int(str(facts[name])), noun, plural)
            for name, noun, plural in (
                ("users", "user", ""),
                ("keys", "key", ""),
                ("repositories", "repository", "repositories"),
                ("sessions", "session", ""),
                ("records", "audit record", ""),
            )
        )
    )
    latest = int(str(facts["latest_at"]))
    click.echo(
        f"latest record: {clock(latest, now().at) if latest else 'none'}; secrets rest under key {facts['cipher_key']}"
    )
    for line in _of_database(health, now().at):
        click.echo(line)
    return 1 if damage or closes else 0


def _listed(health: Health) -> list[dict[str, str]]:
    return [{"what": found.what, "remedy": found.remedy} for found in health.shortcomings]


def _of_database(health: Health, at: int) -> Iterator[str]:
    """The lines of a store that is a database of its own: where it is, who uses it, what is wrong."""
    facts = health.facts
    if not facts:
        return
    how = "synchronous" if facts["synchronous"] else "asynchronous"
    standbys = number(int(str(facts["standbys"])), "standby")
    yield f"PostgreSQL {facts['version']} at {facts['host']}, timeline {facts['timeline']}, {standbys}, {how} replication"
    servers = facts["servers"]
    for server in servers if isinstance(servers, list) else []:
        yield f"server {server['name']}: heard of {clock(server['heard_at'], at)}, gitguard {server['version']}"
    for found in health.shortcomings:
        yield f"{'gap' if found.closes else 'note'}: {found.what}"
        yield f"      {found.remedy}"


def _say_damaged(url: StoreUrl, refusal: Refusal, *, as_json: bool) -> int:
    """A store that cannot be opened at all is a status too."""
    damage = refusal.detail or refusal.text
    if as_json:
        say_json({"path": url.shown, "whole": False, "damage": damage})
    else:
        click.echo(f"{url.shown}: cannot be used: {damage.removeprefix(url.shown + ': ')}")
        say(remedy(refusal, is_file=url.is_file))
    return 1


@store.command()
@click.option("--to", "url", required=True, metavar="URL", help="Where to: as [store] url has it.")
@click.option("--password-file", default="", help="With the database's password, as [store] has it.")
@options.as_json
@click.pass_context
def copy(ctx: click.Context, url: str, password_file: str, as_json: bool) -> None:
    """Copy the store into a database, or back. Again: only what came since. Then the configuration of
    every server can name that place.
    """
    if password_file and not os.path.isabs(password_file):
        raise Refusal("usage", text=f"{password_file!r} is not an absolute path")
    try:
        to = store_url(url)
    except ValueError as error:
        raise Refusal("usage", text=str(error)) from None
    enter(ctx)
    progress = Progress("copying, records")
    try:
        done = moving.copy_store(
            config_of(ctx), to, password_file, lambda _, count, of: progress.at(count, of)
        )
    finally:
        progress.over()
    if as_json:
        say_json({"to": to.shown, "rows": done.rows, "ran": done.ran})
        return
    click.echo(
        f"copied to {to.shown}: {number(done.rows['users'], 'user')}, {number(done.rows['keys'], 'key')},"
        f" {number(done.rows['repositories'], 'repository', 'repositories')},"
        f" {number(done.rows['audit'], 'audit record')}; counted there, and its chain is whole"
    )
    password = f', password_file = "{password_file}"' if password_file else ""
    say(
        "What changes here from now on is not in it: stop the agent (and the web page) of every server, run this once more, "
        f'and name it in every configuration: [store] url = "{to}"{password}. '
        "Then, on each: gitguard admin config check, gitguard admin init, and start them again.\n"
        "If a server then refuses with store-went-back, something changed after the copy: name the old store again, "
        "copy once more, and switch again. The old store stays where it is, with all that is in it: remove it in the end."
    )


@store.command()
@options.as_json
@click.pass_context
def migrate(ctx: click.Context, as_json: bool) -> None:
    """Bring the store to this gitguard's schema. Once, on one of the servers that share it."""
    enter(ctx)
    ran = moving.migrate(config_of(ctx))
    if as_json:
        say_json({"ran": ran})
        return
    for file in ran:
        click.echo(f"ran {file}")
    if not ran:
        click.echo("the store has this gitguard's schema; nothing was changed")


@store.command()
@as_admin
def prune(context: AdminContext) -> None:
    """Delete records that no longer count. The sweep does that by itself, a part a minute."""
    moment, gone = now(), 0
    while some := pruning.prune(context.installation, moment):
        gone += some
    counted(gone, "row", "that could not count any more went")


@store.command(name="rotate-key")
@as_admin
def rotate_key(context: AdminContext) -> None:
    """Make a new encryption key. Every TOTP secret is encrypted again; the old key is then dropped. Where
    several servers share the store: three times, with the key file copied to each of them in between.
    """
    path = context.installation.settings.paths.key_ring
    done = upkeep.rotate_key(context.installation, now(), context.actor)
    shared = not context.settings.store.url.is_file
    if done.step is upkeep.RotationStep.PREPARED:
        click.echo(f"step 1 of 3: key {done.cipher_key} is in {path}; it encrypts nothing yet")
    else:
        step = "step 2 of 3: " if done.step is upkeep.RotationStep.USED else "step 3 of 3: " if shared else ""
        click.echo(f"{step}{number(done.secrets, 'secret')} re-encrypted under key {done.cipher_key}")
    if done.step is not upkeep.RotationStep.DONE:
        say(
            f"copy {path} to every other server of this store; within a minute each says what it has. "
            "Then: gitguard admin store rotate-key"
        )
        return
    if shared:
        click.echo(
            f"the old key is dropped here; copy {path} to every other server once more, and it is done"
        )
    click.echo(f"keep a new copy of {path}; backups made before need the old one")


@store.command(name="accept-loss")
@options.obligatory_reason
@click.option(
    "--keep-recovery-codes", is_flag=True, help="Keep recovery codes, although some may have been used since."
)
@click.pass_context
def accept_loss(ctx: click.Context, reason: str, keep_recovery_codes: bool) -> None:
    """Continue after a database lost records. Ends all sessions, refuses codes
    up to now, invalidates recovery codes and open invites.
    """
    check_reason(reason)
    who = actor()
    enter(ctx)
    done = past.accept_loss(config_of(ctx), now(), who, reason, recovery_codes_kept=keep_recovery_codes)
    click.echo(f"accepted: {done.lost}")
    counted(done.sessions, "session", "ended")
    _say_spent(done.recovery_codes, done.invites, kept=keep_recovery_codes)
    say(
        "Keys that were added or removed, users that were suspended and factors that were reset in what is lost "
        "are as before it: look through them.\nIt is accepted for every server of this store; bring the key file of each in line: gitguard admin init"
    )
    check_effects(done.effects, "the loss is accepted")


@store.command(name="accept-clock")
@options.obligatory_reason
@click.pass_context
def accept_clock(ctx: click.Context, reason: str) -> None:
    """Continue after the clock was wrong. Codes are judged by the present clock again, from now on."""
    check_reason(reason)
    context = open_admin_context(ctx)
    moment = now()
    before, effects = upkeep.accept_clock(context.installation, moment, context.actor, reason)
    click.echo(
        f"the store continues from {clock(moment.at, moment.at)} (its latest record said {clock(before, moment.at)})"
    )
    say("whose codes stay refused (their watermark is in the future) needs: gitguard admin user reset NAME")
    say_effects(effects)
    check_effects(effects, "the clock is accepted")
