"""doctor, audit, break-glass, store, export: what an admin needs at night."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.meddling import meddle
from lab.server import Person, Server, run
from tests.cli.asking_doctor import OF_THE_ACCOUNT, SAFE, doctor

pytestmark = pytest.mark.e2e


@pytest.fixture
def site(server: Server) -> Server:
    """A healthy host: one enrolled user, one repository that requires 2FA."""
    server.new_user("alice")
    server.new_repository("app", "push")
    return server


def test_a_healthy_host(site: Server) -> None:
    """No gap, and it prints what is right as well as what is wrong."""
    assert doctor(site) == {}
    text = site.admin("doctor", "--sshd-config", str(site.folder / "sshd_config"), status=None).out
    assert "ok    hook" in text or "ok    launcher" in text
    assert "ok    sshd-acceptenv" in text
    assert "ok    audit: the audit chain is whole" in text


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A host that is only looked at; no sshd runs, since `sshd -T` alone is asked."""
    server = Server(tmp_path_factory.mktemp("healthy") / "server")
    server.install()
    server.prepare_sshd()
    return server


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("PermitUserRC no", "", "sshd-permituserrc"),
        ("PermitTTY no", "", "sshd-permittty"),
        ("DisableForwarding yes", "", "sshd-disableforwarding"),
        ("AcceptEnv GIT_PROTOCOL", "AcceptEnv *", "sshd-acceptenv"),
        ("AcceptEnv GIT_PROTOCOL", "AcceptEnv GIT_PROTOCOL LD_*", "sshd-acceptenv"),
        ("AcceptEnv GIT_PROTOCOL", "AcceptEnv LANG", "sshd-acceptenv"),
        ("StrictModes yes", "StrictModes yes\nPermitUserEnvironment yes", "sshd-permituserenvironment"),
        ("    AuthenticationMethods publickey\n", "    PasswordAuthentication yes\n", "sshd-passwordauthentication"),
        ("    AuthenticationMethods publickey\n", "    HostbasedAuthentication yes\n", "sshd-hostbasedauthentication"),
        ("PermitTTY no", "PermitTTY no\n    ForceCommand id", "sshd-forcecommand"),
        ("PermitTTY no", "PermitTTY no\n    AuthorizedKeysCommand /bin/true\n    AuthorizedKeysCommandUser nobody", "sshd-authorizedkeyscommand"),
        ("StrictModes yes", "StrictModes no", "sshd-strictmodes"),
        ("PermitTTY no", "PermitTTY no\n    AuthorizedKeysCommand /bin/true\n    AuthorizedKeysCommandUser nobody\n    AuthorizedPrincipalsCommand /bin/true\n    AuthorizedPrincipalsCommandUser nobody", "sshd-certificate-commands"),
        ("StrictModes yes", "Nonsense yes", "sshd-not-read"),
    ],
)  # fmt: skip
def test_gaps_in_sshd(healthy: Server, old: str, new: str, name: str) -> None:
    """What could act before the gate, or log someone in beside it, is named."""
    assert name in doctor(healthy, sshd=SAFE.replace(old, new), status=1)


def test_trusted_certificates(healthy: Server) -> None:
    """A CA logs in without any key line."""
    ca = healthy.new_key("ca")
    assert "sshd-trustedusercakeys" in doctor(
        healthy, sshd=f"TrustedUserCAKeys {ca.key}.pub\n{SAFE}", status=1
    )


def unmode(path: str, mode: int) -> Callable[[Server], None]:
    """Give a file of the installation another mode."""
    return lambda site: (site.home / path).chmod(mode)


def append_key(options: str) -> Callable[[Server], None]:
    """A stranger's key line with `options`."""

    def break_it(site: Server) -> None:
        words = site.new_key("stranger").key.with_suffix(".pub").read_text()
        with open(site.key_file, "a") as file:
            file.write(options.format(gate=f"{site.home}/bin/gitguard-shell") + words)

    return break_it


def second_file(site: Server) -> None:
    """authorized_keys2 beside ours."""
    site.key_file.with_name("authorized_keys2").write_text(
        site.new_key("second").key.with_suffix(".pub").read_text()
    )


def sql(statement: str) -> Callable[[Server], None]:
    """Change the store behind gitguard's back."""

    def break_it(site: Server) -> None:
        meddle(site.store, statement)

    return break_it


def stranger_repository(site: Server) -> None:
    """A bare repository that nobody adopted."""
    run(["git", "init", "-q", "--bare", str(site.directory("stranger"))])


def borrower(site: Server) -> None:
    """A fork whose lender is no longer known."""
    run(["git", "clone", "-q", "--bare", "-s", str(site.directory("app")), str(site.directory("fork"))])
    site.admin("repo", "adopt", "fork")
    site.admin("repo", "forget", "app")


def nested(site: Server) -> None:
    """A repository inside another."""
    run(["git", "init", "-q", "--bare", str(site.directory("app") / "inner.git")])


def own_hooks_path(site: Server) -> None:
    """A hooks path in the repository's own configuration."""
    run(["git", "-C", str(site.directory("app")), "config", "core.hooksPath", "/nonexistent"])


BREAKS: list[tuple[str, Callable[[Server], object]]] = [
    ("hook-not-live", lambda site: (site.directory("app") / "hooks/pre-receive").chmod(0o644)),
    ("hook-not-live", lambda site: (site.directory("app") / "hooks/pre-receive").unlink()),
    ("hook-not-live", lambda site: (site.directory("app") / "hooks/pre-receive").write_text("#!/bin/sh\nexit 0\n")),
    ("hooks-path", own_hooks_path),
    ("repository-missing", lambda site: site.directory("app").rename(site.folder / "gone.git")),
    ("repository-refused", lambda site: (site.directory("app") / "commondir").write_text("../x\n")),
    ("repository-not-known", stranger_repository),
    ("repository-nested", nested),
    ("borrows", borrower),
    ("git-daemon", lambda site: (site.directory("app") / "git-daemon-export-ok").write_text("")),
    ("key-not-gated", append_key("")),
    ("key-not-gated", append_key('command="/bin/sh" ')),
    ("key-not-restricted", append_key('command="{gate} --user alice --key x" ')),
    ("key-not-known", append_key('restrict,command="{gate} --user alice --key x" ')),
    ("second-key-file", second_file),
    ("key-file", lambda site: site.key_file.write_text(site.key_file.read_text().replace("--user alice", "--user bob"))),
    ("key-file", sql("DELETE FROM keys")),
    ("store-unavailable", unmode("state/secret.keys", 0o640)),
    ("file-mode", unmode("log", 0o777)),
    ("file-mode", unmode("bin/gitguard-shell", 0o777)),
    ("launcher", lambda site: (site.home / "bin/gitguard-shell").write_text("#!/bin/sh\n")),
    ("launcher", unmode("bin/gitguard-shell", 0o644)),
    ("launcher", lambda site: (site.home / "hooks/pre-receive").unlink()),
    ("clock", sql("UPDATE clock SET latest_at = latest_at + 7200")),
    ("audit", sql("DELETE FROM audit WHERE seq > 3")),
    ("audit", sql("UPDATE audit SET record = replace(record, 'alice', 'mallory')")),
    ("enforcement-off", lambda site: site.configure(git={"enforcement": "off"})),
    ("configuration", lambda site: site.config.write_text("[git]\nenforcement = 'x'\n")),
    ("store-unavailable", lambda site: site.store.unlink()),
    ("store-schema", sql("PRAGMA user_version = 99")),
    ("store-unavailable", lambda site: (site.home / "state/secret.keys").unlink()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "break_it"), BREAKS, ids=[f"{n}-{i}" for i, (n, _) in enumerate(BREAKS)])
def test_gaps_on_the_host(site: Server, name: str, break_it: Callable[[Server], object]) -> None:
    """Each way to be open, or closed by accident, is named; exit 1."""
    break_it(site)
    files = f"{site.key_file} {site.key_file}2" if name == "second-key-file" else ""
    config = site.folder / "sshd_config"
    doctor(site, status=1, files=files) if name not in OF_THE_ACCOUNT else None
    done = (
        site.admin("doctor", "--sshd-config", str(config), "--json", status=None) if config.exists() else None
    )
    if done is None:
        doctor(site, files=files)
        done = site.admin("doctor", "--sshd-config", str(config), "--json", status=1)
    found = [f for f in json.loads(done.out)["findings"] if f["level"] == "gap" and f["name"] == name]
    assert found, done.out
    quiet = site.admin("doctor", "--sshd-config", str(config), "--quiet", status=1).out
    assert f"GAP   {name}: " in quiet


def test_people_who_are_not_enrolled_are_a_note(site: Server) -> None:
    """The gate is in the way all the same: a nightly job must not mail for ever."""
    site.add_user("not-enrolled")
    assert doctor(site) == {}
    text = site.admin("doctor", "--sshd-config", str(site.folder / "sshd_config"), status=None).out
    assert (
        "note  not-enrolled: 2FA is required, and 1 of those with a key have no second factor: not-enrolled"
        in text
    )


def test_notes_about_an_open_server(site: Server) -> None:
    """The feature is on and clones just work: doctor and explain say why."""
    site.admin("repo", "require", "app", "none")
    doctor(site)
    text = site.admin("doctor", "--sshd-config", str(site.folder / "sshd_config"), status=None).out
    assert "note  nothing-required: enforcement is opt-in and no repository requires 2FA" in text
    explained = site.admin("explain", "alice", "app", "read").out
    assert "nothing is required: the repository's admins require nothing for this" in explained
    site.configure(session={"scope": "user", "lifetime": "30s"})
    doctor(site)
    text = site.admin("doctor", "--sshd-config", str(site.folder / "sshd_config"), status=None).out
    assert "note  scope: scope is user" in text
    assert "note  lifetime: " in text


def test_audit_trail(site: Server) -> None:
    """Who, why and when; filters; meddling shows."""
    site.admin("user", "suspend", "alice")
    site.admin("user", "resume", "alice")
    site.admin("user", "reset", "alice", "--reason", "lost phone")
    rows = json.loads(site.admin("audit", "show", "--user", "alice", "--json").out)
    events = [row["event"] for row in rows]
    assert events[-4:] == ["user-suspended", "user-resumed", "factor-reset", "invite-issued"]
    assert rows[-2]["reason"] == "lost phone"
    assert rows[-2]["actor"].startswith("admin:")
    toggles = json.loads(
        site.admin("audit", "show", "--repository", "app", "--event", "toggle-set", "--json").out
    )
    assert [(row["before"], row["after"]) for row in toggles] == [("none", "push")]
    assert "toggle-set" in site.admin("audit", "show", "--since", "1h").out
    assert "the chain is whole" in site.admin("audit", "verify").out
    sql("DELETE FROM audit WHERE seq = 2")(site)
    assert "record 2 is missing" in site.admin("audit", "verify", status=1).out


def test_no_secret_in_log_or_trail(site: Server) -> None:
    """Codes, secrets, recovery codes and invites reach neither log nor trail."""
    alice = site.people["alice"]
    site.clear_watermark(alice)
    code = site.fresh_code(alice)
    site.ssh(alice, f"2fa verify {code}", status=0)
    site.ssh(alice, "2fa verify", stdin=alice.recovery_codes[0] + "\n", status=0)
    site.ssh(alice, "2fa verify 424242", status=12)
    text = site.admin("audit", "show", "--json").out + site.admin("export").out
    text += site.access_log.read_text() if site.access_log.exists() else ""
    for secret in (
        alice.secret,
        code,
        "424242",
        *alice.recovery_codes,
        alice.invite,
        alice.recovery_codes[0].replace("-", ""),
    ):
        assert secret not in text


def push_locally(site: Server, tree: Path, *prefix: str) -> int:
    """A push as the Git account, past sshd."""
    return run(
        [*prefix, "git", "-C", str(tree), "push", "-q", str(site.directory("app")), "HEAD:main"], status=None
    ).status


def test_break_glass(site: Server) -> None:
    """A local push is refused; break-glass with a reason works, is audited, and ends with its command."""
    alice = site.people["alice"]
    tree = site.work_tree(alice, "app")
    assert push_locally(site, tree) != 0
    assert site.log()[-1]["reason"] == "no-grant"
    command = ["git", "-C", str(tree), "push", "-q", str(site.directory("app")), "HEAD:main"]
    site.admin("break-glass", "--reason", "mirror is broken", "--", *command)
    assert (site.log()[-1]["verdict"], site.log()[-1]["reason"]) == ("allowed", "break-glass")
    records = json.loads(site.admin("audit", "show", "--json").out)[-2:]
    assert [record["event"] for record in records] == ["break-glass-begun", "break-glass-ended"]
    assert records[0]["reason"] == "mirror is broken"
    assert records[1]["status"] == 0
    leaked = run([*site.ssh_command(alice, "true")], status=None)
    assert leaked.status == 20
    stolen = site.folder / "grant"
    site.admin("break-glass", "--reason", "x", "--", "sh", "-c", f'printf %s "$GITGUARD_GRANT" > {stolen}')
    env = {**os.environ, "GITGUARD_GRANT": stolen.read_text()}
    (tree / "file").write_text("again\n")
    site.git(alice, "commit", "-qam", "again", cwd=tree, status=0)
    assert run(command, env=env, status=None).status != 0, "a grant that outlived its process"
    assert site.admin("break-glass", "--reason", "x", "--", "sh", "-c", "exit 7", status=7)
    site.admin("break-glass", "--reason", " ", "--", "true", status=2)
    site.admin("break-glass", "--", "true", status=2)


def test_backup_and_restore(site: Server) -> None:
    """A restored store must not accept what was used since the backup."""
    alice = site.people["alice"]
    site.clear_watermark(alice)
    backup = site.folder / "backup.db"
    done = site.admin("store", "backup", str(backup))
    assert "secret.keys" in done.out
    assert backup.stat().st_mode & 0o777 == 0o600
    site.admin("store", "backup", str(backup), status=2)
    site.ssh(alice, "2fa verify", stdin=alice.recovery_codes[0] + "\n", status=0)
    code = site.fresh_code(alice)
    site.ssh(alice, f"2fa verify {code}", status=0)
    site.add_user("later")
    done = site.admin("store", "restore", str(backup), "--yes")
    assert "1 session ended" in done.out
    assert "6 recovery codes voided" in done.out
    site.ssh(alice, "2fa status --check", status=10)
    site.ssh(alice, f"2fa verify {code}", status=12)
    site.ssh(alice, "2fa verify", stdin=alice.recovery_codes[0] + "\n", status=12)
    site.ssh(alice, "2fa verify", stdin=alice.recovery_codes[1] + "\n", status=12)
    assert "the chain is whole" in site.admin("audit", "verify").out
    assert json.loads(site.admin("audit", "show", "--event", "store-restored", "--json").out)
    site.admin("init", "--home", str(site.home))
    assert "later" not in site.key_file.read_text()


@pytest.mark.parametrize("damage", ["missing", "garbage", "newer"])
def test_restore_over_a_broken_store(site: Server, damage: str) -> None:
    """The night it breaks is when restore must work; `--keep-recovery-codes` keeps them."""
    alice = site.people["alice"]
    backup = site.folder / "backup.db"
    site.admin("store", "backup", str(backup))
    for suffix in ("-wal", "-shm"):
        Path(str(site.store) + suffix).unlink(missing_ok=True)
    if damage == "missing":
        site.store.unlink()
    elif damage == "garbage":
        site.store.write_bytes(b"garbage" * 5000)
    else:
        sql("PRAGMA user_version = 99")(site)
    assert site.ssh(alice, "2fa status").status in (40, 41)
    site.admin("store", "restore", str(backup), "--yes", "--keep-recovery-codes")
    site.ssh(alice, "2fa verify", stdin=alice.recovery_codes[0] + "\n", status=0)
    assert site.store.stat().st_mode & 0o777 == 0o600
    assert "whole" in site.admin("store", "status").out


def test_restore_refuses_what_is_no_store(site: Server, tmp_path: Path) -> None:
    """A wrong file changes nothing."""
    (tmp_path / "x").write_bytes(b"not a store" * 1000)
    site.admin("store", "restore", str(tmp_path / "x"), "--yes", status=2)
    site.ssh(site.people["alice"], "2fa status --check", status=0)
    assert not list((site.home / "state").glob(".restore*"))


def test_rotating_the_key(site: Server) -> None:
    """Every secret is re-encrypted; the old key is gone; codes continue working."""
    alice = site.people["alice"]
    before = (site.home / "state/secret.keys").read_text().split()
    done = site.admin("store", "rotate-key")
    assert "1 secret re-encrypted" in done.out
    after = (site.home / "state/secret.keys").read_text().split()
    assert before[1] == after[1], "hashes of recovery codes stay comparable"
    assert before[-1] not in after
    site.clear_watermark(alice)
    site.verify(alice)
    site.ssh(alice, "2fa verify", stdin=alice.recovery_codes[0] + "\n", status=0)


def test_accepting_a_clock(site: Server) -> None:
    """After the clock was ahead, codes are refused until the admin says that it is right now."""
    alice = site.people["alice"]
    sql("UPDATE clock SET latest_at = latest_at + 86400")(site)
    site.clear_watermark(alice)
    refused = site.ssh(alice, "2fa verify", stdin=site.fresh_code(alice) + "\n", status=12)
    assert "the server's clock is" in refused.err
    site.admin("store", "accept-clock", "--reason", "RTC battery")
    alice.last_step = 0
    site.verify(alice)


def test_export(site: Server) -> None:
    """TOML to review: the same text for the same state, and no secret in it."""
    site.admin("repo", "lifetime", "app", "30m")
    site.admin("repo", "admin", "app", "add", "alice")
    text = site.admin("export").out
    assert text == site.admin("export").out
    data = tomllib.loads(text)
    assert data["repositories"] == [
        {
            "name": "app",
            "directory": str(site.directory("app")),
            "require": "push",
            "lifetime": "30m",
            "admins": ["alice"],
        }
    ]
    assert data["users"][0]["name"] == "alice"
    assert data["users"][0]["enrolled"] is True


def test_rotation_of_the_log(site: Server) -> None:
    """Logrotate moves the file away: the next decision makes a new one, private, and `log` reads both."""
    alice: Person = site.people["alice"]
    site.git(alice, "ls-remote", site.url("app"), status=0)
    shutil.move(site.access_log, f"{site.access_log}.1")
    site.git(alice, "ls-remote", site.url("app"), status=0)
    assert site.access_log.stat().st_mode & 0o777 == 0o600
    assert len(json.loads(site.admin("log", "--json").out)) == 2


def test_the_system_log_gets_a_copy(site: Server, tmp_path: Path) -> None:
    """`[paths] syslog`: each line goes there too; one that does not answer stops nobody."""
    alice = site.people["alice"]
    path = tmp_path / "log.socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(path))
        log.settimeout(5)
        site.configure(paths={"syslog": str(path)})
        site.git(alice, "ls-remote", site.url("app"), status=0)
        message = log.recv(4096)
    assert message.startswith(b"<86>gitguard: {")
    assert json.loads(message.partition(b": ")[2]) == site.log()[-1]
    site.git(alice, "ls-remote", site.url("app"), status=0)
    path.unlink()
    site.git(alice, "ls-remote", site.url("app"), status=0)
    assert len(site.log()) == 3


def test_every_change_can_say_why(site: Server) -> None:
    """suspend, resume, unthrottle, revoke, key and user removal: who, why and when."""
    alice = site.people["alice"]
    for words in (
        ("user", "suspend", "alice"),
        ("user", "resume", "alice"),
        ("user", "unthrottle", "alice"),
        ("session", "open", "alice", "--for", "5m", "--key", alice.fingerprint, "--from", "127.0.0.1"),
        ("session", "revoke", "alice"),
        ("key", "remove", alice.fingerprint),
        ("user", "remove", "alice", "--yes"),
    ):
        site.admin(*words, "--reason", "because " + words[1])
    rows = json.loads(site.admin("audit", "show", "--json").out)
    said = [row["reason"] for row in rows if "reason" in row]
    assert said == [
        f"because {verb}"
        for verb in ("suspend", "resume", "unthrottle", "open", "revoke", "remove", "remove")
    ]
    assert all(row["actor"].startswith("admin:") and row["at"] for row in rows if "reason" in row)


def test_a_login_by_choice(site: Server) -> None:
    """L9: `--quick` logs in where it is asked to; `--no-login` leaves it out; both by root alone."""
    names = {
        f["name"]
        for f in json.loads(site.admin("doctor", "--quick", "--login", "--json", status=None).out)["findings"]
    }
    assert {"login", "sweep"} <= names
    config = str(site.folder / "sshd" / "config")
    for words, seen in ((("--no-login",), False), ((), True)):
        found = json.loads(site.admin("doctor", "--sshd-config", config, *words, "--json", status=None).out)[
            "findings"
        ]
        assert any(f["name"].startswith("login") and f["name"] != "login-shell" for f in found) is seen
    assert "gitguard-doctor" not in site.key_file.read_text()
    assert "gitguard-doctor" in json.dumps(site.log()), "what it asked the gate stands in the log"
