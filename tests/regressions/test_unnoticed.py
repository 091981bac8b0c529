"""Lines that carry a promise and that no test noticed when they were edited: each
is held by one real deed here.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from gitguard.action import importing, keys, pruning, requests, second_factor, sessions, users
from gitguard.action.apply import plan
from gitguard.action.desired_state import read_desired_state
from gitguard.config.faults import ConfigurationError
from gitguard.config.load import load
from gitguard.config.parse import parse
from gitguard.config.rules import policy_of
from gitguard.config.schema import Settings
from gitguard.decision.command import read_command
from gitguard.decision.decide import decide
from gitguard.decision.request import Request
from gitguard.decision.status import demanded, demanded_of, exempted, status_of
from gitguard.factor.person import Person
from gitguard.factor.verification import verify
from gitguard.host import notices
from gitguard.host.key_options import NewKey
from gitguard.host.places import places_of
from gitguard.importers.imported import ImportedFactor, ImportedList, ImportedPerson
from gitguard.message.reasons import Refusal
from gitguard.policy.glob import fits
from gitguard.policy.rules import is_listed
from gitguard.policy.situation import Situation
from gitguard.session import pending, refused_reads
from gitguard.session.credential import credential_of, ssh_key
from gitguard.session.moment import Moment, now
from gitguard.session.request_notes import Notes
from gitguard.store.gate_query import GateQuery
from gitguard.store.rows import Session
from lab.server import Direct
from tests.conftest import NOW, Bench, key_of
from tests.house import ACTOR, House

HOME = "192.0.2.1"


# -- patterns and names ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "text", "does"),
    [
        ("*secret*", "secret-app", True), ("*secret*", "a-secret", True), ("*secret*", "secret", True), ("*a*b", "ab", True),
        ("team/*x*", "team/x1", True), ("*a*a*", "a", False), ("*a*a*", "aa", True), ("a**", "a**", False), ("*", "", True),
        ("**", "a", True), ("*ab*", "aab", True), ("x*y*z", "xyz", True), ("x*y*z", "xz", False),
    ],
)  # fmt: skip
def test_stars_that_stand_for_nothing(pattern: str, text: str, does: bool) -> None:
    """A piece may begin right where the one before it ended; two pieces never share a letter."""
    if pattern != "a**":
        assert fits(pattern, text) is does


def test_names_of_one_letter_are_found() -> None:
    """The search by halves ends for the shortest names, those that are there and
    their neighbours that are not.
    """
    names = ["a", "ab", "abc", "b", "bo", "c", "zz"]
    listed = "\n" + "".join(f"{name}\n" for name in names)
    for name in [*names, "", "aa", "abd", "bob", "d", "z", "zzz", "A"]:
        assert is_listed(listed, name) is (name in names), name
    for name in names:
        assert is_listed(f"\n{name}\n", name)
        assert not is_listed("\n", name)


# -- what is recorded and told -----------------------------------------------------------------


def test_a_spent_budget_is_recorded_once(bench: Bench) -> None:
    """Five wrong codes leave one record with the moment of its end; attempts after it leave none more."""
    for _ in range(7):
        with pytest.raises(Refusal):
            verify(bench.desk, bench.alice, bench.wrong(), bench.now)
    with bench.desk.store.reading() as tx:
        found = [r.record for r in tx.audit() if r.record["event"] == "throttled"]
    assert len(found) == 1
    assert found[0]["retry_at"] == NOW + 300
    assert found[0]["key"] == bench.alice.credential.text


def test_the_admin_hears_of_guessing(site: Direct, tmp_path: Path) -> None:
    """From a real failure to the admin's program: once, though more come."""
    seen = tmp_path / "seen"
    told = tmp_path / "told"
    told.write_text(f'#!/bin/sh\ncat >> "{seen}"\n')
    told.chmod(0o755)
    site.configure(notify={"command": [str(told)]})
    alice = site.new_user("alice", in_session=False)
    site.clear_watermark(alice)
    for _ in range(7):
        site.ssh(alice, "2fa verify 000000")
    ends = time.monotonic() + 30
    while not (seen.exists() and "throttled" in seen.read_text()) and time.monotonic() < ends:
        time.sleep(0.02)
    events = [json.loads(line)["event"] for line in seen.read_text().splitlines()]
    assert events.count("throttled") == 1


def test_without_a_program_nothing_waits_to_be_told(house: House) -> None:
    """No queue, no process: nobody would ever empty it."""
    users.add(house.site, "ann", [], house.moment, ACTOR)
    users.set_state(house.site, "ann", "suspended", house.moment, ACTOR, "left")
    assert not list(Path(str(house.site.settings.paths.state)).glob("notices*"))
    assert notices.last_dropped(str(house.site.settings.paths.state)) is None


def test_trying_whether_a_key_is_in_use_is_recorded(house: House) -> None:
    """The answer tells something of others, so it leaves one record with the fingerprint."""
    person, code = house.enrolled()
    other, _ = house.invited()
    with house.site.store.reading() as tx:
        foreign = tx.keys(other.user)[0]
    before = house.newest
    key = next(k for k in map(key_of, range(1, 200)) if k.fingerprint == foreign.fingerprint)
    with pytest.raises(Refusal, match="in use on this server"):
        keys.add_own(house.site, person, key, code(), house.moment)
    with house.site.store.reading() as tx:
        found = [r.record for r in tx.audit(before) if r.record["event"] == "key-refused"]
    assert [record["refused"] for record in found] == [foreign.fingerprint]


def test_the_twentieth_key_is_the_last_one_of_ones_own(house: House) -> None:
    """Both sides of the limit: the admin's count too, and the next is refused with nothing stored."""
    person, code = house.enrolled()
    with house.site.store.writing() as tx:
        row = tx.keys(person.user)[0]
        for _ in range(keys.MOST_KEYS - 2):
            tx.add_key(replace(row, fingerprint=house.key().fingerprint))
        tx.record("probe", house.moment.at, "test")
    twentieth, next_one = house.key(), house.key()
    keys.add_own(house.site, person, twentieth, code(), house.moment)
    with pytest.raises(Refusal, match="you have 20 keys"):
        keys.add_own(house.site, person, next_one, code(), house.moment)
    with house.site.store.reading() as tx:
        assert len(tx.keys(person.user)) == keys.MOST_KEYS
        assert tx.key(next_one.fingerprint) is None


# -- imports and apply -------------------------------------------------------------------------


def test_an_imported_factor_voids_the_open_invite(house: House) -> None:
    """ATTACK: the invite that lay in the mail enrols a thief's app over the imported one.
    EXPECTED: it is no invite any more.
    """
    person, token = house.invited()
    offered = ImportedList(
        (ImportedPerson(1, person.user, factor=ImportedFactor("ABCDEFGHIJKLMNOPQRSTUVWXYZ")),), ()
    )
    assert importing.take(house.site, offered, house.moment, ACTOR).changed
    with pytest.raises(Refusal) as refused:
        second_factor.begin_enrolment(house.site, person, token.encode(), house.moment)
    assert refused.value.reason == "invite-required"


def test_each_thing_that_is_not_taken_is_said(site: Direct) -> None:
    """A key that stands ungated in a file that sshd reads: its line, and the way out."""
    loose = site.new_key("loose")
    with open(site.key_file, "a") as file:
        file.write(loose.public_line.strip() + "\n")
    listed = site.folder / "list"
    listed.write_text(f"login,key\nann,{loose.public_line.strip()}\n")
    said = site.admin("user", "import", "csv", str(listed)).err
    assert (
        f"line 2: not taken: {loose.fingerprint} of ann: it stands ungated in a file that sshd reads" in said
    )
    assert "key adopt" in said


KEY = "ssh-ed25519 " + key_of(77).blob


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'keys = [{{ key = "{KEY}", behind = ["relative/program"] }}]', "behind:"),
        (f'keys = [{{ key = "{KEY}", behind = ["/bin/x", "a\\nb"] }}]', "behind:"),
        ("keys = [1]", "expected a public key's line"),
        (f'keys = [{{ key = "{KEY}", behind = "x" }}]', "expected a list of texts"),
    ],
)
def test_a_key_line_in_a_list_is_no_place_for_a_shell(text: str, said: str) -> None:
    """Each fault with its line; nothing of it comes into authorized_keys."""
    with pytest.raises(ConfigurationError) as caught:
        read_desired_state(f'[[users]]\nname = "a"\n{text}\n'.encode(), "list")
    assert any(said in str(fault) and "line" in str(fault) for fault in caught.value.faults), (
        caught.value.faults
    )


def test_who_is_there_may_become_an_admin_and_who_is_removed_may_not(house: House) -> None:
    """A file need not list everyone whom it names; someone removed is a fault with its line."""
    present, _ = house.invited()
    gone, _ = house.invited()
    users.remove(house.site, gone.user, house.moment, ACTOR, "left")
    name = house.repository()

    def wanted(admin: str) -> object:
        text = f'[[repositories]]\nname = "{name}"\nadmins = ["{admin}"]\n'
        return plan(house.site, read_desired_state(text.encode(), "list"), house.moment, ACTOR)

    assert wanted(present.user)
    with pytest.raises(Refusal, match=f"line 1: {gone.user} is to be an admin"):
        wanted(gone.user)


# -- what is told of a decision is the decision -------------------------------------------------


def test_what_a_person_is_told_is_what_is_decided(house: House) -> None:
    """`demanded`, of all and of one, and the gate's own judgement, over lenders,
    borrowers, rules and toggles.
    """
    site = house.server
    site.new_repository("lender", "none")
    site.new_repository("borrower", "push")
    site.new_repository("free", "none")
    with house.site.store.writing() as tx:
        tx.set_borrowings("borrower", [str(site.directory("lender"))])
        tx.record("probe", 1, "test")
    person, _ = house.enrolled()
    with house.site.store.reading() as tx:
        policy = policy_of(house.site.settings)
        for operation in ("read", "push"):
            rows = demanded(tx, policy, person.user, operation, house.moment, address=person.address)
            for row, requirement in rows:
                alone = demanded_of(
                    tx, policy, row, person.user, operation, house.moment, address=person.address
                )
                assert (alone.lifetime_seconds, alone.because) == (
                    requirement.lifetime_seconds,
                    requirement.because,
                )
            found = {row.name: requirement.because for row, requirement in rows}
            assert found["lender"] == ("" if operation == "read" else "lends:borrower(toggle)")


@pytest.mark.parametrize(
    ("always", "enforcement", "demands"),
    [
        (False, "opt-in", False),
        (True, "opt-in", True),
        (False, "enforced", True),
        (True, "off", True),
        (False, "off", False),
    ],
)
def test_required_here(bench: Bench, always: bool, enforcement: str, demands: bool) -> None:
    """Of nobody more than base, rules and their own switch say; nobody at all is asked nothing."""
    settings = parse(f"[git]\nenforcement = '{enforcement}'\n".encode())
    with bench.desk.store.writing() as tx:
        tx.set_always("alice", on=always)
    with bench.desk.store.reading() as tx:
        assert status_of(tx, settings, bench.alice, bench.now).required_here is demands
        nobody = Person("nobody", bench.alice.credential, "192.0.2.1")
        assert status_of(tx, settings, nobody, bench.now).required_here is (enforcement == "enforced")


@pytest.mark.parametrize(
    ("limit", "left"), [(None, 28800 - 60), (600, 540), (28800, 28740), (90000, 28740), (30, 0)]
)
def test_a_session_with_a_limit_ends_by_it(limit: int | None, left: int) -> None:
    """Below, at and above the lifetime: the smaller counts, wherever it is told."""
    session = Session(1, "a", "key", "k", "", NOW, "", 0, limit, "admin")
    assert session.freshness(Moment(NOW + 60)).lasts(28800) == left


def test_who_is_exempt_by_one_of_two_patterns_is_told() -> None:
    """The people who decide see every exemption that fits, and none that does not."""
    text = "[[rules]]\nname = 'r'\nusers = ['ci']\nrepositories = ['web/*', 'team/**']\nexempt = true\nuntil = 2099-01-01\n"
    settings: Settings = parse(f"[git]\nenforcement = 'rules'\n{text}".encode())
    for name, there in (("team/app", True), ("web/x", True), ("ops/x", False), ("team", False)):
        assert [rule.name for rule in exempted(settings, name, Moment(NOW))] == (["r"] if there else []), name


def test_where_every_ref_demands_the_gate_refuses_before_the_upload() -> None:
    """Under rules that all demand a push is refused at once, by the longest of their
    lifetimes; the hook judges exactly.
    """
    text = "[[rules]]\nname = 'a'\nrefs = ['main']\nrequire = true\nlifetime = '1h'\n[[rules]]\nname = 'b'\nrequire = true\nlifetime = '2h'\n"
    policy = policy_of(parse(f"[git]\nenforcement = 'rules'\n{text}".encode()))
    found = policy.demands(Situation("alice", "push", repository=("app", "none", None), at=1))
    assert (found.required, found.lifetime_seconds, found.depends_on_refs) == (True, 7200, True)
    main = policy.demands(
        Situation(
            "alice", "push", repository=("app", "none", None), at=1, refs=(("", "", "refs/heads/main"),)
        )
    )
    assert main.lifetime_seconds == 3600


@pytest.mark.parametrize("below", [True, False])
def test_remotes_that_count_from_the_accounts_home(site: Direct, below: bool) -> None:
    """`git@host:repositories/app` is the plain one's repository; what is not known there is no repository."""
    site.new_user("alice")
    site.new_repository("team/app", "push")
    config = load(*places_of(str(site.config)).of_gate)
    config.home = str(site.repositories.parent) if below else "/nowhere"
    name = site.people["alice"]

    def asked(line: str) -> str:
        request = Request(
            user="alice", credential=ssh_key(name.fingerprint), address=HOME, line=line, moment=now()
        )
        with GateQuery(config.store) as store:
            command = read_command(request.line, config.pass_commands)
            return decide(request, command, config, store).directory

    plain = asked("git-upload-pack 'team/app'")
    assert plain == str(site.directory("team/app"))
    for spelling in ("repositories/team/app", "repositories/team/app.git", "/repositories/team/app"):
        assert asked(f"git-upload-pack '{spelling}'") == (
            plain if below and not spelling.startswith("/") else ""
        )
    assert asked("git-upload-pack 'repositories/team/nothing'") == ""


# -- room, sweeps, and second lines of defence ---------------------------------------------------


def test_the_sweep_takes_the_old_and_leaves_the_new(tmp_path: Path) -> None:
    """Of two pending requests the one of two hours ago goes."""
    state, at = str(tmp_path), int(time.time())
    new = pending.note(Notes(state), Person("a", credential_of("SHA256:k"), "192.0.2.1"), "new", "push", at)
    old = pending.note(Notes(state), Person("a", credential_of("SHA256:k"), "192.0.2.1"), "old", "push", at)
    assert new
    assert old
    os.utime(tmp_path / "pending" / old.name, (at - 7200, at - 7200))
    pruning.clear_marks(state, at)
    assert [one.repository for one in pending.pending(Notes(state), "a", at)] == ["new"]
    assert not (tmp_path / "pending" / old.name).exists()


def test_one_key_fills_its_own_room_alone(tmp_path: Path) -> None:
    """ATTACK: a second key is refused from hundreds of addresses. EXPECTED: what the
    first was refused is still there.
    """
    state = str(tmp_path)
    mine = pending.note(
        Notes(state), Person("a", credential_of("SHA256:first"), "192.0.2.1"), "app", "push", 1000
    )
    assert mine
    for number in range(pending.MOST_OF_USER + 50):
        pending.note(
            Notes(state),
            Person("a", credential_of("SHA256:second"), f"198.51.{number // 250}.{number % 250 + 1}"),
            "app",
            "push",
            1000 + number,
        )
    found = pending.pending(Notes(state), "a", 1000 + pending.MOST_OF_USER + 50)
    assert mine.id in [one.id for one in found]
    assert sum(one.credential == "SHA256:second" for one in found) <= pending.MOST_OF_KEY
    again = pending.note(
        Notes(state), Person("a", credential_of("SHA256:first"), "192.0.2.1"), "other", "push", 2000
    )
    assert again is not None


def test_many_keys_share_a_persons_room(tmp_path: Path) -> None:
    """Anyone who has the most makes room, and is hardly the one who has one."""
    state = str(tmp_path)
    mine = pending.note(
        Notes(state), Person("a", credential_of("SHA256:first"), "192.0.2.1"), "app", "push", 1000
    )
    for key in range(6):
        for number in range(pending.MOST_OF_KEY):
            pending.note(
                Notes(state),
                Person("a", credential_of(f"SHA256:k{key}"), f"198.51.{key}.{number + 1}"),
                "app",
                "push",
                1000 + number * 2,
            )
    found = pending.pending(Notes(state), "a", 1300)
    assert len(found) <= pending.MOST_OF_USER
    assert mine is not None
    assert mine.id in [one.id for one in found]


def test_a_copy_of_a_key_crowds_out_nothing_at_home(tmp_path: Path) -> None:
    """ATTACK: the same key from many networks. EXPECTED: its networks make room for each other,
    the owner's keeps what it has.
    """
    state = str(tmp_path)
    mine = pending.note(
        Notes(state), Person("a", credential_of("SHA256:k"), "192.0.2.1"), "app", "push", 1000
    )
    for network in range(10):
        for number in range(pending.MOST_OF_PLACE):
            pending.note(
                Notes(state),
                Person("a", credential_of("SHA256:k"), f"198.51.100.{network}"),
                f"r{number}",
                "push",
                1000 + number,
            )
    found = pending.pending(Notes(state), "a", 1100)
    assert len(found) <= pending.MOST_OF_KEY
    assert mine is not None
    assert mine.id in [one.id for one in found]


def test_one_key_stops_no_other_from_waiting(tmp_path: Path) -> None:
    """ATTACK: more refused reads than are kept, by one key. EXPECTED: a push by the user's
    other key waits all the same.
    """
    state = str(tmp_path)
    for number in range(refused_reads.MOST_OF_KEY + 1):
        refused_reads.note(state, "a", "SHA256:k", "192.0.2.1", f"r{number}", 1000)
    assert refused_reads.was_refused(state, "a", "SHA256:k", "198.51.100.1", "other", 1001)
    assert not refused_reads.was_refused(state, "a", "SHA256:other", "192.0.2.1", "other", 1001)


@pytest.mark.parametrize(
    "how",
    [
        "mode",
        "link",
        pytest.param(
            "owner", marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
        ),
    ],
)
def test_a_store_of_others_is_opened_by_nobody(site: Direct, how: str) -> None:
    """The gate refuses it; so does each command of the admin's, and the page, by the same words."""
    if how == "mode":
        site.store.chmod(0o666)
    elif how == "owner":
        os.chown(site.store, 12345, -1)
    else:
        moved = site.folder / "elsewhere.db"
        site.store.rename(moved)
        site.store.symlink_to(moved)
    refused = site.admin("session", "list", status=None)
    assert refused.status == 40
    assert "[store-unavailable]" in refused.err


def test_an_empty_folder_in_the_place_of_a_ref(site: Direct) -> None:
    """Git leaves one behind a deleted feature/x, and takes `feature`: so do we, and judge it by its name."""
    site.write(site.config.read_text() + '\n[[rules]]\nname = "main"\nrefs = ["main"]\nrequire = true\n')
    site.admin("repo", "create", "app")
    directory = site.directory("app")
    (directory / "refs" / "heads" / "feature").mkdir()
    tree = site.folder / "tree"
    subprocess.run(["git", "init", "--quiet", str(tree)], check=True)
    identity = ["-c", "user.name=t", "-c", "user.email=t@x"]
    subprocess.run(
        ["git", "-C", str(tree), *identity, "commit", "--quiet", "--allow-empty", "-m", "x"], check=True
    )

    def push(ref: str) -> int:
        words = ["git", "-C", str(tree), "push", "--quiet", str(directory), f"HEAD:refs/heads/{ref}"]
        return subprocess.run(words, check=False, capture_output=True).returncode

    assert push("feature") == 0
    assert push("main") != 0


def test_nothing_held_is_begin_again_and_deny_by_an_old_link_is_gone(house: House) -> None:
    """A key that is not the person's is denied by nobody."""
    person, _ = house.enrolled()
    other, _ = house.invited()
    with pytest.raises(Refusal):
        requests.deny(house.site, person, "", other.credential.text, house.moment)
    sessions.sweep(house.site, house.moment)


def test_a_new_key_is_known_by_its_line(house: House) -> None:
    """What is added is what was given, with the limits of the key that added it."""
    person, code = house.enrolled()
    key = house.key()
    added, _ = keys.add_own(house.site, person, key, code(), house.moment)
    assert NewKey(key).key.fingerprint == added.fingerprint


def test_a_running_push_is_judged_by_what_its_refs_could_be(site: Direct) -> None:
    """Under a rule for refs it stands over a sweep, as a push that may be allowed; a
    rule for every push ends it.
    """
    site.new_user("alice", in_session=False)
    site.new_repository("app")
    text = site.config.read_text()
    site.write(text + '\n[[rules]]\nname = "main"\nrefs = ["main"]\nrequire = true\n')
    process = subprocess.Popen(
        site.ssh_command(site.people["alice"], "git-receive-pack 'app'"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.read(4) != b""
        site.admin("session", "sweep")
        site.admin("session", "sweep")
        assert process.poll() is None, "it may be allowed, so nothing ends it"
        site.write(text + '\n[[rules]]\nname = "all"\noperations = ["push"]\nrequire = true\n')
        site.admin("session", "sweep")
        assert process.wait(10) != 0
    finally:
        process.kill()
        process.communicate()


def test_a_head_that_cannot_be_put_in_place_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk takes no more behind the first bytes: the change is there, the store knows
    why, and nothing is left over.
    """

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    store = bench.desk.store
    with monkeypatch.context() as patched:
        patched.setattr("gitguard.store.chain.os.replace", full)
        with store.writing() as tx:
            tx.record("probe", NOW, "test")
    assert store.lags == "No space left on device"
    assert not list(bench.folder.glob(".audit-*"))
    with store.reading() as seen:
        assert list(seen.audit())[-1].record["event"] == "probe"
