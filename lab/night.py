"""The nights of docs/operations.md: each breaks one thing on a live server, looks with the page's first
commands, types the remedy, looks again.

A remedy is what the page says, or what doctor printed; a test holds each of the page's to its text.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyotp

from lab.gaps import healthy
from lab.host import SOURCE, inside
from lab.server import Done, Person, enroll_by, run

PAGE = SOURCE / "docs" / "operations.md"
TRY = "what doctor says"  # a remedy that is read from doctor's own `try:` line
APP = "/home/git/repositories/team/app.git"


@dataclass(frozen=True)
class Night:
    """One thing that breaks. `seen`: the reason that people read at `at`; `named`:
    doctor's word for it, "" for none.
    """

    name: str
    broken: str
    seen: str
    named: str
    remedy: tuple[str, ...]
    at: str = "push"
    after: Callable[[Town], None] | None = None


class Town:
    """The server and alice, who works there."""

    def __init__(self) -> None:
        self.host = healthy()
        self.alice: Person = self.host.people["alice"]
        self.tree = self.host.folder / "work"
        run(["git", "init", "-q", "-b", "main", str(self.tree)])
        self.backup = self.host.folder / "backup.db"
        self.host.admin("store", "backup", str(self.backup))
        self.secrets = self.host.folder / "secret.keys"
        self.secrets.write_bytes((self.host.state / "secret.keys").read_bytes())
        os.environ.update(BACKUP=str(self.backup), SECRETS=str(self.secrets), APP=APP, TREE=str(self.tree))

    def push(self) -> Done:
        """One more commit, pushed."""
        self.host.git(self.alice, "commit", "-q", "--allow-empty", "-m", "x", cwd=self.tree, status=0)
        return self.host.git(self.alice, "push", "-q", self.host.url("team/app"), "main", cwd=self.tree)

    def verify(self) -> Done:
        """A fresh code; the watermark is taken back, so that no test waits for the clock."""
        with (
            contextlib.suppress(sqlite3.Error),  # on a full disk
            sqlite3.connect(self.host.state / "gitguard.db") as store,
        ):
            store.execute("UPDATE factors SET last_step = 0")
        return self.host.ssh(self.alice, "2fa verify", stdin=pyotp.TOTP(self.alice.secret).now() + "\n")

    def type(self, line: str) -> Done:
        """A line at root's prompt."""
        env = {**self.host.env, **{n: os.environ[n] for n in ("BACKUP", "SECRETS", "APP", "TREE", "PATH")}}
        env["PATH"] = f"{self.host.folder}:{self.host.env['PATH']}"
        return run(["sh", "-ec", line], env=env, cwd=Path("/"), status=None)

    def back_in(self) -> None:
        """Alice verifies again, where a remedy ended the sessions."""
        done = self.verify()
        assert done.status == 0, done.text

    def enrol_anew(self) -> None:
        """Alice sets up again, by the invite that the remedy printed."""
        self.alice.invite = self.host.admin("user", "invite", "alice").out.split()[-1]
        self.host.enroll(self.alice)

    def by_recovery_code(self) -> None:
        """Enrolling again takes a recovery code in an invite's place."""
        done, self.alice.secret, codes = enroll_by(
            self.host.ssh_command, self.alice, first=self.alice.recovery_codes[0]
        )
        assert done.status == 0, done.text
        assert codes, done.text

    def key_back(self) -> None:
        """The new laptop: here it is the old key."""
        self.host.admin("key", "add", "alice", f"{self.alice.key}.pub")
        self.enrol_anew()


def full(folder: str) -> str:
    """A small disk of its own in the folder's place, filled to the last block."""
    return (
        f"cp -a {folder} {folder}.kept && mount -t tmpfs -o size=24m none {folder} && cp -a {folder}.kept/. {folder} && "
        f"chown git:git {folder} && chmod 700 {folder} && rm -r {folder}.kept && cat /dev/zero > {folder}/filler 2>/dev/null || true"
    )


NIGHTS = (
    Night(
        "the hook lost its mode",
        "chmod 644 $APP/hooks/pre-receive",
        "hook-not-live", "hook-not-live", ("gitguard admin init",),
    ),
    Night(
        "the hook was edited",
        "echo '# edited' >> $APP/hooks/pre-receive",
        "hook-not-live", "hook-not-live",
        ("gitguard admin init",),
    ),
    Night(
        "others may write another hook",
        "mkdir $APP/hooks/pre-receive.d && printf '#!/bin/sh\\ncat >/dev/null\\n' > $APP/hooks/pre-receive.d/10-x && "
        "chmod 777 $APP/hooks/pre-receive.d/10-x && chown -R git:git $APP/hooks/pre-receive.d",
        "hook-not-live", "other-hook", (TRY,),
    ),
    Night(
        "a typo in the configuration",
        "echo 'enforcment = 1' >> /etc/gitguard/gitguard.toml",
        "config-invalid", "configuration", ("gitguard admin config edit",),
    ),
    Night(
        "the configuration was emptied",
        ": > /etc/gitguard/gitguard.toml",
        "config-invalid", "configuration",
        ("install -m 644 /var/lib/gitguard/config.good /etc/gitguard/gitguard.toml",),
    ),
    Night(
        "the configuration was cut off",
        "truncate -s 150 /etc/gitguard/gitguard.toml",
        "config-invalid", "configuration",
        ("install -m 644 /var/lib/gitguard/config.good /etc/gitguard/gitguard.toml",),
    ),
    Night(
        "a variable that acts before the gate",
        "echo 'LD_BIND_NOW=1' >> /etc/environment",
        "config-invalid", "early-variable", ("sed -i /LD_BIND_NOW/d /etc/environment",),
    ),
    Night(
        "the store is gone",
        "rm /var/lib/gitguard/gitguard.db*",
        "store-unavailable", "store-unavailable",
        ("gitguard admin store restore --yes $BACKUP", "gitguard admin init"), after=Town.back_in,
    ),
    Night(
        "the store is damaged",
        "head -c 20000 /dev/urandom > /var/lib/gitguard/gitguard.db; rm -f /var/lib/gitguard/gitguard.db-*",
        "store-unavailable", "store-unavailable",
        ("gitguard admin store restore --yes $BACKUP", "gitguard admin init"), after=Town.back_in,
    ),
    Night(
        "the store is somebody else's",
        "chown root:root /var/lib/gitguard/gitguard.db && chmod 600 /var/lib/gitguard/gitguard.db",
        "store-unavailable", "store-unavailable", (TRY,),
    ),
    Night(
        "the store is of a newer version",
        "sqlite3py 'PRAGMA user_version = 99'",
        "store-schema", "store-schema",
        ("gitguard admin store restore --yes $BACKUP", "gitguard admin init"), after=Town.back_in,
    ),
    Night(
        "the key file is gone, and there is a copy",
        "rm /var/lib/gitguard/secret.keys",
        "store-unavailable", "store-unavailable",
        ("install -o git -g git -m 600 $SECRETS /var/lib/gitguard/secret.keys",), at="verify",
    ),
    Night(
        "the key file is gone for good",
        "rm /var/lib/gitguard/secret.keys",
        "store-unavailable", "store-unavailable",
        (
            "runuser -u git -- sh -c 'umask 077; printf \"hash %s\\naes new %s\\n\" $(openssl rand -hex 32) $(openssl rand -hex 32) > /var/lib/gitguard/secret.keys'",
            'gitguard admin user reset --all --yes --reason "key file lost"',
        ),
        at="verify", after=Town.enrol_anew,
    ),
    Night(
        "the grant key is gone",
        "rm /var/lib/gitguard/grant.key",
        "store-unavailable", "grant-key", ("gitguard admin init",),
    ),
    Night(
        "the log's folder is gone",
        "rm -r /var/log/gitguard",
        "log-unavailable", "access",
        ("gitguard admin init", "gitguard admin audit accept --reason 'the folder was deleted'"),
    ),
    Night(
        "logrotate made the log root's",
        "chown root:root /var/log/gitguard/access.log",
        "log-unavailable", "access", (TRY,),
    ),
    Night(
        "the log's disk is full",
        full("/var/log/gitguard") + "; while printf x >> /var/log/gitguard/access.log; do :; done 2>/dev/null; true",
        "log-unavailable", "disk-full", ("rm /var/log/gitguard/filler",),
    ),
    Night(
        "the state's disk is full",
        full("/var/lib/gitguard"),
        "store-unavailable", "disk-full", ("rm /var/lib/gitguard/filler",), at="verify",
    ),
    Night(
        "a repository was moved by hand",
        "mv $APP /home/git/repositories/team/elsewhere.git",
        "no-such-repository", "repository-missing",
        ("gitguard admin repo rename team/app team/elsewhere", "gitguard admin repo rename team/elsewhere team/app"),
    ),
    Night(
        "somebody deleted the end of the audit trail",
        "sqlite3py 'DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)'",
        "", "audit", ("gitguard admin audit accept --reason 'looked into'",),
    ),
    Night(
        "the clock was ahead, and is right now",
        "sqlite3py 'UPDATE clock SET latest_at = latest_at + 90000'",
        "code-rejected", "clock", ("gitguard admin store accept-clock --reason 'RTC battery'",), at="verify", after=Town.back_in,
    ),
    Night(
        "a laptop was stolen",
        "true", "", "",
        (
            'gitguard admin session revoke alice --reason "laptop stolen"',
            "gitguard admin key remove $(gitguard admin user show --json alice | grep -o 'SHA256:[^\"]*')",
            'gitguard admin user reset alice --reason "phone too"',
        ),
        after=Town.key_back,
    ),
    Night(
        "a push that must happen now",
        "runuser -u git -- git clone -q $APP /home/git/tree && cd /home/git/tree && "
        "runuser -u git -- git -c user.name=x -c user.email=x@x commit -q --allow-empty -m now",
        "", "",
        (
            "gitguard admin break-glass --reason WHY -- git -C /home/git/tree push $APP main:night",
            "gitguard admin audit show --event break-glass-ended | grep -q status=0",
        ),
    ),
    Night(
        "a phone was lost, and there is a recovery code", "true", "", "", (), after=Town.by_recovery_code,
    ),
    Night(
        "the launcher's Python is gone",
        "sed -i '1s,.*,#!/usr/bin/python3.99 -IS,' /usr/local/lib/gitguard/gitguard-shell",
        "", "launcher", ("gitguard admin init",),
    ),
)  # fmt: skip


def tried(said: str, named: str) -> str:
    """The remedy that doctor printed below the finding `named`."""
    found = re.search(rf"^GAP   {re.escape(named)}: .*\n(?:GAP .*\n)*      try: (.*)$", said, re.MULTILINE)
    assert found, said
    return found[1]


def live(town: Town, night: Night) -> str:
    """Break, look, mend, look again; "" if all went as the page says, else what did not."""
    done = town.type(night.broken)
    assert done.status == 0, done.text
    result = town.verify() if night.at == "verify" and night.seen else town.push()
    if night.seen and f"[{night.seen}]" not in result.err:
        return f"people read: {result.text.strip()[:300]}"
    found = town.type("gitguard admin doctor --quiet")
    if night.named and f"GAP   {night.named}: " not in found.out:
        return f"doctor says: {found.text.strip()[:900]}"
    log = town.type("gitguard admin log --refused --since 1h")
    if log.status not in (0, 22, 40) or "Traceback" in log.text:
        return f"log says: {log.text}"
    if night.seen not in ("", "log-unavailable") and night.at == "push" and night.seen not in log.out:
        return f"the log does not know: {log.text[-300:]}"
    for line in night.remedy:
        words = tried(found.out, night.named) if line == TRY else line
        if "config edit" in words:
            words = f"EDITOR='sed -i /enforcment/d' {words}"
        mended = town.type(words)
        if mended.status != 0:
            return f"{words}: {mended.text.strip()[:500]}"
    if night.after is not None:
        night.after(town)
    pushed = town.push()
    if pushed.status != 0:
        return f"still refused: {pushed.err.strip()[:400]}"
    left = town.type("gitguard admin doctor --quiet")
    return f"doctor still says: {left.text.strip()[:500]}" if left.status or left.out else ""


def main() -> int:
    """Live through every night (or those named), print a line each; exit 1 if one did not end well."""
    inside("lab.night")
    wanted = sys.argv[1:]
    town = Town()
    town.host.program(town.host.folder / "gitguard")
    helper = town.host.folder / "sqlite3py"
    helper.write_text(
        f"#!{Path(sys.executable).resolve()}\nimport sqlite3, sys\n"
        "with sqlite3.connect('/var/lib/gitguard/gitguard.db') as store:\n    store.executescript(sys.argv[1])\n"
    )
    helper.chmod(0o755)
    bad = 0
    try:
        assert town.push().status == 0
        for night in NIGHTS:
            if wanted and not any(word in night.name for word in wanted):
                continue
            began = time.monotonic()
            fault = live(town, night)
            bad += bool(fault)
            print(f"{night.name:<52} {time.monotonic() - began:5.1f} s  {fault or 'mended'}", flush=True)
    finally:
        town.host.stop()
    print(f"{len(NIGHTS)} nights; {bad} did not end well")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
