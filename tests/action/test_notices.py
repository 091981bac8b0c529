"""`[notify]`: what the admin's program is told, after the change and apart from it; whatever
it does, nothing waits for it.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from gitguard.action import exemptions, sessions, users
from gitguard.action.installation import Installation, open_installation
from gitguard.action.notices import _TOLD, notices_of
from gitguard.config.schema import Event
from gitguard.host import notices
from gitguard.message.reasons import Refusal
from gitguard.session.moment import Moment, now
from lab.server import Direct

ACTOR = "admin:test"
ROOT = Path(__file__).resolve().parents[2]


def program(folder: Path, body: str) -> Path:
    """An executable shell script."""
    path = folder / "told"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


_OPENED: list[Installation] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """What a test has opened is closed behind it."""
    yield
    while _OPENED:
        _OPENED.pop().store.close()


def reopened(server: Direct) -> Installation:
    """The installation by its configuration of now."""
    _OPENED.append(open_installation(str(server.config), now(), ACTOR))
    return _OPENED[-1]


def opened(server: Direct, command: list[str], **tables: object) -> Installation:
    """The installation with `command` to be told."""
    server.configure(notify={"command": command}, **tables)  # type: ignore[arg-type]
    return reopened(server)


def until(true: Callable[[], bool], seconds: float = 40) -> None:
    """Look until it is so."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not become so"
        time.sleep(0.02)


def lines(path: Path) -> list[dict[str, object]]:
    """What the program was told."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_one_json_object_for_each_event(site: Direct, tmp_path: Path) -> None:
    """On stdin, a line each, in order, with words for people; nothing in the
    arguments, no code, no invite.
    """
    seen = tmp_path / "seen"
    place = opened(site, [str(program(tmp_path, f'test $# = 1; cat >> "{seen}"')), "here"])
    users.add(place, "ann", [], now(), ACTOR)
    users.set_state(place, "ann", "suspended", now(), ACTOR, "left her laptop on the train")
    users.remove(place, "ann", now(), ACTOR, "left")
    until(lambda: len(lines(seen)) == 2)
    suspended, removed = lines(seen)
    assert suspended["event"] == "suspended"
    assert suspended["text"] == "ann was suspended"
    assert suspended["actor"] == ACTOR
    assert suspended["reason"] == "left her laptop on the train"
    assert suspended["server"] == "127.0.0.1"
    assert removed["event"] == "removed"
    assert notices.last_failure(str(site.home / "state")) is None


def test_a_change_that_is_taken_back_tells_nobody(site: Direct, tmp_path: Path) -> None:
    """Only what is committed is told."""
    seen = tmp_path / "seen"
    place = opened(site, [str(program(tmp_path, f'cat >> "{seen}"'))])
    users.add(place, "ann", [], now(), ACTOR)
    with pytest.raises(RuntimeError), place.store.writing() as tx:
        tx.record("user-suspended", now().at, ACTOR, user="ann")
        raise RuntimeError
    users.set_state(place, "ann", "suspended", now(), ACTOR, "")
    until(lambda: bool(lines(seen)))
    assert len(lines(seen)) == 1


@pytest.mark.parametrize("body", ["sleep 60", "exit 3", "kill -9 $$"])
def test_a_program_that_fails_or_hangs_is_nobodys_burden(body: str, site: Direct, tmp_path: Path) -> None:
    """The change returns at once; a program that hangs is ended; doctor names what
    went wrong, until one is taken.
    """
    told = program(tmp_path, f"cat > /dev/null; echo went wrong >&2; {body}")
    place = opened(site, [str(told)])
    users.add(place, "ann", [], now(), ACTOR)
    began = time.monotonic()
    users.set_state(place, "ann", "suspended", now(), ACTOR, "")
    assert time.monotonic() - began < 2
    state = str(site.home / "state")
    until(lambda: notices.last_failure(state) is not None)
    failed = notices.last_failure(state)
    assert failed is not None
    assert failed.event == "suspended"
    said = site.admin("doctor", status=1).text
    assert "notify-failed" in said
    program(tmp_path, "cat > /dev/null")
    users.set_state(place, "ann", "active", now(), ACTOR, "")
    users.set_state(place, "ann", "suspended", now(), ACTOR, "")
    until(lambda: notices.last_failure(state) is None)


def test_many_at_once_are_one_process_and_lose_nothing(site: Direct, tmp_path: Path) -> None:
    """Sixty changes, half of them told, are thirty notices in order, one program at a time."""
    seen = tmp_path / "seen"
    lock = tmp_path / "alone"
    body = f'mkdir "{lock}" || echo two at once >> "{seen}"; cat >> "{seen}"; rmdir "{lock}"'
    place = opened(site, [str(program(tmp_path, body))])
    users.add(place, "ann", [], now(), ACTOR)
    for number in range(30):
        for state in ("suspended", "active"):
            users.set_state(place, "ann", state, now(), ACTOR, str(number))
    until(lambda: len(lines(seen)) == 30)
    assert [entry["reason"] for entry in lines(seen)] == [str(number) for number in range(30)]


def test_what_a_crash_left_is_told_by_the_sweep(site: Direct, tmp_path: Path) -> None:
    """Killed half way, the next look continues with what was not begun and with what waits."""
    seen = tmp_path / "seen"
    place = opened(site, [str(program(tmp_path, f'cat >> "{seen}"'))])
    state = site.home / "state"
    (state / "notices.work").write_text('#"event": "begun"}\n{"event": "first"}\n')
    (state / "notices").write_text('{"event": "second"}\n')
    sessions.sweep(place, now())
    until(lambda: len(lines(seen)) == 2)
    assert [entry["event"] for entry in lines(seen)] == ["first", "second"]


def test_a_program_that_babbles_or_leaves_children(site: Direct, tmp_path: Path) -> None:
    """A gigabyte on stderr is not kept; a child that holds the streams does not make a
    program late that has ended.
    """
    state = str(site.home / "state")
    place = opened(site, [str(program(tmp_path, "cat > /dev/null; head -c 200000000 /dev/zero >&2; exit 4"))])
    users.add(place, "ann", [], now(), ACTOR)
    users.set_state(place, "ann", "suspended", now(), ACTOR, "")
    until(lambda: notices.last_failure(state) is not None)
    failed = notices.last_failure(state)
    assert failed is not None
    assert "exited 4" in failed.fault
    assert len(failed.fault) < 1000
    program(tmp_path, "cat > /dev/null; sleep 30 & exit 0")
    began = time.monotonic()
    users.remove(place, "ann", now(), ACTOR, "")
    until(lambda: notices.last_failure(state) is None)
    assert time.monotonic() - began < 8


def test_a_full_queue_says_so(site: Direct, tmp_path: Path) -> None:
    """What it cannot take is dropped whole, never cut, and doctor is told how many."""
    state = str(site.home / "state")
    (site.home / "state" / "notices.lock").touch()
    many = [{"event": "new-key", "text": "x" * 9000, "number": n} for n in range(300)]
    seen = tmp_path / "seen"
    notices.add(state, (str(program(tmp_path, f'cat >> "{seen}"; exit 1')),), many)
    failed = notices.last_failure(state)
    assert failed is not None
    until(lambda: not (site.home / "state" / "notices.work").exists() and seen.exists())
    until(lambda: not (site.home / "state" / "notices").exists())
    told = lines(seen)
    assert [entry["number"] for entry in told] == list(range(len(told)))
    assert 100 < len(told) < 300


def test_a_disk_that_takes_nothing_stops_no_change(site: Direct, tmp_path: Path) -> None:
    """Notices may be lost, a suspension never: the trail has it."""
    place = opened(site, [str(program(tmp_path, "cat"))])
    users.add(place, "ann", [], now(), ACTOR)
    (site.home / "state" / "notices").mkdir()
    assert users.set_state(place, "ann", "suspended", now(), ACTOR, "").changed


def test_only_the_events_that_are_wanted(site: Direct, tmp_path: Path) -> None:
    """`events` chooses; a wrong word is a fault of the configuration with the nearest right one."""
    seen = tmp_path / "seen"
    place = opened(site, [str(program(tmp_path, f'cat >> "{seen}"'))])
    site.configure(notify={"events": ["removed"]})
    place = reopened(site)
    users.add(place, "ann", [], now(), ACTOR)
    users.set_state(place, "ann", "suspended", now(), ACTOR, "")
    users.remove(place, "ann", now(), ACTOR, "")
    until(lambda: bool(lines(seen)))
    assert [entry["event"] for entry in lines(seen)] == ["removed"]
    site.configure(notify={"events": ["remove"]})
    assert "did you mean 'removed'?" in site.admin("config", "check", status=30).text


@pytest.mark.parametrize("rotated", ["access.log.1", "access.log-20261129"])
def test_an_exemption_is_told_when_it_is_first_used_and_before_it_ends(
    site: Direct, tmp_path: Path, rotated: str
) -> None:
    """By rule and user, once each; the sweep reads the log where it left off, through a rotation too."""
    seen = tmp_path / "seen"
    at = now().at
    ends = time.strftime("%Y-%m-%d", time.localtime(at + 3 * 86400))
    site.configure(
        notify={"command": [str(program(tmp_path, f'cat >> "{seen}"'))]}, host={"name": "git.example.com"}
    )
    text = site.config.read_text()
    site.write(text + f'\n[[rules]]\nname = "robots"\nusers = ["robot"]\nexempt = true\nuntil = {ends}\n')
    place = reopened(site)
    line = {
        "id": "x", "at": at, "user": "robot", "key": "k", "address": "192.0.2.7", "repository": "app", "operation": "push",
        "verdict": "allowed", "reason": "exempt", "because": "rule:robots", "session_age_seconds": None,
    }  # fmt: skip
    site.access_log.write_text(json.dumps({**line, "user": "before"}) + "\n")
    exemptions.look(place, Moment(at))
    until(lambda: len(lines(seen)) == 1)
    with open(site.access_log, "a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n" + json.dumps(line) + "\n")
    exemptions.look(place, Moment(at))
    until(lambda: len(lines(seen)) == 2)
    assert [entry["event"] for entry in lines(seen)] == ["exemption-ends", "exemption-used"]
    assert "robot used the exemption robots for the first time: push app from 192.0.2.7" in str(
        lines(seen)[1]["text"]
    )
    with open(site.access_log, "a", encoding="utf-8") as log:
        log.write(json.dumps({**line, "user": "late"}) + "\n")
    site.access_log.rename(site.access_log.with_name(rotated))
    line["user"] = "robot2"
    site.access_log.write_text(json.dumps(line) + "\n")
    exemptions.look(place, Moment(at))
    exemptions.look(place, Moment(at))
    until(lambda: len(lines(seen)) == 4)
    assert [entry["user"] for entry in lines(seen)[2:]] == ["late", "robot2"]


def test_every_event_is_made_somewhere() -> None:
    """The configuration offers no event that nobody would ever tell, and none
    is told that it does not know.
    """
    made = {event for event, _ in _TOLD.values()} | {"few-recovery-codes", "exemption-used", "exemption-ends"}
    assert made == set(get_args(Event))
    few = [
        notice["event"]
        for notice in notices_of({"event": "recovery-code-burned", "at": 1, "actor": "a", "left": 2})
    ]
    assert few == ["recovery-code-used", "few-recovery-codes"]


def test_the_program_must_be_a_program(site: Direct) -> None:
    """By its absolute path; doctor names one that is not there, or that others may write."""
    site.configure(notify={"command": ["mail"]})
    assert "absolute path" in site.admin("config", "check", status=30).text
    site.configure(notify={"command": ["/nowhere/mail"]})
    assert "cannot be run" in site.admin("doctor", status=1).text


def test_the_examples_do_what_they_say(tmp_path: Path) -> None:
    """etc/notify: the mail that sendmail gets, the JSON and the settings that curl
    gets; a notice's words stay data.
    """
    notice = json.dumps(
        {
            "event": "suspended",
            "server": "git.example.com",
            "text": "$(touch x) `id`\nBcc: x@example.com",
            "at": 1,
        }
    )
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for name in ("sendmail", "curl"):
        (bin_ / name).write_text(
            f'#!/bin/sh\necho "$@" > "{tmp_path}/{name}.args"\ncat > "{tmp_path}/{name}.in"\n'
        )
        (bin_ / name).chmod(0o755)
    env = {**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}", "SENDMAIL": str(bin_ / "sendmail")}
    for example, argument in (("mail", "admins@example.com"), ("chat", "/etc/gitguard/webhook")):
        subprocess.run(
            [str(ROOT / "etc" / "notify" / example), argument], input=notice, text=True, env=env, check=True, cwd=tmp_path
        )  # fmt: skip
    mail = (tmp_path / "sendmail.in").read_text()
    head, _, body = mail.partition("\n\n")
    assert "Bcc" not in head
    assert "Subject: gitguard on git.example.com: suspended" in head
    assert "$(touch x) `id`" in body
    assert json.loads((tmp_path / "curl.in").read_text())["text"].startswith(
        "gitguard on git.example.com: $(touch x)"
    )
    assert "--config /etc/gitguard/webhook" in (tmp_path / "curl.args").read_text()
    assert not (tmp_path / "x").exists()
    assert shutil.which("sh")
    assert stat.S_IMODE((ROOT / "etc" / "notify" / "mail").stat().st_mode) & 0o111


def test_a_refused_change_is_a_refusal_still(site: Direct, tmp_path: Path) -> None:
    """The listener stands behind the commit and never between a person and their refusal."""
    place = opened(site, [str(program(tmp_path, "cat"))])
    with pytest.raises(Refusal):
        users.set_state(place, "nobody", "suspended", now(), ACTOR, "")
