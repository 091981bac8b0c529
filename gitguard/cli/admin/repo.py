"""`admin repo`: create, adopt, rename, forget, list, show, require, lifetime, admin."""

from __future__ import annotations

import shlex
from urllib.parse import quote

import click

from gitguard.action import repositories, toggles
from gitguard.action.repositories import Listed
from gitguard.cli.admin import options
from gitguard.cli.admin.context import AdminContext, as_admin, open_admin_context
from gitguard.cli.context import check_effects, say_effects
from gitguard.cli.own_repo import say_admin, say_toggle, show_repository
from gitguard.cli.printing import counted, say_json, say_table
from gitguard.command_line import Group, say
from gitguard.machine.whereabouts import there
from gitguard.message.reasons import Refusal, readable
from gitguard.repository import registry, toggle
from gitguard.session.moment import now


@click.group(cls=Group)
def repo() -> None:
    """Manage repositories."""


@repo.command()
@click.argument("name")
@click.option(
    "--admin",
    "admins",
    multiple=True,
    metavar="USER",
    help="An admin of the repository; may be given several times.",
)
@click.option(
    "--require",
    "what",
    metavar="none|push|all",
    default="",
    help="Require 2FA from its first push on, as repo require does.",
)
@click.option("--if-missing", is_flag=True, help="If the repository is there already, only add the admins.")
@as_admin
def create(context: AdminContext, name: str, admins: tuple[str, ...], what: str, if_missing: bool) -> None:
    """Create a repository, with the hook. It is bare."""
    if what:
        toggle.read_require(what)
    done = repositories.create(
        context.installation, name, admins, now(), context.actor, if_missing=if_missing
    )
    named = f"; admins: {', '.join(admins)}" if admins else ""
    if done.was_elsewhere:
        click.echo(
            f"made {readable(done.directory)} on this server; {readable(done.name)} was known, with what it requires{named}"
        )
    elif done.was_there:
        click.echo(f"{readable(done.name)} is there already, in {readable(done.directory)}{named}")
    else:
        click.echo(f"created {readable(done.name)} in {readable(done.directory)}{named}")
    if what and done.was_there:
        say(
            f"what it requires was left as it is; to set it: gitguard admin repo require {shlex.quote(name)} {what}"
        )
    elif what:
        say_toggle(context.settings, *toggles.demand(context.installation, name, what, now(), context.actor))
    click.echo(f"clone it with: git clone {clone_url(context, done.name)}")


def clone_url(context: AdminContext, name: str) -> str:
    """What to give to git clone, quoted for a shell; a URL where the scp-like form would be misread."""
    host, port = context.server, context.settings.host.port
    where = f"{host.account}@{host.host or 'HOST'}"
    if port != 22 or name[:1] == "/" or ":" in (host.host or ""):
        shown = f"[{host.host}]" if ":" in (host.host or "") else host.host or "HOST"
        return shlex.quote(f"ssh://{host.account}@{shown}:{port}/{quote(name)}.git")
    return shlex.quote(f"{where}:{name}.git")


@repo.command()
@click.argument("names", nargs=-1, metavar="REPO...")
@click.option(
    "--all", "everything", is_flag=True, help="Every bare repository below the roots, but forgotten ones."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.pass_context
def adopt(ctx: click.Context, names: tuple[str, ...], everything: bool, dry_run: bool) -> int:
    """Take over repositories already on disk. Makes them known and installs the hook; what they
    did at a push, they still do.
    """
    if bool(names) == everything:
        raise Refusal("usage", text="name repositories, or say --all")
    context = open_admin_context(ctx)
    hook = repositories.live_hook(context.installation)
    if everything:
        places = registry.on_disk(context.settings)
        with context.installation.store.reading() as tx:
            out = set(tx.forgotten())
        left = [found for found in places if found.directory in out]
        places = [found for found in places if found.directory not in out]
    else:
        places, left = [registry.locate(context.settings, name) for name in names], []
    if everything and not places:
        click.echo("no repositories below " + ", ".join(registry.roots(context.settings)), err=True)
    refused = 0
    would: set[str] = set()
    missing = repositories.lost(context.installation)
    for position, found in enumerate(repositories.in_order(places), 1):
        progress = f"[{position}/{len(places)}] " if len(places) > 1 else ""
        try:
            if dry_run:
                done = repositories.would_adopt(context.installation, found, hook, would, missing)
            else:
                done = repositories.adopt(context.installation, found, hook, now(), context.actor, missing)
            done.check()
        except Refusal as refusal:
            refused += 1
            about = refusal.text or refusal.detail
            name = readable(found.name)
            click.echo(f"{progress}{name}: not adopted: {about.removeprefix(found.name + ': ')}", err=True)
            if refusal.hint:
                say(f"    {refusal.hint}", err=True)
            continue
        would.add(found.directory)
        click.echo(f"{progress}{readable(found.name)}: {', '.join(done.steps) or 'was in order'}")
    for found in left:
        say(
            f"{readable(found.name)}: left alone, since it was forgotten; to take it back: "
            f"gitguard admin repo adopt {shlex.quote(found.name)}"
        )
    if everything:
        for path, why in registry.passed_over(context.settings):
            click.echo(f"passed over: {readable(path)} is {why}", err=True)
    if refused:
        counted(refused, "repository", "not adopted", "repositories")
        return 2
    return 0


@repo.command()
@click.argument("old")
@click.argument("new")
@as_admin
def rename(context: AdminContext, old: str, new: str) -> None:
    """Rename a repository. On disk and in the store; what it requires and its admins stay."""
    before, target, effects = repositories.rename(context.installation, old, new, now(), context.actor)
    click.echo(f"{before} is now {registry.new_name(context.settings, new)}, in {target}")
    say_effects(effects)
    check_effects(effects, "it is renamed")


@repo.command()
@click.argument("name")
@as_admin
def forget(context: AdminContext, name: str) -> None:
    """Stop serving a repository. It is refused from then on; nothing on disk is deleted."""
    gone, admins, effects = repositories.forget(context.installation, name, now(), context.actor)
    if gone.require != "none" or admins:
        toggled = toggle.describe(gone.require, gone.lifetime_seconds)
        click.echo(f"its switch is forgotten too: require {toggled}, admins: {', '.join(admins) or 'none'}")
    left = "was left as it is" if there([gone.directory]) else "was not there any more"
    click.echo(f"{gone.name} is not known any more, so it is refused; {gone.directory} {left}")
    say_effects(effects)
    check_effects(effects, f"{gone.name} is forgotten")


@repo.command(name="list")
@click.argument("word", required=False)
@options.as_json
@as_admin
def list_(context: AdminContext, word: str | None, as_json: bool) -> None:
    """List repositories. All, or those whose name holds WORD, with what they require; and
    those on disk that are not known.
    """
    found = repositories.listing(context.installation, word or "")
    if as_json:
        say_json(
            [_as_json(entry) for entry in found.known]
            + [{"repository": f.name, "directory": f.directory, "known": False} for f in found.strangers]
        )
        return
    table = [
        (entry.row.name, toggle.describe(entry.row.require, entry.row.lifetime_seconds), _hook_state(entry))
        for entry in found.known
    ]
    table += [
        (
            f.name,
            "NOT KNOWN (forgotten), so refused"
            if f.directory in found.forgotten
            else "NOT KNOWN, so refused",
            f.directory,
        )
        for f in found.strangers
    ]
    nothing = "no repositories yet" if word is None else f"no repository's name holds {readable(word)}"
    say_table(("repository", "require", "hook"), table, nothing)


def _hook_state(entry: Listed) -> str:
    if entry.is_elsewhere:
        return "not on this server"
    if entry.hook_fault:
        return f"NO LIVE HOOK: {entry.hook_fault}"
    return f"PUSHES REFUSED: {entry.others_fault}" if entry.others_fault else "live"


def _as_json(entry: Listed) -> dict[str, object]:
    return {
        "repository": entry.row.name,
        "directory": entry.row.directory,
        "known": True,
        "require": entry.row.require,
        "lifetime_seconds": entry.row.lifetime_seconds,
        "floor": entry.row.floor_require,
        "hook": "elsewhere" if entry.is_elsewhere else entry.hook_fault or entry.others_fault or "live",
    }


@repo.command()
@click.argument("name", metavar="REPO")
@options.as_json
@as_admin
def show(context: AdminContext, name: str, as_json: bool) -> None:
    """Show what a repository requires, and admins."""
    with context.installation.store.reading() as tx:
        show_repository(tx, context.settings, registry.known(tx, context.settings, name), as_json=as_json)


@repo.command()
@click.argument("name", metavar="REPO")
@click.argument("what", metavar="none|push|all")
@as_admin
def require(context: AdminContext, name: str, what: str) -> None:
    """Require 2FA for none, push or all. The word push means pushing only; all means reading too. A minimum:
    the repository's admins may only tighten it.
    """
    done, effects = toggles.demand(context.installation, name, what, now(), context.actor)
    say_toggle(context.settings, done, effects)


@repo.command()
@click.argument("name", metavar="REPO")
@click.argument("how_long", metavar="DURATION|default")
@as_admin
def lifetime(context: AdminContext, name: str, how_long: str) -> None:
    """Set how long a verification counts. May only be shorter than the server's."""
    done, effects = toggles.demand_lifetime(context.installation, name, how_long, now(), context.actor)
    say_toggle(context.settings, done, effects)


@repo.command()
@click.argument("name", metavar="REPO")
@click.argument("verb", metavar="add|remove")
@click.argument("user")
@as_admin
def admin(context: AdminContext, name: str, verb: str, user: str) -> None:
    """Add or remove an admin of a repository."""
    known, changed = toggles.appoint(context.installation, name, verb, user, now(), context.actor)
    say_admin(known, verb, user, changed=changed)
