"""`admin key`: add, adopt, list, remove."""

from __future__ import annotations

import click

from gitguard.account import user as users
from gitguard.account.public_key import PublicKey, parse_key_file, parse_public_key
from gitguard.cli.admin.office import Office, open_office
from gitguard.cli.here import counted, say_json
from gitguard.command_line import Group
from gitguard.decision.request import is_fingerprint
from gitguard.host import key_file
from gitguard.message.reasons import Refusal, printable
from gitguard.session.moment import now


@click.group(cls=Group)
def key() -> None:
    """SSH keys: add, adopt, list, remove."""


def read_key_files(files: tuple[str, ...]) -> list[PublicKey]:
    """All keys in `files`. Raises Refusal("usage") naming the file."""
    keys: list[PublicKey] = []
    for path in files:
        try:
            with click.open_file(path, encoding="utf-8", errors="replace") as file:
                keys += parse_key_file(file.read(1 << 20))
        except OSError as error:
            raise Refusal("usage", text=f"cannot read {path}: {error.strerror}") from None
        except Refusal as refusal:
            raise Refusal("usage", text=f"{path}: {refusal.text}") from None
    return keys


def check_not_foreign(office: Office, keys: list[PublicKey]) -> None:
    """Raises Refusal("usage") if a key stands ungated in a file that sshd reads: that line would win."""
    for path in office.key_files:
        for added in keys:
            if key_file.carries(path, added.blob):
                raise Refusal(
                    "usage",
                    text=f"{added.fingerprint} stands ungated in {path}, where sshd would let it past gitguard",
                    hint="take it over with: gitguard admin key adopt MAP",
                )


@key.command()
@click.argument("user")
@click.argument("file", type=click.Path())
@click.pass_context
def add(ctx: click.Context, user: str, file: str) -> None:
    """Give a user the public keys in FILE (- for stdin)."""
    keys = read_key_files((file,))  # as who types: the file may be closed to the Git account
    office = open_office(ctx)
    check_not_foreign(office, keys)
    with office.desk.store.writing() as tx:
        added = [k for k in keys if users.add_key(tx, user, k, now().at, office.actor)]
    office.write_keys()
    for k in added:
        click.echo(f"added {k.fingerprint} {k.comment}".rstrip() + f" to {user}")
    if not added:
        click.echo(f"{user} has that key already")


@key.command()
@click.argument("map_file", metavar="MAP", type=click.Path())
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.pass_context
def adopt(ctx: click.Context, map_file: str, dry_run: bool) -> None:
    """Gate lines that stand in authorized_keys already. MAP holds lines of: FINGERPRINT USER."""
    wanted = _read_map(map_file)
    office = open_office(ctx)
    lines = {line.fingerprint: line for path in office.key_files for line in key_file.foreign_lines(path)}
    missing = [digest for digest in wanted if digest not in lines]
    if missing:
        raise Refusal(
            "usage",
            text=f"no ungated line carries {missing[0]}"
            + (f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""),
        )
    elsewhere = [line for digest in wanted if (line := lines[digest]).path != office.key_file]
    if elsewhere:
        raise Refusal(
            "usage",
            text=f"{elsewhere[0].fingerprint} stands in {elsewhere[0].path}, which gitguard does not manage",
            hint="move that line to the managed file first",
        )
    keys = [
        (
            wanted[digest],
            parse_public_key(f"{lines[digest].type} {lines[digest].blob} {lines[digest].comment}"),
        )
        for digest in wanted
    ]
    with office.desk.store.reading() as tx:
        for name, found in keys:
            users.present(tx, name)
            there = tx.key(found.fingerprint)
            if there is not None and there.user != name:
                raise Refusal(
                    "usage", text=f"{found.fingerprint} is a key of {there.user}; a key is of one user"
                )
    if not dry_run:
        with office.desk.store.writing() as tx:
            for name, found in keys:
                users.add_key(tx, name, found, now().at, office.actor)
        office.write_keys(without=frozenset(wanted))
    for name, found in keys:
        options = lines[found.fingerprint].options
        dropped = f" (its options are dropped: {printable(options, 80)})" if options else ""
        click.echo(
            f"{'would gate' if dry_run else 'gated'} {found.fingerprint} {found.comment} for {name}{dropped}"
        )
    left = [line for digest, line in lines.items() if digest not in wanted]
    for line in left:
        click.echo(
            f"still not gated: {line.fingerprint or '(not understood)'} {printable(line.comment, 60)} ({line.path})",
            err=True,
        )


def _read_map(path: str) -> dict[str, str]:
    wanted: dict[str, str] = {}
    try:
        with click.open_file(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(1 << 22).splitlines()
    except OSError as error:
        raise Refusal("usage", text=f"cannot read {path}: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or not is_fingerprint(words[0]):
            raise Refusal("usage", text=f"{path}:{number}: expected a line of FINGERPRINT USER")
        if wanted.get(words[0], words[1]) != words[1]:
            raise Refusal("usage", text=f"{path}:{number}: {words[0]} is named for two users")
        wanted[words[0]] = words[1]
    if not wanted:
        raise Refusal("usage", text=f"{path}: no line of FINGERPRINT USER")
    return wanted


@key.command(name="list")
@click.argument("user", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def list_(ctx: click.Context, user: str | None, as_json: bool) -> None:
    """Every key, or one user's; and the lines of the key file that are not gated."""
    office = open_office(ctx)
    with office.desk.store.reading() as tx:
        if user is not None:
            users.present(tx, user)
        keys = tx.keys(user)
    foreign = [] if user else [line for path in office.key_files for line in key_file.foreign_lines(path)]
    if as_json:
        rows: list[dict[str, object]] = [
            {
                "key": k.fingerprint,
                "user": k.user,
                "type": k.type,
                "comment": k.comment,
                "gated": True,
                "added_at": k.added_at,
            }
            for k in keys
        ]
        rows += [
            {
                "key": line.fingerprint,
                "user": None,
                "type": line.type,
                "comment": line.comment,
                "gated": False,
                "added_at": None,
            }
            for line in foreign
        ]
        say_json(rows)
        return
    for k in keys:
        click.echo(f"{k.fingerprint}  {k.user:<20} {k.type}  {k.comment}")
    for line in foreign:
        click.echo(
            f"{line.fingerprint or '(not understood)'}  NOT GATED ({line.path})  {printable(line.comment, 60)}"
        )
    if not keys and not foreign:
        click.echo("no keys", err=True)


@key.command()
@click.argument("fingerprint")
@click.option("--reason", default="", help="Why, for the audit trail.")
@click.pass_context
def remove(ctx: click.Context, fingerprint: str, reason: str) -> None:
    """Take a key away: refused from the next command on; its sessions and running transfers end."""
    office = open_office(ctx)
    with office.desk.store.writing() as tx:
        gone = users.remove_key(tx, fingerprint, now().at, office.actor, reason)
    office.write_keys()
    click.echo(f"removed {gone.fingerprint} {gone.comment}".rstrip() + f" of {gone.user}")
    count = office.riding.end(lambda rider: rider.key == fingerprint)
    if count:
        counted(count, "running transfer", "ended")
