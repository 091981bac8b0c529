"""`admin key`: add, adopt, list, remove."""

from __future__ import annotations

import os
import pwd
import re
import shlex

import click

from gitguard.action import keys as action
from gitguard.action import steps
from gitguard.action.keys import KeyAdoption, KeyMapLine
from gitguard.cli.admin import options
from gitguard.cli.admin.context import (
    AdminContext,
    as_admin,
    config_of,
    open_admin_context,
    open_settings,
    read_file,
)
from gitguard.cli.admin.prompts import say_invite
from gitguard.cli.context import check_effects, say_effects
from gitguard.cli.printing import number, say_json, say_table
from gitguard.command_line import Group, say
from gitguard.host.key_file import ForeignLine
from gitguard.host.key_options import NewKey, program_fault, understand
from gitguard.identity.names import is_fingerprint, is_user_name
from gitguard.identity.public_key import PublicKey, parse_key_file
from gitguard.machine.login_shell import set_shell, shell_fault
from gitguard.message.reasons import Refusal, printable, readable
from gitguard.session.moment import now
from gitguard.store.rows import Key

BEHIND = "The program behind the gate for this key, with its arguments; {user} is filled in."


@click.group(cls=Group)
def key() -> None:
    """SSH keys: add, adopt, list, remove."""


def read_key_files(ctx: click.Context, files: tuple[str, ...]) -> list[PublicKey]:
    """All keys in `files`. Raises Refusal("usage") naming the file."""
    found: list[PublicKey] = []
    for path in files:
        data = read_file(ctx, path, 1 << 20)
        try:
            found += parse_key_file(data)
        except Refusal as refusal:
            hint = refusal.hint.replace("FILE", shlex.quote(path)) if refusal.hint else ""
            raise Refusal("usage", text=f"{path}: {refusal.text}", hint=hint) from None
    return found


def read_program(text: str) -> tuple[str, ...]:
    """The words of `--behind`. Raises Refusal("usage")."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise Refusal("usage", text=f"--behind: {error}") from None
    if text and (fault := program_fault(words)):
        raise Refusal("usage", text=f"--behind: {fault}")
    return words


@key.command()
@click.argument("user")
@click.argument("file", type=click.Path())
@click.option("--behind", default="", metavar="PROGRAM", help=BEHIND)
@click.option(
    "--verify-required",
    is_flag=True,
    help="Require the hardware key's PIN or fingerprint at each use (sk-* keys).",
)
@click.pass_context
def add(ctx: click.Context, user: str, file: str, behind: str, verify_required: bool) -> None:
    """Add public keys to a user. FILE holds them (- for stdin)."""
    program = tuple(word.replace("{user}", user) for word in read_program(behind))
    keys = read_key_files(ctx, (file,))
    for k in keys:
        if verify_required and not k.is_hardware:
            raise Refusal(
                "usage", text=f"{k.fingerprint} is not a hardware key, so nothing can be required of it"
            )
    context = open_admin_context(ctx)
    new = [NewKey(k, verify_required=verify_required, behind=program) for k in keys]
    added, effects = action.add(context.installation, user, new, now(), context.actor)
    for row in added:
        click.echo(f"added {row.fingerprint} {readable(row.comment)}".rstrip() + f" to {user}")
    if not added:
        click.echo(f"{user} has that key already; its limits and its program stay as they are")
    say_program(context, tuple(added))
    check_effects(effects, f"the keys of {user} are stored")


def say_program(context: AdminContext, added: tuple[Key, ...]) -> None:
    """Say that a key without a program, beside keys that have one, would bypass what that program denies."""
    if context.settings.git.behind or not any(not row.behind for row in added):
        return
    with context.installation.store.reading() as tx:
        others = [row.behind for row in tx.keys(None) if row.behind]
    if others:
        say(
            f"note: this key goes to git-shell, while {number(len(others), 'key')} go to a program such as "
            f"{others[0][0]}, which may deny what git-shell allows; to change that: gitguard admin key remove, then "
            "gitguard admin key add --behind, or set [git] behind",
            err=True,
        )


@key.command()
@click.argument("map_file", metavar="MAP", type=click.Path())
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--add-users", is_flag=True, help="Add the users that the map names and nobody knows yet.")
@click.option(
    "--behind",
    default="",
    metavar="PROGRAM",
    help="The program behind the gate for lines without a command of their own; {user} is filled in.",
)
@click.option(
    "--set-shell",
    is_flag=True,
    help="Then give the Git account /bin/sh as its login shell, if its present one cannot run the gate (as root).",
)
@click.pass_context
def adopt(
    ctx: click.Context, map_file: str, dry_run: bool, add_users: bool, behind: str, set_shell: bool
) -> int:  # fmt: skip
    """Gate keys already in authorized_keys. MAP holds lines of: FINGERPRINT USER."""
    program = read_program(behind)
    wanted = _read_map(map_file, read_file(ctx, map_file))
    account = str(open_settings(config_of(ctx)).host.account)
    fault = shell_fault(pwd.getpwnam(account))
    if fault and not dry_run:
        _check_shell(fault, wants=set_shell)
        if _in_child():
            set_shell_and_say(account)
            return 0
    context = open_admin_context(ctx)
    moment = now()
    plan = action.plan(context.installation, wanted, moment, behind=program, add_users=add_users)
    if plan.faults:
        for text in plan.faults:
            click.echo(f"{map_file}: {text}", err=True)
        raise Refusal(
            "usage", text=f"{number(len(plan.faults), 'line')} cannot be taken over; nothing was changed"
        )
    if dry_run:
        _say_plan(plan, "would gate")
        if fault:
            click.echo(f"before that: {fault}", err=True)
        return 0
    invites, effects = action.adopt(context.installation, plan, wanted, moment, context.actor)
    _say_plan(plan, "gated")
    for name, token in invites.items():
        say_invite(context, name, token)
    say_effects(effects)
    check_effects(effects, "the keys are stored")
    return 0


def _check_shell(fault: str, *, wants: bool) -> None:
    """Gated lines with a shell that cannot run them lock everyone out; the other order hands out a shell."""
    if not wants:
        raise Refusal(
            "usage",
            text=f"{fault}; gating the lines now would lock everybody out, and changing the shell first would give "
            "everybody a shell",
            hint="do both in the right order, as root: gitguard admin key adopt --set-shell MAP",
        )
    if os.geteuid() != 0:
        raise Refusal("forbidden", text="--set-shell changes the login shell, so it is run as root")


def _in_child() -> bool:
    """Fork: the child adopts the keys as the Git account; True in the parent, once that went well."""
    child = os.fork()
    if child == 0:
        return False
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        raise click.exceptions.Exit(code if code > 0 else 1)
    return True


def set_shell_and_say(account: str) -> None:
    """The second step, once every key is gated."""
    set_shell(account)
    say(
        f"the login shell of {account} is /bin/sh now; every key that sshd reads should be gated: gitguard admin doctor"
    )


def _say_plan(plan: KeyAdoption, verb: str) -> None:
    for name in plan.new_users:
        click.echo(f"{'would add' if verb.startswith('would') else 'added'} the user {name}")
    for taken in plan.taken:
        kept = f" (kept: {taken.kept})" if taken.kept else ""
        click.echo(f"{verb} {taken.key.fingerprint} {readable(taken.key.comment)} for {taken.key.user}{kept}")
    for line in plan.left:
        click.echo(
            f"still not gated: {line.fingerprint or '(not understood)'} {readable(line.comment, 60)} ({line.path})",
            err=True,
        )


def _read_map(path: str, data: bytes) -> list[KeyMapLine]:
    """The lines of a map, every fault at once. Raises Refusal("usage")."""
    wanted: dict[str, KeyMapLine] = {}
    faults = []
    for number_, line in enumerate(data.decode("utf-8-sig", "replace").splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or not is_fingerprint(words[0]):
            faults.append(
                f"{path}:{number_}: expected a line of FINGERPRINT USER, as `gitguard admin key list --map` prints it"
            )
            continue
        there = wanted.get(words[0])
        if there is not None and there.user != words[1]:
            faults.append(f"{path}:{number_}: {words[0]} is named for two users (line {there.number} too)")
            continue
        wanted.setdefault(words[0], KeyMapLine(words[0], words[1], number_))
    if not wanted and not faults:
        faults.append(f"{path}: no line of FINGERPRINT USER")
    if len(faults) == 1:
        raise Refusal("usage", text=faults[0])
    if faults:
        for fault in faults:
            click.echo(fault, err=True)
        raise Refusal("usage", text=f"{len(faults)} faults in {path}; nothing was changed")
    return list(wanted.values())


@key.command(name="list")
@click.argument("user", required=False)
@options.as_json
@click.option(
    "--map",
    "as_map",
    is_flag=True,
    help="Print the lines that are not gated as a map for adopt, the user guessed from the comment.",
)
@as_admin
def list_(context: AdminContext, user: str | None, as_json: bool, as_map: bool) -> None:
    """List keys. All, or one user's; and the lines of the key file that are not gated."""
    with context.installation.store.reading() as tx:
        if user is not None:
            steps.check_present(tx, user)
        keys = tx.keys(user)
    foreign = [] if user else action.foreign(context.installation)
    if as_map:
        _say_map(context, foreign)
    elif as_json:
        say_json(_as_json(keys, foreign))
    else:
        _say_keys(keys, foreign)


def _as_json(keys: list[Key], foreign: list[ForeignLine]) -> list[dict[str, object]]:
    gated: list[dict[str, object]] = [
        {
            "key": k.fingerprint,
            "user": k.user,
            "type": k.type,
            "comment": k.comment,
            "gated": True,
            "added_at": k.added_at,
            "limits": k.limits,
            "verify_required": k.verify_required,
            "behind": list(k.behind),
        }
        for k in keys
    ]
    return gated + [
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


def _say_keys(keys: list[Key], foreign: list[ForeignLine]) -> None:
    table = [
        (
            k.fingerprint,
            k.user,
            k.type,
            ", ".join(p for p in (k.limits, shlex.join(k.behind)) if p),
            k.comment,
        )
        for k in keys
    ]
    table += [
        (
            line.fingerprint or "(not understood)",
            f"NOT GATED ({line.path})",
            line.type,
            line.options,
            line.comment,
        )
        for line in foreign
    ]
    say_table(("fingerprint", "user", "type", "limits, program", "comment"), table, "no keys")


def _say_map(context: AdminContext, foreign: list[ForeignLine]) -> None:
    """One line a key that is not gated; a guess that no user bears yet is marked,
    as is what cannot be guessed.

    What adopt would refuse is a comment that says why.
    """
    with context.installation.store.reading() as tx:
        known = {user.name for user in tx.users()}
    for line in foreign:
        if not line.fingerprint:
            click.echo(f"# not understood: {readable(line.comment, 60)} ({line.path}, line {line.number})")
    for fingerprint, line in {line.fingerprint: line for line in foreign if line.fingerprint}.items():
        guess = re.split(r"[@\s:/]", line.comment.strip().lower(), maxsplit=1)[0]
        user = guess if is_user_name(guess) else action.UNNAMED
        note = "" if user in known else "new user" if user != action.UNNAMED else "name the user"
        about = ", ".join(part for part in (note, readable(line.comment, 60)) if part)
        if fault := understand(line.options, context.installation.places.gate).fault:
            click.echo(f"# {line.path}, line {line.number}: {fault}; mend it before you take it over:")
            click.echo(f"# {fingerprint} {user}  # {about}")
            continue
        click.echo(f"{fingerprint} {user}  # {about}")


@key.command()
@click.argument("fingerprint")
@options.reason
@as_admin
def remove(context: AdminContext, fingerprint: str, reason: str) -> None:
    """Remove a key, at once. Its sessions and running transfers end."""
    gone, effects = action.remove(context.installation, fingerprint, now(), context.actor, reason)
    click.echo(f"removed {gone.fingerprint} {readable(gone.comment)}".rstrip() + f" of {gone.user}")
    say_effects(effects)
    check_effects(effects, f"{printable(fingerprint, 60)} is removed and opens nothing any more")
