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
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from gitguard.action import steps
from gitguard.action.keys import key_row
from gitguard.answer import connection
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
OF_ONE_CONFIGURATION = 100  # situations between two changes of it
RULE_SECONDS = 1800
LIFETIME = 8 * 3600


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with users in every state and repositories with every toggle."""
    folder = tmp_path_factory.mktemp("one")
    folder.chmod(0o700)
    config = str(folder / "home" / "gitguard.toml")
    options = install.InitOptions(
        config,
        pwd.getpwuid(os.geteuid()).pw_name,
        str(folder / "repositories"),
        "h",
        22,
        str(folder / "keys" / "k"),
    )
    install.install(options, lambda _: None, "", lambda _: None)
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
    monkeypatch.setattr(connection, "now", lambda: moment)
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


def expected(facts: dict[str, Any], operation: str) -> str:
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
    lifetimes = [LIFETIME] if facts["always"] else []
    rule = facts["rule"] if facts["enforcement"] != "off" else ""
    if rule == "exempt" and not lifetimes:
        return "exempt"
    if rule == "require":
        lifetimes.append(RULE_SECONDS)
    elif facts["enforcement"] == "enforced" and not rule:
        lifetimes.append(LIFETIME)
    tightened = facts["require"] == "all" or (facts["require"] == "push" and operation == "push")
    if tightened and facts["enforcement"] != "off" and rule != "exempt":
        lifetimes.append(min(LIFETIME, facts["toggle_lifetime"] or LIFETIME))
    if not lifetimes:
        return "not-required"
    if not facts["enrolled"]:
        return "enrolment-required"
    if facts["age"] is None or facts["from"] != "same":
        return "verification-required"
    return "verified" if 0 <= facts["age"] < min(lifetimes) else "verification-expired"


ANSWERS = {
    "user-unknown", "user-suspended", "no-identity", "no-such-repository", "hook-not-live", "not-required", "exempt",
    "enrolment-required", "verification-required", "verification-expired", "verified",
}  # fmt: skip


class World:
    """The installation of these situations: alice and bob with a key each, and the repository app."""

    def __init__(self, place: Path) -> None:
        home = place / "home"
        self.config, self.compiled = home / "gitguard.toml", str(home / "state" / "config.compiled")
        self.tables = tomllib.loads(self.config.read_text())
        self.store = SqliteStore(str(home / "state" / "gitguard.db"), str(home / "log" / "audit.head"))
        directory = place / "repositories" / "app.git"
        subprocess.run(["git", "init", "-q", "--bare", "--template=", str(directory)], check=True)
        self.hook = directory / "hooks" / "pre-receive"
        self.hook.parent.mkdir()
        self.hook.write_bytes((home / "hooks" / "pre-receive").read_bytes())
        self.keys = {
            "own": key_of(1).fingerprint,
            "other": key_of(2).fingerprint,
            "unknown": key_of(9).fingerprint,
        }
        with self.store.writing() as tx:
            for number, name in enumerate(("alice", "bob"), 1):
                steps.add_user(tx, name, NOW, "test")
                steps.add_key(tx, key_row(name, NewKey(key_of(number)), NOW), NOW, "test")
            tx.add_repository(Repository("app", str(directory), "none", None, NOW))

    def configure(self, facts: dict[str, Any]) -> None:
        """Enforcement, and a rule about everyone or none."""
        self.tables["git"]["enforcement"] = facts["enforcement"]
        rules: dict[str, dict[str, object]] = {
            "require": {"require": True, "lifetime": f"{RULE_SECONDS}s"},
            "free": {"require": False},
            "exempt": {"exempt": True, "users": ["alice"], "until": date(2099, 1, 1)},
        }
        rule = facts["rule"]
        self.tables["rules"] = [{"name": "the-rule", **rules[rule]}] if rule else []
        text = tomli_w.dumps(self.tables)
        vouch(self.compiled, text.encode())
        self.config.write_text(text)
        os.utime(self.config, (NOW - 10**8, NOW - 10**8))

    def settle(self, facts: dict[str, Any]) -> None:
        """Make it so, past our own code: not every state can be reached by it."""
        state = facts["state"] if facts["state"] != "none" else "active"
        with self.store.writing() as tx:
            change = tx._connection.execute
            change(
                "UPDATE users SET state = ?, always = ? WHERE name = 'alice'", (state, int(facts["always"]))
            )
            toggle = (facts["require"], facts["toggle_lifetime"] or None)
            change("UPDATE repositories SET require = ?, lifetime_seconds = ?", toggle)
            change("DELETE FROM factors")
            if facts["enrolled"]:
                change("INSERT INTO factors VALUES ('alice', 'e', x'00', 'k', 6, 30, 'SHA1', 0, 0)")
            change("DELETE FROM sessions")
            if facts["age"] is not None:
                scope = ("address", self.keys["own"], "192.0.2.1")
                tx.put_session("alice", scope, Moment(NOW - facts["age"]), "totp")
        self.hook.chmod(0o755 if facts["hook"] == "live" else 0o644)


def situation(dice: random.Random) -> dict[str, Any]:
    """What may be so, thrown: most of the time what a request needs to come to the policy."""
    return {
        "state": dice.choice(["active"] * 6 + ["suspended", "removed", "none"]),
        "key": dice.choice(["own"] * 8 + ["other", "unknown"]),
        "repository": dice.choice(["app"] * 8 + ["unknown"]),
        "hook": dice.choice(["live"] * 8 + ["dead"]),
        "require": dice.choice(["none", "push", "all"]),
        "toggle_lifetime": dice.choice([0, 0, 600, 3600, 10**6]),
        "always": dice.random() < 0.2,
        "enrolled": dice.random() < 0.8,
        "age": dice.choice([None, -5, 0, 599, 600, 1799, 1800, 3599, 3600, LIFETIME - 1, LIFETIME, 10**6]),
        "from": dice.choice(["same"] * 5 + ["other"]),
    }


@pytest.mark.slow
def test_one_answer(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gate, explain and the plain rules agree on the reason, situation by situation."""
    dice, world = random.Random(4711), World(place)
    seen: set[str] = set()
    facts: dict[str, Any] = {}
    for number in range(SITUATIONS):
        if number % OF_ONE_CONFIGURATION == 0:
            block = number // OF_ONE_CONFIGURATION
            facts["enforcement"] = ("off", "rules", "opt-in", "enforced")[block % 4]
            facts["rule"] = ("", "require", "free", "exempt")[block // 4 % 4]
            world.configure(facts)
        facts |= situation(dice)
        world.settle(facts)
        operation, user = dice.choice(["read", "push"]), "alice" if facts["state"] != "none" else "nobody"
        key, address = world.keys[facts["key"]], "192.0.2.1" if facts["from"] == "same" else "198.51.100.7"
        name, moment = "app" if facts["repository"] == "app" else "other", Moment(NOW)
        compiled = load(*places_of(str(world.config)).of_gate)
        with GateQuery(compiled.store) as query:
            decision = explain(compiled, query, user, ssh_key(key), address, name, operation, moment)
        verb = {"read": "git-upload-pack", "push": "git-receive-pack"}[operation]
        environ = {
            "SSH_CONNECTION": f"{address} 1 192.0.2.9 22",
            "SSH_ORIGINAL_COMMAND": f"{verb} '{name}.git'",
        }
        gated = by_gate(place, ["--user", user, "--key", key], environ, moment, monkeypatch)
        wanted = expected(facts, operation)
        assert (facts_of(decision, compiled).reason, gated) == (wanted, wanted), (number, facts, operation)
        seen.add(wanted)
    world.store.close()
    assert seen == ANSWERS
