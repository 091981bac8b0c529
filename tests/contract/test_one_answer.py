"""`admin explain`, the gate, and the rules as this page of the tests writes them: one
answer, thousands of situations.
"""

from __future__ import annotations

import json
import os
import posix
import pwd
import random
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import tomli_w

from gitguard.action import steps
from gitguard.action.keys import key_row
from gitguard.config.in_force import vouch
from gitguard.config.load import load
from gitguard.decision.explain import explain
from gitguard.decision.explain import facts as facts_of
from gitguard.gate import main as gate
from gitguard.host import install
from gitguard.host.key_options import NewKey
from gitguard.host.places import places_of
from gitguard.session.credential import ssh_key
from gitguard.session.moment import Moment
from gitguard.store.gate_query import GateQuery
from gitguard.store.rows import Repository
from gitguard.store.sqlite import SqliteStore
from tests.conftest import NOW, key_of

SITUATIONS = 3000
LIFETIME = 8 * 3600


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with users in every state and repositories with every toggle."""
    folder = tmp_path_factory.mktemp("one")
    folder.chmod(0o700)
    config = str(folder / "home" / "gitguard.toml")
    wishes = install.InitOptions(
        config,
        pwd.getpwuid(os.geteuid()).pw_name,
        str(folder / "repositories"),
        "h",
        22,
        str(folder / "keys" / "k"),
    )
    install.install(wishes, lambda _: None, "")
    return folder


class Outcome(Exception):
    """The gate would have become this program."""


def by_gate(
    place: Path, argv: list[str], environ: dict[str, str], moment: Moment, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The reason in the access log after the gate has really run, up to the exec."""

    def become(*_: object) -> None:
        raise SystemExit(0)

    monkeypatch.setattr(posix, "execve", become)
    monkeypatch.setattr(posix, "environ", {k.encode(): v.encode() for k, v in environ.items()})
    monkeypatch.setattr(sys, "argv", ["gitguard-shell", *argv])
    monkeypatch.setattr(gate, "now", lambda: moment)
    monkeypatch.setattr(posix, "write", _swallow(posix.write))
    home = place / "home"
    try:
        gate.main(
            str(home / "gitguard.toml"),
            str(home / "state" / "config.compiled"),
            str(home / "hooks" / "pre-receive"),
        )
    except SystemExit:
        pass
    finally:
        monkeypatch.undo()

    line = (home / "log" / "access.log").read_text().splitlines()[-1]
    return str(json.loads(line)["reason"])


def _swallow(write: object) -> object:
    """What goes to the client is not this test's business; what goes to the log is."""
    return lambda handle, data: len(data) if handle in (1, 2) else write(handle, data)  # type: ignore[operator]


def expected(facts: dict[str, object], operation: str) -> str:
    """The contract, written down once more, as plainly as can be."""
    if facts["state"] in ("none", "removed"):
        return "user-unknown"
    if facts["state"] == "suspended":
        return "user-suspended"
    if facts["key"] != "own":
        return "no-identity"
    if facts["repository"] == "unknown":
        return "no-such-repository"
    if operation == "push" and facts["hook"] == "dead":
        return "hook-not-live"
    lifetimes = []
    if facts["enforcement"] == "enforced":
        lifetimes.append(LIFETIME)
    require = facts["require"]
    if facts["enforcement"] != "off" and (require == "all" or (require == "push" and operation == "push")):
        lifetimes.append(min(LIFETIME, int(str(facts["toggle_lifetime"])) or LIFETIME))
    if facts["always"]:
        lifetimes.append(LIFETIME)
    if not lifetimes:
        return "not-required"
    if not facts["enrolled"]:
        return "enrolment-required"
    age = facts["age"]
    if age is None or facts["from"] != "same":
        return "verification-required"
    return "verified" if 0 <= int(str(age)) < min(lifetimes) else "verification-expired"


@pytest.mark.slow
def test_one_answer(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gate, explain and the plain rules agree on the reason, situation by situation."""
    dice = random.Random(4711)
    home = place / "home"
    config = home / "gitguard.toml"

    tables = tomllib.loads(config.read_text())
    store = SqliteStore(str(home / "state" / "gitguard.db"), str(home / "log" / "audit.head"))
    directory = place / "repositories" / "app.git"
    subprocess.run(["git", "init", "-q", "--bare", "--template=", str(directory)], check=True)
    (directory / "hooks").mkdir()
    live = (home / "hooks" / "pre-receive").read_bytes()
    (directory / "hooks" / "pre-receive").write_bytes(live)
    own, other = key_of(1), key_of(2)
    with store.writing() as tx:
        for name in ("alice", "bob"):
            steps.add_user(tx, name, NOW, "test")
        steps.add_key(tx, key_row("alice", NewKey(own), NOW), NOW, "test")
        steps.add_key(tx, key_row("bob", NewKey(other), NOW), NOW, "test")
        tx.add_repository(Repository("app", str(directory), "none", None, NOW))
        change = tx._connection.execute
    seen: set[str] = set()
    facts: dict[str, object] = {}
    for number in range(SITUATIONS):
        if number % 100 == 0:
            facts["enforcement"] = ("off", "rules", "opt-in", "enforced")[number // 100 % 4]
            tables["git"]["enforcement"] = facts["enforcement"]
            text = tomli_w.dumps(tables)
            vouch(str(home / "state" / "config.compiled"), text.encode())
            config.write_text(text)
            os.utime(config, (NOW - 10**8, NOW - 10**8))
        facts |= {
            "state": dice.choice(["active"] * 6 + ["suspended", "removed", "none"]),
            "key": dice.choice(["own"] * 8 + ["other", "unknown"]),
            "repository": dice.choice(["app"] * 8 + ["unknown"]),
            "hook": dice.choice(["live"] * 8 + ["dead"]),
            "require": dice.choice(["none", "push", "all"]),
            "toggle_lifetime": dice.choice([0, 0, 600, 3600, 10**6]),
            "always": dice.random() < 0.2,
            "enrolled": dice.random() < 0.8,
            "age": dice.choice([None, -5, 0, 599, 600, 3599, 3600, LIFETIME - 1, LIFETIME, 10**6]),
            "from": dice.choice(["same"] * 5 + ["other"]),
        }
        user = "alice" if facts["state"] != "none" else "nobody"
        with store.writing() as tx:
            change = tx._connection.execute
            change(
                "UPDATE users SET state = ?, always = ? WHERE name = 'alice'",
                (facts["state"] if facts["state"] != "none" else "active", int(bool(facts["always"]))),
            )
            change(
                "UPDATE repositories SET require = ?, lifetime_seconds = ?",
                (facts["require"], facts["toggle_lifetime"] or None),
            )
            change("DELETE FROM factors")
            if facts["enrolled"]:
                change("INSERT INTO factors VALUES ('alice', 'e', x'00', 'k', 6, 30, 'SHA1', 0, 0)")
            change("DELETE FROM sessions")
            if facts["age"] is not None:
                change(
                    "INSERT INTO sessions (user_name, scope, credential, network, verified_at, boot, boot_seconds, method) VALUES ('alice', 'address', ?, '192.0.2.1', ?, '', 0, 'totp')",
                    (own.fingerprint, NOW - int(str(facts["age"]))),
                )
        (directory / "hooks" / "pre-receive").chmod(0o755 if facts["hook"] == "live" else 0o644)
        operation = dice.choice(["read", "push"])
        key = {"own": own.fingerprint, "other": other.fingerprint, "unknown": key_of(9).fingerprint}[
            str(facts["key"])
        ]
        address = "192.0.2.1" if facts["from"] == "same" else "198.51.100.7"
        name = "app" if facts["repository"] == "app" else "other"
        moment = Moment(NOW)
        compiled = load(*places_of(str(config)).of_gate)
        with GateQuery(compiled.store) as query:
            decision = explain(compiled, query, user, ssh_key(key), address, name, operation, moment)
        explained = facts_of(decision, compiled)
        verb = {"read": "git-upload-pack", "push": "git-receive-pack"}[operation]
        environ = {
            "SSH_CONNECTION": f"{address} 1 192.0.2.9 22",
            "SSH_ORIGINAL_COMMAND": f"{verb} '{name}.git'",
        }
        gated = by_gate(place, ["--user", user, "--key", key], environ, moment, monkeypatch)
        wanted = expected(facts, operation)
        assert (explained.reason, gated) == (wanted, wanted), (number, facts, operation)
        seen.add(wanted)
    assert seen == {
        "user-unknown", "user-suspended", "no-identity", "no-such-repository", "hook-not-live", "not-required",
        "enrolment-required", "verification-required", "verification-expired", "verified",
    }  # fmt: skip
