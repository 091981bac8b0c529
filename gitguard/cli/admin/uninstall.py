"""`admin uninstall`: the way out, as root or as the Git account."""

from __future__ import annotations

import os
import pwd

import click

from gitguard.action import uninstall as action
from gitguard.action.uninstall import WayOut
from gitguard.cli.admin import options
from gitguard.cli.admin.context import config_of, open_admin_context, open_settings_or_say
from gitguard.cli.admin.prompts import confirm
from gitguard.cli.printing import number
from gitguard.command_line import say
from gitguard.config.schema import Settings
from gitguard.host import system
from gitguard.host.key_file import default_path
from gitguard.host.places import SYSTEM_CONFIG, authorized_keys, places_of
from gitguard.message.reasons import Refusal, readable
from gitguard.session.moment import now


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.reason
@click.pass_context
def uninstall(ctx: click.Context, dry_run: bool, yes: bool, reason: str) -> int:
    """Uninstall gitguard. Keys go to git-shell or what was behind the gate, hooks are as they were; no
    one is asked for 2FA any more.
    """
    config = config_of(ctx)
    if not dry_run and not yes:
        confirm("take gitguard out of the way of every key and repository?", "nothing was changed")
    settings = open_settings_or_say(ctx)
    of_root = config == SYSTEM_CONFIG and os.geteuid() == 0
    if of_root and not dry_run:
        # The account's part is done by a process that becomes the account; root's own files come after it.
        child = os.fork()
        if child:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if code != 0:
                return code if code > 0 else 1
            for text in system.remove(*_keys_of(settings)):
                click.echo(text)
            _say_left(config, of_root=True)
            return 0
    context = open_admin_context(ctx)
    if dry_run:
        _say(action.plan(context.installation), dry_run=True)
        for path in system.installed() if of_root else ():
            click.echo(f"would remove {path}")
        return 0
    done = action.carry_out(context.installation, now(), context.actor, reason)
    _say(done, dry_run=False)
    if not of_root:
        _say_left(config, of_root=False)
    faults = [hook for hook in done.hooks if hook.fault]
    if faults:
        raise Refusal(
            "store-unavailable",
            text=f"the keys are free, but {number(len(faults), 'hook')} could not be taken out; a push there is refused",
            hint="mend what is named above, then run this again",
        )
    return 0


def _keys_of(settings: Settings) -> tuple[str, str]:
    """(the account, where its keys lie if that is not where sshd looks by itself)."""
    account = str(settings.host.account)
    path = authorized_keys(settings)
    return account, "" if path == default_path(pwd.getpwnam(account).pw_dir) else path


def _say(way_out: WayOut, *, dry_run: bool) -> None:
    go = "would go" if dry_run else "go"
    click.echo(
        f"{number(len(way_out.keys), 'key')} {go} on without the gate; a copy of the key file {'would be' if dry_run else 'is'} {way_out.copy}"
    )
    for key in way_out.left_out:
        click.echo(f"left out: {key.fingerprint} of {key.user}, who is suspended")
    for hook in way_out.hooks:
        click.echo(f"{readable(hook.repository, 300)}: {hook.fault or hook.what}", err=bool(hook.fault))


def _say_left(config: str, *, of_root: bool) -> None:
    places = places_of(config)
    say("\nnext:")
    if of_root:
        say("  sshd -t && systemctl reload ssh")
    else:
        say(
            f"  take {places.snippet} out of sshd's configuration, if it is there, and the cron line; then reload sshd"
        )
    say(
        "  plain names (team/app) were the gate's: git-shell wants the path from the account's home, or the whole one"
    )
    say(
        "  left are configuration, store, keys and log; keep the export for later: gitguard admin export > people.toml"
    )
