"""`admin user`: add, import, list, show, suspend, emergency, resume, reset,
unthrottle, remove, restore, invite.
"""

from __future__ import annotations

import click
from msgspec import to_builtins

from gitguard.action import steps, users
from gitguard.action.roster import entry_of, roster
from gitguard.action.users import Changed, Emergency
from gitguard.answer.log_reader import fold
from gitguard.cli.admin import options
from gitguard.cli.admin.context import AdminContext, as_admin, check_reason, open_admin_context
from gitguard.cli.admin.importing import import_
from gitguard.cli.admin.key import BEHIND, read_key_files, read_program, say_program
from gitguard.cli.admin.prompts import confirm, say_invite
from gitguard.cli.context import check_effects, say_effects
from gitguard.cli.printing import counted, number, say_json, say_json_each, say_table
from gitguard.command_line import Group, say
from gitguard.config.types import seconds_of
from gitguard.host.key_options import NewKey
from gitguard.message.moments import clock, until
from gitguard.message.reasons import Refusal, readable
from gitguard.session.moment import Moment, now
from gitguard.store.rows import Key, Session


@click.group(cls=Group)
def user() -> None:
    """Manage people."""


user.add_command(import_)


@user.command()
@click.argument("name")
@click.option(
    "--key", "files", multiple=True, type=click.Path(), help="A public key file; may be given several times."
)
@click.option("--behind", default="", metavar="PROGRAM", help=BEHIND)
@click.option("--if-missing", is_flag=True, help="If the user is there, only add the keys; no new invite.")
@click.pass_context
def add(ctx: click.Context, name: str, files: tuple[str, ...], behind: str, if_missing: bool) -> None:
    """Add a user, with keys. Prints the invite to send."""
    keys = list({key.fingerprint: key for key in read_key_files(ctx, files)}.values())
    if behind and not files:
        raise Refusal("usage", text="--behind is a key's; give the key with --key")
    context = open_admin_context(ctx)
    program = tuple(word.replace("{user}", name) for word in read_program(behind))
    new = [NewKey(key, behind=program) for key in keys]
    done = users.add(context.installation, name, new, now(), context.actor, if_missing=if_missing)
    say_program(context, done.keys)
    if not done.token:
        click.echo(
            f"{name} is there already" + (f"; added {number(len(done.keys), 'key')}" if done.keys else "")
        )
    else:
        click.echo(f"added {name} with {number(len(keys), 'key')}", err=True)
    for key in done.keys:
        click.echo(f"  {key.fingerprint} {readable(key.comment)}", err=True)
    if done.token:
        say_invite(context, name, done.token)
    check_effects(done.effects, f"{name} is added")


@user.command()
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--all", "everyone", is_flag=True, help="Everyone active who has no second factor yet.")
@click.pass_context
def invite(ctx: click.Context, names: tuple[str, ...], everyone: bool) -> None:
    """Print a new invite for each. Earlier ones then no longer work."""
    if bool(names) == everyone:
        raise Refusal("usage", text="name users, or say --all")
    context = open_admin_context(ctx)
    chosen = users.not_enrolled(context.installation) if everyone else list(dict.fromkeys(names))
    if everyone and chosen:
        click.echo("a line each, the name and what to send, which works once, within 7 days:", err=True)
    for done in users.invite(context.installation, chosen, now(), context.actor):
        say_invite(context, done.name, done.token, tabled=everyone)
    if not chosen:
        click.echo("everyone who is active has a second factor", err=True)


@user.command(name="list")
@click.argument("word", required=False)
@click.option("--not-enrolled", is_flag=True, help="Only active users without a second factor.")
@click.option(
    "--not-verified-since",
    "idle",
    metavar="DURATION",
    help="Only active users with no verification since, such as 30d.",
)
@options.as_json
@click.pass_context
def list_(ctx: click.Context, word: str | None, not_enrolled: bool, idle: str | None, as_json: bool) -> None:
    """List users. All, or those whose name holds WORD, with state, enrolment, keys and live sessions."""
    try:
        since = now().at - seconds_of(idle) if idle else None
    except ValueError as error:
        raise Refusal("usage", text=str(error)) from None
    context = open_admin_context(ctx)
    entries = roster(
        context.installation,
        now(),
        containing=word or "",
        not_enrolled=not_enrolled,
        not_verified_since=since,
    )
    if as_json:
        say_json_each(to_builtins(entry) for entry in entries)
        return
    say_table(
        ("user", "state", "second factor", "keys", "live sessions"),
        (
            (
                entry.user,
                entry.state,
                "enrolled" if entry.enrolled else "not enrolled",
                number(len(entry.keys), "key"),
                number(entry.sessions, "live session"),
            )
            for entry in entries
        ),
        "nobody"
        if not_enrolled or idle
        else "no users yet"
        if word is None
        else f"no user's name holds {readable(word)}",
    )


@user.command()
@click.argument("name")
@options.as_json
@as_admin
def show(context: AdminContext, name: str, as_json: bool) -> None:
    """Show a user. Enrolment, keys, sessions, invite, wrong codes."""
    moment = now()
    with context.installation.store.reading() as tx:
        entry = tx.user(name)
        if entry is None:
            steps.check_present(tx, name)
            return
        about = entry_of(context.installation, tx, entry, moment)
        failures = len(tx.failures(name, moment.at - 86400))
        guessing = tx.guessing(name)
        sessions = tx.sessions(name)
        keys = tx.keys(name)
        accounts = tx.accounts(name)
    unanswered = sum(entry.failures for entry in guessing)
    if as_json:
        say_json(
            {
                **to_builtins(about),
                "failures_today": failures,
                "failures_unanswered": unanswered,
                "uids": accounts,
            }
        )
        return
    click.echo(
        f"{entry.name}: {entry.state}, {'enrolled' if about.enrolled else 'not enrolled'}, always {'on' if entry.always else 'off'}"
    )
    _say_keys_of(keys)
    if accounts:
        click.echo(f"  accounts of this machine, by uid: {', '.join(map(str, accounts))}")
    _say_sessions_of(sessions, context.settings.session.lifetime, moment)
    if about.invite_expires_at is not None:
        click.echo(f"  an invite is open until {clock(about.invite_expires_at, moment.at)}")
    click.echo(
        f"  {number(about.recovery_codes_left, 'recovery code')} left; " + _wrong_codes(failures, unanswered)
    )


def _say_keys_of(keys: list[Key]) -> None:
    for key in keys:
        kept = ", ".join(
            part for part in (key.limits, "verify-required" if key.verify_required else "") if part
        )
        click.echo(f"  key {key.fingerprint} {readable(key.comment)}" + (f" ({kept})" if kept else ""))


def _say_sessions_of(sessions: list[Session], lifetime: int, moment: Moment) -> None:
    for session in sessions:
        left = session.freshness(moment).lasts(lifetime)
        state = f"until {until(moment.at + left, moment.at)}" if left > 0 else "expired"
        click.echo(
            f"  session {session.id} {session.scope} {session.credential} {session.network} {session.method}: {state}"
        )


def _wrong_codes(failures: int, unanswered: int) -> str:
    """`2 wrong codes in the last day, 1 of them from a network that no right one followed from`."""
    said = f"{number(failures, 'wrong code')} in the last day"
    if not failures and not unanswered:
        return said
    if not unanswered:
        return f"{said}, followed by a right one from the same address"
    return f"{said}; {unanswered} in all from where no right one followed"


def _say_state(name: str, state: str, done: Changed) -> None:
    click.echo(
        f"{name} is {'now' if done.changed else 'already'} {state}"
        if done.changed
        else f"{name} is {state} already"
    )
    say_effects(done.effects)
    check_effects(done.effects, f"{name} is {state}")


@user.command()
@click.argument("name")
@options.reason
@as_admin
def suspend(context: AdminContext, name: str, reason: str) -> None:
    """Refuse a user everything, at once. Their sessions and running transfers end."""
    _say_state(
        name,
        "suspended",
        users.set_state(context.installation, name, "suspended", now(), context.actor, reason),
    )


@user.command()
@click.argument("name")
@options.obligatory_reason
@options.as_json
@click.pass_context
def emergency(ctx: click.Context, name: str, reason: str, as_json: bool) -> None:
    """Someone's key or laptop was stolen. Suspends them, ends sessions and transfers, cancels the invite, and
    lists what was read and pushed within a day.
    """
    check_reason(reason)
    context = open_admin_context(ctx)
    moment = now()
    what = users.emergency(context.installation, name, moment, context.actor, reason)
    if as_json:
        say_json(
            {
                "user": name,
                "sessions_ended": what.sessions,
                "transfers_ended": what.done.effects.ended,
                "entries": list(what.entries),
                "unread": what.unread,
            }
        )
    else:
        _say_emergency(name, what, moment.at)
    check_effects(what.done.effects, f"{name} is suspended")


def _say_emergency(name: str, what: Emergency, at: int) -> None:
    """What ended, the last day's reads and pushes, and what to type next."""
    click.echo(
        f"{name} is {'now' if what.done.changed else 'already'} suspended; {number(what.sessions, 'session')} ended"
    )
    say_effects(what.done.effects)
    if what.unread:
        click.echo(f"what they read and pushed cannot be said: {what.unread}", err=True)
    elif not what.entries:
        click.echo("nothing was read or pushed by them within a day")
    for group in fold(what.entries):
        entry, times = group.last, f"  x{group.count}" if group.count > 1 else ""
        then = entry.get("at")
        when = clock(then, at) if isinstance(then, int) else "?"
        words = (
            entry.get("operation") or "command",
            entry.get("repository") or "-",
            entry.get("address") or "-",
        )
        verb, repository, address = (readable(str(word), 300) for word in words)
        click.echo(f"  {when}  {verb} {repository} from {address}{times}")
    say(
        f"next: gitguard admin key remove FINGERPRINT; new key and phone, then: gitguard admin user reset {name} "
        f"and gitguard admin user resume {name}",
        err=True,
    )


@user.command()
@click.argument("name")
@options.reason
@as_admin
def resume(context: AdminContext, name: str, reason: str) -> None:
    """Let a suspended user in again."""
    _say_state(
        name, "active", users.set_state(context.installation, name, "active", now(), context.actor, reason)
    )


@user.command()
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--all", "everyone", is_flag=True, help="Everyone active.")
@click.option("--yes", is_flag=True, help="With --all: do not ask.")
@options.reason
@click.pass_context
def reset(ctx: click.Context, names: tuple[str, ...], everyone: bool, yes: bool, reason: str) -> None:
    """Remove a user's second factor. Ends all their sessions, and prints the invite to enrol again."""
    if bool(names) == everyone:
        raise Refusal("usage", text="name users, or say --all")
    context = open_admin_context(ctx)
    chosen = users.active(context.installation) if everyone else list(dict.fromkeys(names))
    if everyone and not yes:
        confirm(f"reset the second factor of {number(len(chosen), 'user')}?", "nobody was reset")
    for done in users.reset(context.installation, chosen, now(), context.actor, reason):
        click.echo(f"{done.name}'s second factor is removed and all their sessions have ended", err=True)
        say_invite(context, done.name, done.token, tabled=everyone)
        check_effects(done.effects, f"{done.name} was reset")


@user.command()
@click.argument("name")
@click.argument("verb", type=click.Choice(["add", "remove"]))
@click.argument("account")
@as_admin
def account(context: AdminContext, name: str, verb: str, account: str) -> None:
    """Link an account of this machine to a user. What ACCOUNT types in its shell (gitguard verify) is NAME's
    (docs/agent.md).
    """
    done = users.change_account(context.installation, name, verb, account, now(), context.actor)
    if verb == "add":
        click.echo(f"the account {account} is {name}'s" + ("" if done.changed else " already"))
    else:
        click.echo(f"the account {account} is {'no longer' if done.changed else 'not'} {name}'s")
    say_effects(done.effects)
    check_effects(done.effects, "that is changed")


@user.command()
@click.argument("name")
@options.reason
@as_admin
def unthrottle(context: AdminContext, name: str, reason: str) -> None:
    """Clear a user's wrong-code limit. They may verify at once."""
    counted(
        users.unthrottle(context.installation, name, now(), context.actor, reason),
        "failure",
        f"of {name} forgotten",
    )


@user.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.reason
@as_admin
def remove(context: AdminContext, name: str, yes: bool, reason: str) -> None:
    """Remove a user. Keys, second factor and sessions go; the name stays reserved."""
    with context.installation.store.reading() as tx:
        steps.check_present(tx, name)
    if not yes:
        confirm(f"remove {name} for good? the name stays reserved", f"{name} was not removed")
    done = users.remove(context.installation, name, now(), context.actor, reason)
    click.echo(f"removed {name} and {number(len(done.keys), 'key')}; the name stays reserved")
    say_effects(done.effects)
    check_effects(done.effects, f"{name} is removed")


@user.command()
@click.argument("name")
@options.reason
@as_admin
def restore(context: AdminContext, name: str, reason: str) -> None:
    """Bring back a removed user. Without keys, and with a new invite."""
    done = users.restore(context.installation, name, now(), context.actor, reason)
    say(f"{name} is back, without keys; give them one: gitguard admin key add {name} FILE", err=True)
    say_invite(context, name, done.token)
    check_effects(done.effects, f"{name} is back")
