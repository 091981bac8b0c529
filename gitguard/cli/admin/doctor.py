"""`admin doctor`: is the gate really in the way? Every gap by name and remedy; exit 1 if there is one."""

from __future__ import annotations

import os

import click

from gitguard.cli.admin import options
from gitguard.cli.printing import number, say_json
from gitguard.command_line import as_typed, say
from gitguard.doctor.finding import Finding
from gitguard.machine.git_account import own_command_line
from gitguard.message.reasons import Refusal, readable

LONGEST = 4000  # of a finding and of its line
LOOKED_AT = (
    "looked at: every sshd that runs or would be started, PAM, Git, Python and the loader with whoever may write what they read, "
    "the account and who may become it, keys, repositories, mounts, listeners, schedules, store, and (as root) one login"
)
NOT_LOOKED_AT = "not looked at: other machines, whoever administers this one, its kernel and containers, what root's own jobs do, rules of polkit"


NOT_LOOKED_AT_QUICKLY = "not checked here: ways around the gate; run gitguard admin doctor, once a night"


@click.command()
@click.option("--sshd-config", type=click.Path(), help="sshd's configuration file, if not its default.")
@options.as_json
@click.option("--quiet", is_flag=True, help="Only the gaps; nothing at all if there is none, as for cron.")
@click.option(
    "--quick",
    is_flag=True,
    help="For monitoring, in a fifth of a second: do requests get an answer? The rest is left to a whole run.",
)
@click.option(
    "--login/--no-login",
    "log_in",
    default=None,
    help="Log in once over loopback, by a key that is gated for that moment (as root; left out with --quick, unless asked for).",
)
@click.pass_context
def doctor(
    ctx: click.Context, sshd_config: str | None, as_json: bool, quiet: bool, quick: bool, log_in: bool | None
) -> int:
    """Find ways around the gate. Looks at sshd, keys, repositories, files, store and clock; exit 1 for what
    opens a way around, or is broken.
    """
    if log_in and os.geteuid() != 0:
        raise Refusal("forbidden", text="--login is for root", hint=f"type: sudo {own_command_line()}")
    found = _found(ctx, sshd_config, quick=quick, log_in=log_in)
    limits = NOT_LOOKED_AT_QUICKLY if quick else NOT_LOOKED_AT
    gaps = [finding for finding in found if finding.level == "gap"]
    if as_json:
        say_json(
            {
                "gaps": len(gaps),
                "findings": [
                    {"level": f.level, "name": f.name, "what": f.what, "remedy": as_typed(f.remedy)}
                    for f in found
                ],
                "looked_at": "" if quick else LOOKED_AT,
                "not_looked_at": limits,
            }
        )
        return 1 if gaps else 0
    if quiet and not gaps:
        return 0
    good_news = "requests get an answer" if quick else "no gap: every way in is guarded"
    say_findings(found, quiet=quiet, good_news=good_news)
    click.echo(limits if quick else f"{LOOKED_AT}; {limits}")
    return 1 if gaps else 0


def say_findings(
    found: list[Finding], *, quiet: bool, good_news: str = "no gap: every way in is guarded"
) -> None:
    """The findings (its gaps alone if `quiet`), and what they come to."""
    gaps = [finding for finding in found if finding.level == "gap"]
    _say(gaps if quiet else found)
    verdict = good_news if not gaps else number(len(gaps), "gap")
    good = sum(f.level == "ok" for f in found)
    before = "\n" if gaps or not quiet else ""
    click.echo(f"{before}{verdict}; {number(good, 'thing')} {'is' if good == 1 else 'are'} in order")


def _found(ctx: click.Context, sshd_config: str | None, *, quick: bool, log_in: bool | None) -> list[Finding]:
    """What either kind of look finds; each loads what it needs alone."""
    if quick:
        from gitguard.doctor.quick import quick_findings
        from gitguard.session.moment import now

        if sshd_config is not None:
            raise Refusal("usage", text="--quick asks nothing of sshd; leave --sshd-config out")
        if not log_in:
            return list(quick_findings(str(ctx.find_root().obj), now()))
        from gitguard.cli.admin.doctor_run import login_alone

        seen = list(login_alone(ctx))  # as root first; it leaves us the account
        return [*quick_findings(str(ctx.find_root().obj), now()), *seen]
    from gitguard.cli.admin.doctor_run import findings

    return findings(ctx, sshd_config, log_in=log_in is not False)


def _say(found: list[Finding]) -> None:
    """Each finding on a line; a remedy that several in a row share is said once, below the last."""
    for place, finding in enumerate(found):
        mark = {"ok": "ok  ", "note": "note", "gap": "GAP "}[finding.level]
        # Names of files are anyone's: they may hold what moves a cursor, or a line of their own.
        click.echo(f"{mark}  {finding.name}: {readable(finding.what, LONGEST)}")
        follows = found[place + 1].remedy if place + 1 < len(found) else ""
        if finding.remedy and follows != finding.remedy:
            strange = readable(finding.remedy, LONGEST) != finding.remedy
            say(
                f"      try: {'ls -lb, and mend it by hand: its name holds what cannot be shown' if strange else finding.remedy}"
            )
