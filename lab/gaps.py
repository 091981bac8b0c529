"""Gaps planted one by one on a healthy server; doctor must name each, and be silent
before, after and in between.

`make gaps` prints the table; tests/regressions/test_host.py holds it. A gap is
made, looked at, and taken back.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from lab.gaps_system import ROWS
from lab.host import ACCOUNT, Host, inside
from lab.plant import (
    Plant,
    Undo,
    away,
    both,
    command,
    hook,
    keep,
    mode,
    owner,
    process,
    running,
    sql,
    swap,
    text,
)
from lab.server import run

SSHD = Path("/etc/ssh/sshd_config")
DROP_IN = "/etc/ssh/sshd_config.d/00-gitguard.conf"
LAB = "/etc/ssh/sshd_config.d/50-lab.conf"


@dataclass(frozen=True)
class Gap:
    """`name` is the finding that must appear; `what` says for people what was planted."""

    name: str
    what: str
    plant: Plant


def other_sshd(host: Host) -> Undo:
    """An sshd that reads another file."""
    place = host.folder / "other_sshd"
    port = host.port + 1 if host.port < 65000 else host.port - 1
    place.write_text(f"Port {port}\nListenAddress 127.0.0.1\nPidFile none\n")
    return running(["/usr/sbin/sshd", "-D", "-f", str(place)], host)


def not_reloaded(host: Host) -> Undo:
    """A configuration that sshd has not read yet."""
    undos = [keep(SSHD), keep(host.folder / "sshd.pid")]
    now = time.time()
    os.utime(host.folder / "sshd.pid", (now - 60, now - 60))  # so long ago sshd read what there was
    os.utime(SSHD, (now - 30, now - 30))
    return lambda: [undo() for undo in undos]


def no_sweep(host: Host) -> Undo:
    """Nobody has looked at parked connections for an hour."""
    place = host.state / "swept"
    host.admin("session", "sweep")
    entry = place.stat()
    os.utime(place, (time.time() - 3600, time.time() - 3600))
    return lambda: os.utime(place, (entry.st_atime, entry.st_mtime))


def stranger(host: Host) -> Undo:
    """A repository that nobody adopted."""
    path = host.bare("stranger")
    return lambda: shutil.rmtree(path)


def ungated_key(options: str) -> Plant:
    """A key line of someone."""

    def plant(host: Host) -> Undo:
        undo = keep(host.key_file)
        line = Path(f"{host.key(f'stranger{time.monotonic_ns()}').key}.pub").read_text()
        with open(host.key_file, "a") as file:
            file.write(options + line)
        return undo

    return plant


def other_borrower(host: Host) -> Undo:
    """A repository that borrows from one that nobody knows."""
    pool = host.folder / "pool.git"
    run(["git", "init", "-q", "--bare", str(pool)])
    alternates = host.repositories / "team/app.git/objects/info/alternates"
    alternates.write_text(f"{pool}/objects\n")
    shutil.chown(alternates, ACCOUNT, ACCOUNT)
    return alternates.unlink


APP = "{repos}/team/app.git"
CONFIG = "/etc/gitguard/gitguard.toml"
STATE = "/var/lib/gitguard"
LOG = "/var/log/gitguard"
GATE = "/usr/local/lib/gitguard/gitguard-shell"

GAPS = [
    # sshd's configuration
    Gap("sshd-permittty", "a terminal can be asked for", swap(DROP_IN, "PermitTTY no", "PermitTTY yes")),
    Gap("sshd-permituserrc", "~/.ssh/rc runs", swap(DROP_IN, "PermitUserRC no", "PermitUserRC yes")),
    Gap("sshd-disableforwarding", "forwarding is on", swap(DROP_IN, "DisableForwarding yes", "DisableForwarding no")),
    Gap("sshd-permituserenvironment", "key lines may set variables", swap(LAB, "MaxStartups 100", "MaxStartups 100\nPermitUserEnvironment yes")),
    Gap("sshd-passwordauthentication", "a password is enough", swap(DROP_IN, "    AuthenticationMethods publickey\n", "    PasswordAuthentication yes\n")),
    Gap("sshd-hostbasedauthentication", "another host's word is enough", swap(DROP_IN, "    AuthenticationMethods publickey\n", "    HostbasedAuthentication yes\n")),
    Gap("sshd-gssapiauthentication", "a Kerberos ticket is enough", swap(DROP_IN, "    AuthenticationMethods publickey\n", "    GSSAPIAuthentication yes\n")),
    Gap("sshd-trustedusercakeys", "certificates lead in", swap(DROP_IN, "PermitTTY no", "PermitTTY no\n    TrustedUserCAKeys /etc/ssh/ssh_host_ed25519_key.pub")),
    Gap("sshd-authorizedkeyscommand", "another program names keys", swap(DROP_IN, "PermitTTY no", "PermitTTY no\n    AuthorizedKeysCommand /bin/true\n    AuthorizedKeysCommandUser nobody")),
    Gap("sshd-forcecommand", "another command runs", swap(DROP_IN, "PermitTTY no", "PermitTTY no\n    ForceCommand /bin/true")),
    Gap("sshd-acceptenv", "clients may set anything", swap(DROP_IN, "AcceptEnv GIT_PROTOCOL", "AcceptEnv *")),
    Gap("sshd-acceptenv", "clients may set LD_PRELOAD", swap(DROP_IN, "AcceptEnv GIT_PROTOCOL", "AcceptEnv GIT_PROTOCOL LD_PRELOAD")),
    Gap("sshd-acceptenv", "protocol v2 is lost", swap(DROP_IN, "AcceptEnv GIT_PROTOCOL", "AcceptEnv LANG")),
    Gap("sshd-strictmodes", "StrictModes is off", swap(LAB, "MaxStartups 100", "MaxStartups 100\nStrictModes no")),
    Gap("sshd-match", "a block for some addresses", text("/etc/ssh/sshd_config.d/00-a.conf", "Match Address 192.0.2.0/24\n    PermitTTY yes\nMatch all\n")),
    Gap("key-file", "sshd reads another key file", swap(DROP_IN, "AuthorizedKeysFile {home}/.ssh/authorized_keys".replace("{home}", f"/home/{ACCOUNT}"), "AuthorizedKeysFile /etc/ssh/keys")),
    Gap("second-key-file", "sshd reads a second key file", both(swap(DROP_IN, "/.ssh/authorized_keys", "/.ssh/authorized_keys {home}/.ssh/authorized_keys2"), text("{home}/.ssh/authorized_keys2", "# nothing\n"))),
    Gap("sshd-not-read", "the configuration has a fault", text("/etc/ssh/sshd_config.d/60-x.conf", "Nonsense yes\n")),
    Gap("sshd-not-reloaded", "sshd has not read its newest configuration", not_reloaded),
    Gap("sshd-other", "another sshd runs with another file", other_sshd),
    Gap("sshd-allowusers", "only others may log in", text("/etc/ssh/sshd_config.d/60-x.conf", "AllowUsers somebody\n")),
    Gap("sshd-denyusers", "the account may not log in", text("/etc/ssh/sshd_config.d/60-x.conf", "DenyUsers git\n")),
    Gap("sshd-allowgroups", "only a group may log in", text("/etc/ssh/sshd_config.d/60-x.conf", "AllowGroups somegroup\n")),
    Gap("sshd-denygroups", "the account's group may not log in", text("/etc/ssh/sshd_config.d/60-x.conf", "DenyGroups g*\n")),
    Gap("sshd-pubkeyauthentication", "keys are off", text("/etc/ssh/sshd_config.d/00-a.conf", "PubkeyAuthentication no\n")),
    Gap("sshd-maxsessions", "no session is let in", swap(DROP_IN, "PermitTTY no", "PermitTTY no\n    MaxSessions 0")),
    # what acts before the gate
    Gap("early-variable", "SetEnv LD_PRELOAD", swap(DROP_IN, "PermitTTY no", "PermitTTY no\n    SetEnv LD_PRELOAD=/x")),
    Gap("early-variable", "/etc/environment sets BASH_ENV", text("/etc/environment", "BASH_ENV=/x\n")),
    Gap("early-variable", "pam_env sets LD_LIBRARY_PATH", text("/etc/security/pam_env.conf", "LD_LIBRARY_PATH DEFAULT=/x\n")),
    Gap("early-variable", "~/.ssh/environment sets LD_AUDIT, and sshd reads it", both(swap(LAB, "MaxStartups 100", "MaxStartups 100\nPermitUserEnvironment yes"), text("{home}/.ssh/environment", "LD_AUDIT=/x\n"))),
    Gap("ld-preload", "/etc/ld.so.preload names a library", text("/etc/ld.so.preload", "/usr/lib/x86_64-linux-gnu/libc.so.6\n")),
    Gap("sshrc", "/etc/ssh/sshrc prints", text("/etc/ssh/sshrc", "echo welcome\n")),
    # the account
    Gap("login-shell", "git-shell is the login shell", command("usermod --shell /usr/bin/git-shell {account}", "usermod --shell /bin/sh {account}")),
    Gap("login-shell", "bash is the login shell", command("usermod --shell /bin/bash {account}", "usermod --shell /bin/sh {account}")),
    Gap("login-shell", "nologin is the login shell", command("usermod --shell /usr/sbin/nologin {account}", "usermod --shell /bin/sh {account}")),
    Gap("account-shared", "a second name for the uid", command("useradd -o -u $(id -u {account}) -M twin", "sed -i '/^twin:/d' /etc/passwd /etc/shadow")),
    Gap("account-group", "somebody is in its group", command("useradd -M mate && usermod -aG {account} mate", "sed -i '/^mate:/d; s/mate//' /etc/passwd /etc/shadow /etc/group /etc/gshadow")),
    Gap("account-mighty", "it is in the group sudo", command("groupadd -f sudo; usermod -aG sudo {account}", "gpasswd -d {account} sudo")),
    Gap("account-password", "it has a password", command("usermod -p '$6$x$y' {account}", "usermod -p '*' {account}")),
    Gap("account-expired", "it has expired", command("usermod --expiredate 2020-01-01 {account}", "usermod --expiredate '' {account}")),
    Gap("sudo", "sudoers lets somebody become it", text("/etc/sudoers.d/x", "somebody ALL=(git) NOPASSWD: ALL\n")),
    Gap("sudo", "sudoers lets it become root", text("/etc/sudoers.d/x", "git ALL=(ALL) NOPASSWD: /bin/true\n")),
    Gap("nologin", "/etc/nologin is there", text("/etc/nologin", "maintenance\n")),
    Gap("home", "others may write the home", mode("{home}", 0o777)),
    Gap("home", "others may write .ssh", mode("{home}/.ssh", 0o777)),
    Gap("home", "others may write .gitconfig", both(text("{home}/.gitconfig", "[user]\n"), mode("{home}/.gitconfig", 0o666))),
    # keys
    Gap("key-not-gated", "a plain key line", ungated_key("")),
    Gap("key-not-gated", "a key line with another command", ungated_key('command="/bin/sh" ')),
    Gap("key-not-restricted", "a gated line without restrict", ungated_key(f'command="{GATE} --user alice --key x" ')),
    Gap("key-not-known", "a gated line of a key nobody has", ungated_key(f'restrict,command="{GATE} --user alice --key x" ')),
    Gap("key-line-unread", "a line that is not understood", text("{home}/.ssh/authorized_keys", '+command="x" what-is-this AAAA\n')),
    Gap("key-file", "our block was edited", swap("{home}/.ssh/authorized_keys", "restrict,command", "command")),
    Gap("key-file-mode", "others may write the key file", mode("{home}/.ssh/authorized_keys", 0o666)),
    # configuration and people
    Gap("configuration", "a typo in the configuration", text(CONFIG, "+\n[gti]\nx = 1\n")),
    Gap("file-mode", "others may write the configuration", mode(CONFIG, 0o666)),
    Gap("admins-unknown", "an admin whom nobody knows", swap(CONFIG, 'enforcement = "opt-in"', 'enforcement = "opt-in"\nadmins = ["nobody-here"]')),
    Gap("group-unknown", "a group member whom nobody knows", text(CONFIG, '+\n[groups]\nteam = ["alice", "ghost"]\n')),
    Gap("enforcement-off", "enforcement is off while something is demanded", swap(CONFIG, '"opt-in"', '"off"')),
    Gap("web-login", "any account says who is signed in to the page", both(
        swap(CONFIG, 'enforcement = "opt-in"', 'enforcement = "opt-in"\n[web]\ntrusted_header = "X-User"\ntrusted_proxies = ["127.0.0.1"]'),
        swap(CONFIG, "[host]", '[host]\nweb_url = "https://git.example.com"'),
    )),
    Gap("web-logins", "nobody says whose logins with an @ are", both(
        swap(CONFIG, 'enforcement = "opt-in"', 'enforcement = "opt-in"\n[web]\ntrusted_header = "X-User"\ntrusted_proxies = ["unix:www-data"]'),
        swap(CONFIG, "[host]", '[host]\nweb_url = "https://git.example.com"'),
    )),
    Gap("configuration", "the configuration was emptied", text(CONFIG, "")),
    # files of the installation
    Gap("access", "root's rotation made the log", owner(f"{LOG}/access.log", 0)),
    Gap("access", "the log's folder is root's", owner(LOG, 0)),
    Gap("access", "the log's folder is gone", away(LOG)),
    Gap("access", "the key file is immutable", command("chattr +i {home}/.ssh/authorized_keys", "chattr -i {home}/.ssh/authorized_keys")),
    Gap("access", "the audit head is root's", both(owner(f"{LOG}/audit.head", 0), mode(f"{LOG}/audit.head", 0o600))),
    Gap("grant-key", "the grant key is gone", away(f"{STATE}/grant.key")),
    Gap("grant-key", "the grant key has a wrong length", text(f"{STATE}/grant.key", "short")),
    Gap("file-mode", "others may read the grant key", mode(f"{STATE}/grant.key", 0o644)),
    Gap("file-mode", "others may write the log's folder", mode(LOG, 0o777)),
    Gap("file-mode", "others may write the gate", mode(GATE, 0o777)),
    Gap("launcher", "the gate is not ours", text(GATE, "#!/bin/sh\nexit 0\n")),
    Gap("launcher", "the gate is not executable", mode(GATE, 0o644)),
    Gap("launcher", "the gate does not run", text(GATE, "#!/bin/sh\nexit 9\n")),
    Gap("code", "others may write the package", mode("/opt/gitguard/lib/gitguard/policy/verdict.py", 0o666)),
    Gap("code", "others may write a library", mode("/opt/gitguard/lib/click", 0o777)),
    Gap("store-unavailable", "the store is gone", away(f"{STATE}/gitguard.db")),
    Gap("store-unavailable", "the secrets are gone", away(f"{STATE}/secret.keys")),
    Gap("store-unavailable", "others may read the secrets", mode(f"{STATE}/secret.keys", 0o644)),
    Gap("store-schema", "the store is newer", sql("PRAGMA user_version = 99")),
    Gap("audit", "a record was deleted", sql("DELETE FROM audit WHERE seq = 2")),
    Gap("audit", "the tail was deleted", sql("DELETE FROM audit WHERE seq > 3")),
    Gap("secrets", "a secret does not decrypt", sql("UPDATE factors SET cipher_key = 'gone'")),
    Gap("clock", "the clock is behind", sql("UPDATE clock SET latest_at = latest_at + 7200")),
    Gap("sweep", "nobody sweeps", no_sweep),
    # repositories
    Gap("hook-not-live", "a hook is not executable", mode(APP + "/hooks/pre-receive", 0o644)),
    Gap("hook-not-live", "a hook is gone", away(APP + "/hooks/pre-receive")),
    Gap("other-hook", "others may write a chained hook", hook("10-x", 0o777)),
    Gap("hook-silent", "a chained hook lost its x-bit", hook("10-x", 0o644)),
    Gap("hook-left-over", "an editor's copy would run", hook("10-x~")),
    Gap("hooks-path", "core.hooksPath in the repository", command("git --git-dir " + APP + " config core.hooksPath /x; chown {account}: " + APP + "/config", "git --git-dir " + APP + " config --unset core.hooksPath; chown {account}: " + APP + "/config")),
    Gap("hooks-path", "core.hooksPath in the system", command("git config --system core.hooksPath /x", "git config --system --unset core.hooksPath")),
    Gap("repository-refused", "a commondir", text(APP + "/commondir", "../x\n")),
    Gap("repository-refused", "others may write the repository", mode(APP, 0o777)),
    Gap("repository-refused", "others may write the folder above", mode("{repos}/team", 0o777)),
    Gap("repository-missing", "a repository is gone", away(APP)),
    Gap("repository-not-known", "a repository that nobody adopted", stranger),
    Gap("repository-nested", "a repository inside another", command("git init -q --bare " + APP + "/x.git && chown -R {account}: " + APP + "/x.git", "rm -r " + APP + "/x.git")),
    Gap("repository-access", "objects are root's", both(owner(APP + "/objects", 0))),
    Gap("repository-open", "others may write refs", mode(APP + "/refs/heads", 0o777)),
    Gap("repository-open", "others may write a repository's configuration", mode(APP + "/config", 0o666)),
    Gap("borrows", "a lender that nobody knows", other_borrower),
    # past sshd
    Gap("git-daemon", "git-daemon-export-ok", text(APP + "/git-daemon-export-ok", "")),
    Gap("exported", "NFS exports the root", text("/etc/exports", "{repos} *(rw)\n")),
    Gap("exported", "NFS exports the folder above", text("/etc/exports", "{home} *(rw)\n")),
    Gap("exported", "a web server hands it out", text("/etc/nginx/sites-enabled/x", "server {{ root {repos}; }}\n")),
    Gap("exported", "git-http-backend serves it", text("/etc/apache2/conf-enabled/x.conf", "SetEnv GIT_PROJECT_ROOT {repos}\n")),
    Gap("exported", "rsync serves it", text("/etc/rsyncd.conf", "[git]\npath = {repos}/\n")),
    Gap("exported", "a unit starts git daemon", text("/etc/systemd/system/gd.service", "[Service]\nExecStart=/usr/bin/git daemon --base-path={repos}\n")),
    Gap("exported", "git daemon runs", process(["git", "daemon", "--listen=127.0.0.1", "--port=0", "--base-path={repos}", "--reuseaddr"])),
]  # fmt: skip


SYSTEM = [Gap(name, what, planted) for name, what, planted in ROWS]


def chosen(words: list[str]) -> list[Gap]:
    """All of them; `--own` what is gitguard's, `--system` what is the system's; else
    those of a name or a sentence.
    """
    rows = {"--own": GAPS, "--system": SYSTEM}.get(words[0] if words else "", GAPS + SYSTEM)
    wanted = {word for word in words if not word.startswith("--")}
    return [gap for gap in rows if not wanted or wanted & {gap.name, gap.what}]


def findings(host: Host) -> list[dict[str, str]]:
    """What doctor finds."""
    done = host.admin("doctor", "--json", status=None)
    try:
        found: list[dict[str, str]] = json.loads(done.out)["findings"]
    except ValueError:
        raise AssertionError(f"doctor did not end in findings: {done.text[-600:]}") from None
    return found


def gaps_of(host: Host) -> list[str]:
    """The names of the gaps."""
    return [found["name"] for found in findings(host) if found["level"] == "gap"]


def healthy() -> Host:
    """A server in order: someone enrolled, something required, a push made."""
    host = Host()
    host.install("--drop-in", "--timers")
    host.start()
    alice = host.add_user("alice")
    host.enroll(alice)
    host.admin("repo", "create", "team/app")
    host.admin("repo", "require", "team/app", "push")
    host.git(alice, "ls-remote", host.url("team/app"), status=0)
    return host


# What only a person can decide: doctor says what to look at, and no line can say it for them.
JUDGED = {
    "a plain key line": "whose it is",
    "a key line with another command": "whose it is",
    "a typo in the configuration": "what was meant",
    "an admin whom nobody knows": "what was meant",
    "a group member whom nobody knows": "what was meant",
    "any account says who is signed in to the page": "which web server is trusted",
    "nobody says whose logins with an @ are": "which domain it is",
    "the store is gone": "which backup counts",
    "the secrets are gone": "where the copy lies",
    "the store is newer": "which version was meant",
    "a record was deleted": "who did that",
    "the tail was deleted": "who did that",
    "a secret does not decrypt": "where the right key file lies",
    "the clock is behind": "which clock is right",
    "a repository is gone": "where it went",
}


def healed(host: Host, name: str) -> str:
    """Type the line that doctor gives for the gap `name`, and look again; "" if it is gone, else why not."""
    remedy = next(
        found["remedy"] for found in findings(host) if found["level"] == "gap" and found["name"] == name
    )
    line = re.split(r";\s(?=[a-z])|, or ", remedy)[0].strip()
    try:
        done = run(
            ["sh", "-c", line], env={**host.env, "EDITOR": "true"}, status=None, timeout=30, cwd=host.folder
        )
    except subprocess.TimeoutExpired:
        return f"`{line}` waits for somebody"
    left = [found for found in findings(host) if found["level"] == "gap" and found["name"] == name]
    return f"after `{line}` (exit {done.status}): {left[0]['what'][:80]}" if left else ""


def remedies() -> int:
    """Plant each, type what doctor says, look again."""
    rows = chosen(sys.argv[2:])
    host, bad = healthy(), 0
    host.program(host.folder / "bin" / "gitguard")
    try:
        for gap in rows:
            undo = gap.plant(host)
            try:
                why = healed(host, gap.name)
            except StopIteration:
                why = "not named"
            finally:
                try:
                    undo()
                except (OSError, AssertionError) as error:  # the remedy has taken away what the undo would
                    print(f"    undo: {error}")
            judged = JUDGED.get(gap.what, "")
            bad += bool(why) and not judged
            said = "healed" if not why else f"a person must say {judged}" if judged else f"NOT HEALED: {why}"
            print(f"{gap.what:<60} {said}", flush=True)
    finally:
        host.stop()
    print(f"{len(rows)} gaps planted; {bad} remedies did not heal")
    return 1 if bad else 0


def main() -> int:
    """Plant each, print the table; exit 1 if one is not named, or a healthy host is not silent."""
    inside("lab.gaps")
    if sys.argv[1:2] == ["--remedies"]:
        return remedies()
    rows = chosen(sys.argv[1:])
    host = healthy()
    bad = 0
    try:
        before = gaps_of(host)
        print(f"{'healthy host':<60} {before or 'silent'}")
        bad += bool(before)
        for gap in rows:
            undo = gap.plant(host)
            try:
                named = gap.name in gaps_of(host)
            finally:
                undo()
            bad += not named
            print(f"{gap.what:<60} {gap.name if named else 'NOT NAMED: ' + gap.name}", flush=True)
        after = gaps_of(host)
        print(f"{'healthy again':<60} {after or 'silent'}")
        bad += bool(after)
    finally:
        host.stop()
    print(f"{len(rows)} gaps planted; {bad} lines are not as they should be")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
