"""`admin user import`: people, keys and second factors from other programs' lists."""

from __future__ import annotations

import click
from msgspec import to_builtins

from gitguard.action import importing as action
from gitguard.cli.admin import options
from gitguard.cli.admin.context import AdminContext, open_admin_context, read_file
from gitguard.cli.context import check_effects
from gitguard.cli.printing import number, say_json
from gitguard.command_line import say
from gitguard.importers import authenticators, people
from gitguard.importers.imported import ImportedList
from gitguard.message.reasons import Refusal, readable
from gitguard.session.moment import now

FORMATS = ("csv", "authorized-keys", "google-authenticator", "users.oath")


@click.command("import")
@click.argument("form", metavar="FORMAT", type=click.Choice(FORMATS))
@click.argument("file", type=click.Path())
@click.option(
    "--map",
    "map_file",
    type=click.Path(),
    help="authorized-keys: whose each key is, lines of FINGERPRINT LOGIN.",
)
@click.option("--user", "login", default="", metavar="LOGIN", help="google-authenticator: whose file it is.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@options.as_json
@click.pass_context
def import_(
    ctx: click.Context, form: str, file: str, map_file: str | None, login: str, dry_run: bool, as_json: bool
) -> None:
    """Import people, keys and second factors. FILE (- for stdin) is csv, authorized-keys,
    google-authenticator or users.oath. Safe to repeat.
    """
    if (map_file is not None) != (form == "authorized-keys"):
        raise Refusal("usage", text="authorized-keys needs --map, and nothing else takes it")
    if bool(login) != (form == "google-authenticator"):
        raise Refusal("usage", text="google-authenticator needs --user, and nothing else takes it")
    data = read_file(ctx, file)
    owners = people.read_map(read_file(ctx, map_file)) if map_file is not None else {}
    context = open_admin_context(ctx)
    try:
        offered = _read(context, form, data, owners, login)
    except Refusal as refusal:
        raise refusal.but(text=f"{file}, {refusal.text}") from None
    done = action.take(context.installation, offered, now(), context.actor, dry_run=dry_run)
    if as_json:
        say_json(
            {
                "changed": done.changed,
                "taken": [to_builtins(one) for one in done.taken],
                "left_out": [to_builtins(one) for one in done.skipped],
            }
        )
    else:
        for one in done.taken:
            for what in one.done:
                click.echo(
                    f"line {one.line}, {readable(one.login, 100)}: {_would(what) if dry_run else what}"
                )
        for left in done.skipped:
            click.echo(
                f"line {left.line}: not taken: {readable(left.what, 200)}: {readable(left.why, 300)}",
                err=True,
            )
        same = sum(not one.done for one in done.taken)
        changed = len(done.taken) - same
        click.echo(
            f"{number(changed, 'person', 'people')} {'would be ' if dry_run else ''}taken over, {same} there already, {number(len(done.skipped), 'line')} not taken"
        )
        if changed and not dry_run and form in ("csv", "authorized-keys"):
            say("who has no second factor yet: gitguard admin user invite --all")
    check_effects(done.effects, "what was taken over stands")


def _would(did: str) -> str:
    """What was taken back at the end of a dry run, as what would be done."""
    verb, _, rest = did.partition(" ")
    return f"would {({'added': 'add', 'took': 'take'}).get(verb, verb)} {rest}"


def _read(context: AdminContext, form: str, data: bytes, owners: dict[str, str], login: str) -> ImportedList:
    if form == "csv":
        return people.read_csv(data, now().at)
    if form == "authorized-keys":
        return people.read_authorized_keys(data, owners, context.installation.places.gate)
    if form == "google-authenticator":
        return authenticators.read_google_authenticator(data, login)
    return authenticators.read_oath(data)
