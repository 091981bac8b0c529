"""`admin repo`: create, adopt, rename, forget, list, show, require, lifetime, admin."""

from __future__ import annotations

import os

import click

from gitguard.account import user as users
from gitguard.cli.admin.office import Office, open_office
from gitguard.cli.here import counted, say_json
from gitguard.cli.own_repo import say_admin, say_toggle, show_repository
from gitguard.command_line import Group
from gitguard.message.reasons import Refusal
from gitguard.repository import registry, toggle
from gitguard.repository.hook_file import hook_fault
from gitguard.session.moment import now
from gitguard.store.contract import Repository


@click.group(cls=Group)
def repo() -> None:
    """Repositories: create, adopt, rename, forget, list, show, require, lifetime, admin."""


def _hook(office: Office) -> bytes:
    try:
        with open(office.at.hook, "rb") as file:
            return file.read()
    except OSError as error:
        raise Refusal(
            "usage", text=f"{office.at.hook}: {error.strerror}", hint="renew it with: gitguard admin init"
        ) from None


def _adopt(office: Office, found: registry.Found, *, new: bool = False) -> list[str]:
    store, settings, at = office.desk.store, office.settings, now().at
    return registry.adopt(store, settings, found, _hook(office), os.geteuid(), at, office.actor, new=new)


@repo.command()
@click.argument("name")
@click.option(
    "--admin",
    "admins",
    multiple=True,
    metavar="USER",
    help="An admin of the repository; may be given several times.",
)
@click.pass_context
def create(ctx: click.Context, name: str, admins: tuple[str, ...]) -> None:
    """Make a new bare repository with the hook in place."""
    office = open_office(ctx)
    with office.desk.store.reading() as tx:
        if tx.repository(registry.new_name(office.settings, name)) is not None:
            raise Refusal("usage", text=f"the repository {name} is there already")
        for admin in admins:
            users.present(tx, admin)
    found = registry.create(office.settings, name)
    _adopt(office, found, new=True)
    with office.desk.store.writing() as tx:
        for admin in admins:
            toggle.change_admin(tx, office.settings, found.name, "add", admin, now().at, office.actor)
    click.echo(
        f"created {found.name} in {found.directory}" + (f"; admins: {', '.join(admins)}" if admins else "")
    )
    host, port = office.view, office.settings.host.port
    where = (
        f"ssh://{host.account}@{host.host or 'HOST'}:{port}/{found.name}.git"
        if port != 22
        else f"{host.account}@{host.host or 'HOST'}:{found.name}.git"
    )
    click.echo(f"clone it with: git clone {where}")


@repo.command()
@click.argument("names", nargs=-1, metavar="REPO...")
@click.option("--all", "everything", is_flag=True, help="Every bare repository below the roots.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.pass_context
def adopt(ctx: click.Context, names: tuple[str, ...], everything: bool, dry_run: bool) -> int:
    """Make repositories on disk known and install the hook; again: renew the hook."""
    if bool(names) == everything:
        raise Refusal("usage", text="name repositories, or say --all")
    office = open_office(ctx)
    places = (
        registry.on_disk(office.settings)
        if everything
        else [registry.locate(office.settings, name) for name in names]
    )
    if everything and not places:
        click.echo("no repositories below " + ", ".join(registry.roots(office.settings)), err=True)
    refused = 0
    for position, found in enumerate(places, 1):
        progress = f"[{position}/{len(places)}] " if len(places) > 1 else ""
        try:
            done = _would(office, found) if dry_run else _adopt(office, found)
        except Refusal as refusal:
            refused += 1
            click.echo(f"{progress}{found.name}: not adopted: {refusal.text}", err=True)
            if refusal.hint:
                click.echo(f"    {refusal.hint}", err=True)
            continue
        click.echo(f"{progress}{found.name}: {', '.join(done) or 'was in order'}")
    if refused:
        counted(refused, "repository" if refused == 1 else "repositorie", "not adopted")
        return 2
    return 0


def _would(office: Office, found: registry.Found) -> list[str]:
    why, remedy = registry.obstacle(found, office.settings, os.geteuid())
    if why:
        raise Refusal("usage", text=why, hint=remedy)
    with office.desk.store.reading() as tx:
        known = tx.repository(found.name)
    if known is not None and known.directory != found.directory:
        raise Refusal("usage", text=f"the name {found.name} is taken by {known.directory}")
    done = [] if known is not None else ["would be adopted"]
    path = f"{found.directory}/hooks/pre-receive"
    if hook_fault(found.directory, _hook(office), os.geteuid()):
        done.append(
            "would get the hook"
            + (", its own pre-receive would move to pre-receive.d" if os.path.lexists(path) else "")
        )
    return done


@repo.command()
@click.argument("old")
@click.argument("new")
@click.pass_context
def rename(ctx: click.Context, old: str, new: str) -> None:
    """Rename a repository, on disk and in the store; its toggle and admins go with it."""
    office = open_office(ctx)
    plain = registry.new_name(office.settings, new)
    with office.desk.store.reading() as tx:
        before = registry.known(tx, office.settings, old)
        if tx.repository(plain) is not None:
            raise Refusal("usage", text=f"the repository {plain} is there already")
    root = next((r for r in registry.roots(office.settings) if before.directory.startswith(r + "/")), None)
    if root is None:
        raise Refusal("usage", text=f"{before.directory} is below no root")
    target = f"{root}/{plain}.git"
    # It may stand at the new place already, moved by hand: then only the store follows.
    to_move = os.path.lexists(before.directory)
    if to_move and os.path.lexists(target):
        raise Refusal("usage", text=f"{target} is there already")
    if not to_move and not os.path.lexists(target):
        raise Refusal("usage", text=f"neither {before.directory} nor {target} is there")
    if not to_move:
        why, remedy = registry.obstacle(registry.Found(plain, target, root), office.settings, os.geteuid())
        if why:
            raise Refusal("usage", text=why, hint=remedy)
    office.riding.end(lambda rider: rider.deciding or rider.repository == before.name)
    try:
        if to_move:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.rename(before.directory, target)
    except OSError as error:
        raise Refusal("usage", text=f"cannot move it to {target}: {error.strerror}") from None
    try:
        with office.desk.store.writing() as tx:
            tx.rename_repository(before.name, plain, target)
            tx.record(
                "repository-renamed", now().at, office.actor, repository=plain, before=before.name, directory=target
            )  # fmt: skip
    except Refusal:
        if to_move:
            os.rename(target, before.directory)
        raise
    click.echo(f"{before.name} is now {plain}, in {target}")


@repo.command()
@click.argument("name")
@click.pass_context
def forget(ctx: click.Context, name: str) -> None:
    """Make a repository unknown: refused from then on. Nothing on disk is deleted."""
    office = open_office(ctx)
    with office.desk.store.writing() as tx:
        gone = registry.known(tx, office.settings, name)
        admins = tx.repository_admins(gone.name)
        tx.forget_repository(gone.name)
        tx.record(
            "repository-forgotten",
            now().at,
            office.actor,
            repository=gone.name,
            directory=gone.directory,
            require=gone.require,
        )
    office.riding.end(lambda rider: rider.deciding or rider.repository == gone.name)
    if gone.require != "none" or admins:
        toggled = toggle.describe(gone.require, gone.lifetime_seconds)
        click.echo(f"its switch is forgotten too: require {toggled}, admins: {', '.join(admins) or 'none'}")
    click.echo(f"{gone.name} is not known any more, so it is refused; {gone.directory} was left as it is")


@repo.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Every known repository with its toggle, and those on disk that are not known."""
    office = open_office(ctx)
    hook = _hook(office)
    with office.desk.store.reading() as tx:
        rows = tx.repositories()
    known = {row.directory for row in rows}
    strangers = [found for found in registry.on_disk(office.settings) if found.directory not in known]
    if as_json:
        say_json(
            [_as_json(row, hook) for row in rows]
            + [{"repository": f.name, "directory": f.directory, "known": False} for f in strangers]
        )
        return
    for row in rows:
        fault = hook_fault(row.directory, hook, os.geteuid())
        click.echo(
            f"{row.name:<40} {toggle.describe(row.require, row.lifetime_seconds)}"
            + (f"  NO LIVE HOOK: {fault}" if fault else "")
        )
    for found in strangers:
        click.echo(f"{found.name:<40} NOT KNOWN, so refused ({found.directory})")
    if not rows and not strangers:
        click.echo("no repositories yet", err=True)


def _as_json(row: Repository, hook: bytes) -> dict[str, object]:
    return {
        "repository": row.name,
        "directory": row.directory,
        "known": True,
        "require": row.require,
        "lifetime_seconds": row.lifetime_seconds,
        "hook": hook_fault(row.directory, hook, os.geteuid()) or "live",
    }


@repo.command()
@click.argument("name", metavar="REPO")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """What a repository demands, and its admins."""
    office = open_office(ctx)
    with office.desk.store.reading() as tx:
        show_repository(tx, office.settings, registry.known(tx, office.settings, name), as_json=as_json)


@repo.command()
@click.argument("name", metavar="REPO")
@click.argument("what", metavar="none|push|all")
@click.pass_context
def require(ctx: click.Context, name: str, what: str) -> None:
    """Demand 2FA for none, push or all; works under every enforcement and says when it has no effect."""
    office = open_office(ctx)
    with office.desk.store.writing() as tx:
        done = toggle.set_require(tx, office.settings, name, what, now().at, office.actor)
    say_toggle(office.desk, office.riding, done)


@repo.command()
@click.argument("name", metavar="REPO")
@click.argument("how_long", metavar="DURATION|default")
@click.pass_context
def lifetime(ctx: click.Context, name: str, how_long: str) -> None:
    """How long a verification counts for a repository; may only be shorter than the server's."""
    office = open_office(ctx)
    with office.desk.store.writing() as tx:
        done = toggle.set_lifetime(tx, office.settings, name, how_long, now().at, office.actor)
    say_toggle(office.desk, office.riding, done)


@repo.command()
@click.argument("name", metavar="REPO")
@click.argument("verb", metavar="add|remove")
@click.argument("user")
@click.pass_context
def admin(ctx: click.Context, name: str, verb: str, user: str) -> None:
    """Add or remove an admin of a repository."""
    office = open_office(ctx)
    with office.desk.store.writing() as tx:
        repository, changed = toggle.change_admin(
            tx, office.settings, name, verb, user, now().at, office.actor
        )
    say_admin(repository.name, verb, user, changed=changed)
