"""Both sides of limits, second lines of defence, and what is said when something
could not be done: a row each.
"""

from __future__ import annotations

import json
import os
import pwd
import stat
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from gitguard.action import browsers, effects, keys, revocation
from gitguard.action.apply import plan
from gitguard.action.desired_state import read_desired_state
from gitguard.action.notices import notices_of
from gitguard.answer.daily import is_news
from gitguard.client import prompt_lock, ssh_wrapper
from gitguard.client.remote import Server as Remote
from gitguard.client.remote import SshCommand, ssh_command
from gitguard.config.load import load
from gitguard.decision import received
from gitguard.factor.attempt import TypedCode
from gitguard.factor.change import require_enrolled
from gitguard.factor.person import Person
from gitguard.factor.proof import prove
from gitguard.host.connections import LOOK
from gitguard.host.key_options import NewKey
from gitguard.message.reasons import Refusal
from gitguard.repository.refs import _MOST_LINKS, with_targets
from gitguard.session import pending, request_notes
from gitguard.session.credential import credential_of
from gitguard.session.grant import Grant, seal
from gitguard.session.moment import Moment
from gitguard.session.request_notes import Notes
from gitguard.session.scope import neighbours_of, network_of, number_of
from gitguard.store import chain
from gitguard.store.sqlite import SqliteStore
from gitguard.web import verify as page
from gitguard.web.limit import MOST_TRIES, WINDOW_SECONDS, Limiter
from gitguard.web.results import AGAIN_SECONDS, Results
from tests.conftest import NOW, Bench
from tests.house import ACTOR, House

DAY_SECONDS = 86400

HOME = "192.0.2.1"


# -- both sides of a limit -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "is_said"), [(DAY_SECONDS - 1, False), (DAY_SECONDS, True), (DAY_SECONDS + 1, True)]
)
def test_what_is_said_once_a_day(tmp_path: Path, age: int, is_said: bool) -> None:
    """A second before a day it is not said again; then it is, by the moment that is told
    and not by the disk's clock.
    """
    assert is_news(str(tmp_path), "alice@rule", NOW)
    assert is_news(str(tmp_path), "alice@rule", NOW + age) is is_said


def test_what_is_said_once_a_day_is_said_on_each_day(tmp_path: Path) -> None:
    """Two pushes on each of three days: it is said three times."""
    said = [
        is_news(str(tmp_path), "alice@rule", NOW + day * DAY_SECONDS + hour * 3600)
        for day in range(3)
        for hour in (0, 5)
    ]
    assert said == [True, False] * 3


@pytest.mark.parametrize(
    ("age", "counts"), [(0, True), (DAY_SECONDS - 1, True), (DAY_SECONDS, False), (-DAY_SECONDS, False)]
)
def test_a_grant_counts_for_less_than_a_day(age: int, counts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On both sides, by the wall clock, wherever it was set meanwhile."""
    grant = Grant(
        kind="push",
        user="a",
        credential=credential_of("SHA256:k"),
        address="192.0.2.1",
        directory="/r.git",
        session=1,
        age_seconds=0,
        at=NOW - age,
        pid=1,
        started=1,
        decision="d",
    )
    monkeypatch.setattr(received, "read_key", lambda *_: b"k" * 32)
    monkeypatch.setattr(received, "is_ancestor", lambda *_: True)
    config = SimpleNamespace(grant_key="", uid=0, keeper=0)
    found, why = received._grant(seal(grant, b"k" * 32), config, "/r.git", Moment(NOW), 1)  # type: ignore[arg-type]
    assert (found is not None, why) == (counts, "" if counts else "the grant is too old")


@pytest.mark.parametrize(("left", "is_told"), [(3, False), (2, True), (1, True), (0, True)])
def test_few_recovery_codes(left: int, is_told: bool) -> None:
    """From two left on the admin's program hears of it."""
    told = notices_of({"event": "recovery-code-burned", "at": 1, "actor": "a", "left": left})
    assert ("few-recovery-codes" in [notice["event"] for notice in told]) is is_told


@pytest.mark.parametrize(("age", "counts"), [(1, False), (2, True), (3, True)])
def test_an_earlier_look_is_two_seconds_old(house: House, age: int, counts: bool) -> None:
    """A look that is younger does not tell idle from flowing."""
    path = Path(revocation.look_path(house.site))
    path.write_text(json.dumps({"at": house.moment.at - age, "moved": {"1:1": 5}}))
    assert path.name == LOOK
    assert revocation._earlier(house.site, house.moment) == ({"1:1": 5} if counts else {})


def test_twenty_tries_in_every_window() -> None:
    """In the first minute and in each later one: the twentieth is welcome, the next one is not."""
    limiter = Limiter()
    for window in range(3):
        at = window * WINDOW_SECONDS
        assert [limiter.retry_at("a", at) for _ in range(MOST_TRIES)] == [None] * MOST_TRIES
        assert limiter.retry_at("a", at) == at + WINDOW_SECONDS


def test_when_the_next_sign_in_link_may_be_asked_for(house: House) -> None:
    """When the oldest that is open has expired, not the newest."""
    person, _ = house.enrolled()
    for age in range(browsers.MOST_LINKS):
        browsers.new_link(house.site, person, Moment(house.moment.at + age))
    with pytest.raises(Refusal) as told:
        browsers.new_link(house.site, person, Moment(house.moment.at + 30))
    assert told.value.facts["retry_at"] == house.moment.at + browsers.LINK_SECONDS


@pytest.mark.parametrize("links", range(1, _MOST_LINKS + 2))
def test_symbolic_refs_as_far_as_git_follows_them(tmp_path: Path, links: int) -> None:
    """Up to the fourth link the last name is judged, too; Git itself refuses a fifth."""
    (tmp_path / "refs/heads").mkdir(parents=True)
    for number in range(links):
        (tmp_path / f"refs/heads/b{number}").write_text(f"ref: refs/heads/b{number + 1}\n")
    (tmp_path / f"refs/heads/b{links}").write_text("1" * 40 + "\n")
    update = (("0" * 40, "2" * 40, "refs/heads/b0"),)
    if links < _MOST_LINKS:
        assert with_targets(update, str(tmp_path))[-1][2] == f"refs/heads/b{links}"
    else:
        with pytest.raises(Refusal, match="does not end"):
            with_targets(update, str(tmp_path))


# -- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["010.0.0.1", "10.0.0.01", "00.0.0.0", "::g", "1::2::3", ":", "::1::", "1:2:3", "", "x"]
)
def test_what_is_no_address(text: str) -> None:
    """Other parsers read a leading zero as octal, so that two would mean two machines by one
    text: we read it as nothing.
    """
    assert number_of(text) is None
    assert network_of(text) is None
    assert neighbours_of(text) == text


# -- second lines --------------------------------------------------------------------------------


def test_no_factor_no_proof(bench: Bench) -> None:
    """Anyone who calls `prove` for someone without a second factor: refused in
    words, and nothing is counted.
    """
    with bench.desk.store.writing() as tx:
        tx.drop_totp("alice")
    with pytest.raises(Refusal) as told:
        prove(bench.desk, bench.alice, TypedCode(bench.code()), bench.now, lambda _tx, _proof: None)
    assert told.value.reason == "enrolment-required"
    with bench.desk.store.reading() as tx:
        assert not tx.failures("alice", 0)
        with pytest.raises(Refusal, match="enrolment"):
            require_enrolled(tx, bench.alice)


def test_a_configuration_that_cannot_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It went between two looks at it: closed, for the right reason."""
    monkeypatch.setattr("gitguard.config.load.fault_on_the_way", lambda *_: "")
    with pytest.raises(Refusal) as told:
        load(str(tmp_path / "none"), str(tmp_path / "compiled"), str(tmp_path / "hook"))
    assert told.value.reason == "config-invalid"
    assert "No such file" in told.value.detail


def test_what_is_not_utf_8_is_recorded(bench: Bench) -> None:
    """A reason whose bytes are no UTF-8 (a lone surrogate, as Python reads them)
    is written, read and verified.
    """
    with bench.desk.store.writing() as tx:
        tx.record("probe", NOW, "admin:x", reason="caf\udce9")
    with bench.desk.store.reading() as tx:
        (record,) = [one for one in tx.audit() if one.record["event"] == "probe"]
        assert record.record["reason"] == "caf\udce9"
        assert not chain.check(tx.audit(), chain.Head(str(bench.folder / "audit.head")).read()).open_faults


def test_keys_are_not_removed_where_people_may_not(house: House) -> None:
    """The setting changed while someone sat at the prompt: the step itself refuses, and the key is there."""
    person, code = house.enrolled()
    typed = code()
    house.server.configure(account={"allow_keys": False})
    with pytest.raises(Refusal) as told:
        keys.remove_own(house.site, person, person.credential.text, typed, house.moment)
    assert told.value.reason == "forbidden"
    with house.site.store.reading() as tx:
        assert tx.key(person.credential.text) is not None


def test_a_browser_that_is_not_there_is_not_signed_out(house: House) -> None:
    """Nor is another person's: neither is said to have ended."""
    person, _ = house.enrolled()
    other, _ = house.enrolled()
    visitors = []
    for one in (person, other):
        link = browsers.new_link(house.site, one, house.moment)
        signed_in = browsers.sign_in_by_link(house.site, link, one.address, house.moment)
        visitor = browsers.visitor_of(house.site, signed_in.token, one.address, house.moment)
        assert visitor is not None
        visitors.append(visitor)
    mine, theirs = visitors
    with house.site.store.reading() as tx:
        assert not tx.browsers("nobody")
    for credential in ("web:none", theirs.browser.credential):
        assert not browsers.sign_out(house.site, mine, credential, house.moment)
    with house.site.store.reading() as tx:
        assert tx.browser(theirs.browser.credential) is not None


def test_what_was_shown_once_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that was taken goes from memory within two seconds, which are the
    browser's own second request.
    """
    at = [1000.0]
    monkeypatch.setattr("gitguard.web.results.time.monotonic", lambda: at[0])
    once = Results()
    name = once.put("web:x", ("a", "b"), is_secret=True)
    assert once.take("web:x", name, tuple) == ("a", "b")
    at[0] += AGAIN_SECONDS - 0.1
    assert once.take("web:x", name, tuple) == ("a", "b")
    at[0] += 0.2
    assert once.take("web:x", name, tuple) is None


def test_files_below_the_state_folder_are_private(house: House) -> None:
    """What a refused push leaves there: 0600 in folders of 0700, whatever the umask says."""
    house.server.configure(host={"web_url": "https://git.example.com"})
    house.server.new_repository("app", "push")
    before = os.umask(0)
    try:
        alice = house.server.new_user("alice", in_session=False)
        assert house.server.ssh(alice, "git-receive-pack 'app.git'").status == 10
        assert is_news(str(house.server.home / "state"), "alice@x", house.moment.at)
    finally:
        os.umask(before)
    noted = 0
    for name in (request_notes.FOLDER, "announced"):
        folder = house.server.home / "state" / name
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for file in folder.iterdir():
            noted += 1
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert noted == 2


def test_a_full_disk_leaves_no_half_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short write is taken back at once: nothing is noted, nothing is held, and no file is left."""
    real = os.write
    monkeypatch.setattr(
        "gitguard.session.request_notes.posix.write", lambda handle, data: real(handle, data[:5])
    )
    someone = Person("alice", credential_of("SHA256:x"), "192.0.2.1")
    assert pending.note(Notes(str(tmp_path)), someone, "app", "push", NOW) is None
    with pytest.raises(OSError, match="Errno 28"):
        pending.hold(Notes(str(tmp_path)), someone, "app", NOW, os.getpid())
    assert list((tmp_path / request_notes.FOLDER).iterdir()) == []


def test_a_look_that_fails_ended_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The change stands, no connection is said to have ended, and why is part of the answer."""

    def locked(*_: object) -> int:
        raise Refusal("store-unavailable", "locked")

    monkeypatch.setattr(effects, "end_stale", locked)
    done = effects.take_effect(house.site, house.moment)
    assert done.ended == 0
    assert done.fault is not None
    assert done.fault.detail == "locked"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try it as another account")
def test_a_store_of_somebody_else_names_the_line_to_type(bench: Bench) -> None:
    """As a plain account, beside a log of root's: the refusal names the file, and the chown that mends it."""
    path = bench.folder / "gitguard.db"
    other = pwd.getpwnam("nobody").pw_uid
    bench.desk.store.close()
    for file in (bench.folder, path):
        os.chown(file, other, -1)
    for folder in (bench.folder, *bench.folder.parents):
        if folder.stat().st_uid == 0 and str(folder) not in ("/", "/tmp"):
            folder.chmod(folder.stat().st_mode | 0o011)
    log = bench.folder / "gitguard.db-wal"
    log.write_bytes(b"")
    log.chmod(0o600)
    os.seteuid(other)
    try:
        with pytest.raises(Refusal) as told:
            SqliteStore(str(path), str(bench.folder / "audit.head"))
    finally:
        os.seteuid(0)
    assert told.value.reason == "store-unavailable"
    assert told.value.facts["remedy"] == f"chown nobody: {log} && chmod 600 {log}"


# -- what is said of a key that is limited less --------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "is_wider"),
    [
        ({"limits": 'from="192.0.2.1"'}, {}, True),
        ({"behind": ("/usr/bin/gitolite-shell", "x")}, {}, True),
        ({}, {"limits": 'from="192.0.2.1"'}, False),
        ({"limits": 'from="192.0.2.1"'}, {"limits": 'from="192.0.2.2"'}, False),
        ({}, {"behind": ("/usr/bin/gitolite-shell", "x")}, False),
    ],
)
def test_wider_is_said_of_what_widens(
    house: House, before: dict[str, object], after: dict[str, object], is_wider: bool
) -> None:
    """Each way of widening says it; a change that does not widen never does, or the
    word would be worth nothing.
    """
    person, _ = house.invited()
    key = house.key()
    keys.add(house.site, person.user, [replace(NewKey(key), **before)], house.moment, ACTOR)
    lines = [f'key = "{key.type} {key.blob} k"']
    lines += [f"{name} = {json.dumps(value)}" for name, value in after.items()]
    text = f'[[users]]\nname = "{person.user}"\nkeys = [{{ {", ".join(lines)} }}]\n'
    steps = [
        step.what
        for step in plan(house.site, read_desired_state(text.encode(), "list"), house.moment, ACTOR).steps
    ]
    limited = [step for step in steps if "limit the key" in step]
    assert len(limited) == 1, steps
    assert ("WIDER" in limited[0]) is is_wider


# -- the workstation -----------------------------------------------------------------------------


def test_an_ssh_with_a_blank_in_its_path_is_one_word() -> None:
    """Windows' usual place of it: a program is run as it is, and only a snippet is given to a shell."""
    server = Remote("git@host", ())
    assert ssh_command(SshCommand("/Program Files/ssh"), server, ["2fa", "status"])[0] == "/Program Files/ssh"
    assert ssh_command(SshCommand("ssh -v", snippet=True), server, ["2fa"])[:3] == ["sh", "-c", 'ssh -v "$@"']


def test_the_question_repeats_the_refusal_alone() -> None:
    """Without the packet's length before it, and without the ways out behind it."""
    text = "ERR gitguard: verify to push to app: open https://h/verify/x or run: ssh -T git@h 2fa verify [verification-required]"
    assert ssh_wrapper._why(f"{len(text) + 4:04x}{text}".encode()) == "verify to push to app"


def test_git_that_hangs_up_leaves_no_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git closes its end in the middle: ssh is told to end, and is gone at once."""
    program = tmp_path / "ssh"
    noted = tmp_path / "pid"
    program.write_text(f"#!/bin/sh\necho $$ > '{noted}'\nprintf '0008done'\nprintf more\nexec sleep 60\n")
    program.chmod(0o755)

    def closed(_: int, data: bytes) -> int:
        if data == b"more":
            raise BrokenPipeError
        return len(data)

    monkeypatch.setattr(ssh_wrapper, "_forward", lambda data: closed(1, data) and None)
    began = time.monotonic()
    ssh_wrapper.run(SshCommand(str(program)), ["git@h", "git-upload-pack 'x'"])
    assert time.monotonic() - began < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int(noted.read_text()), 0)


def test_whoever_waits_for_the_turn_looks_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenth of a second between two looks, told by what is slept: nobody spins,
    nobody waits longer than a prompt.
    """
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    slept: list[float] = []
    monkeypatch.setattr(prompt_lock, "_take", lambda _: None)
    clock = [0.0]
    monkeypatch.setattr("gitguard.client.prompt_lock.time.monotonic", lambda: clock[0])

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr("gitguard.client.prompt_lock.time.sleep", sleep)
    with prompt_lock.turn(Remote("git@host", ()), lambda _: None) as mine:
        assert not mine
    assert prompt_lock.STALE_SECONDS * 9 < len(slept) < prompt_lock.STALE_SECONDS * 11


def test_where_no_turn_can_be_noted_nobody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be made: not all are asked at once, and the refusal stands."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    with prompt_lock.turn(Remote("git@host", ()), lambda _: None) as mine:
        assert not mine


# -- the page ------------------------------------------------------------------------------------


def test_the_page_looks_now_and_then_whether_a_push_continues(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it watches it sleeps between two looks at the log, and does not ask in a tight loop."""
    clock, looks = [0.0], []

    def went_on(*_: object) -> bool:
        looks.append(clock[0])
        clock[0] += 0.001
        return False

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(page, "current", lambda: SimpleNamespace(installation=None, moment=None))
    monkeypatch.setattr("gitguard.web.verify.requests.went_on", went_on)
    monkeypatch.setattr("gitguard.web.verify.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("gitguard.web.verify.time.sleep", sleep)
    assert not page._continues(None)  # type: ignore[arg-type]
    assert 3 < len(looks) < 60
