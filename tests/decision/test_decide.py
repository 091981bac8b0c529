"""The decision's own promises, each with its right value: asked in process, on a real installation."""

from __future__ import annotations

import marshal
import os
from pathlib import Path

import pytest

from gitguard.answer.access_log import line_of
from gitguard.answer.git_process import program
from gitguard.config.load import load
from gitguard.decision.command import parse, quote, read_command
from gitguard.decision.decide import decide
from gitguard.decision.decision import Decision
from gitguard.decision.edge import request_of
from gitguard.decision.request import Request
from gitguard.decision.wire import LONGEST_BYTES, pack, unpack
from gitguard.host.places import places_of
from gitguard.message.reasons import Refusal
from gitguard.session.credential import ssh_key
from gitguard.session.grant import unseal
from gitguard.session.moment import Moment, now
from gitguard.store.gate_query import GateQuery
from lab.server import Direct, Person, run

pytestmark = pytest.mark.slow

HOME, ELSEWHERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Direct:
    """Alice enrolled, a repository that requires for pushes and one that requires nothing."""
    server = Direct(tmp_path_factory.mktemp("decide") / "server")
    server.install()
    server.new_user("alice")
    server.new_repository("app", "push")
    server.admin("repo", "create", "open")
    return server


@pytest.fixture(scope="module")
def alice(site: Direct) -> Person:
    """Verified from HOME with her key, by an admin's session of ten minutes."""
    person = Person("alice", site.folder / "people" / "alice", "")
    person.fingerprint = run(["ssh-keygen", "-lf", f"{person.key}.pub"]).out.split()[1]
    site.end_sessions()
    session_from(site, person, HOME, "10m")
    return person


def session_from(site: Direct, person: Person, address: str, how_long: str) -> None:
    """A session that covers this address."""
    words = ("--for", how_long, "--reason", "test", "--key", person.fingerprint, "--from", address)
    site.admin("session", "open", person.name, *words)


def asked(
    site: Direct,
    person: Person,
    line: str,
    *,
    key: str | None = None,
    address: str = HOME,
    later: int = 0,
    behind: tuple[str, ...] = (),
) -> Decision:
    """What the gate decides."""
    moment = now()
    moment = Moment(moment.at + later, moment.boot, moment.boot_seconds + later)
    fingerprint = person.fingerprint if key is None else key
    config = load(*places_of(str(site.config)).of_gate)
    request = Request(
        user=person.name,
        credential=ssh_key(fingerprint),
        address=address,
        line=line,
        moment=moment,
        downstream=behind,
    )
    with GateQuery(config.store) as store:
        return decide(request, read_command(request.line, config.pass_commands), config, store)


def reason(decision: Decision) -> str:
    """Its reason, whichever way it fell."""
    if decision.refusal is not None:
        return decision.refusal.reason
    return decision.verdict.reason if decision.verdict is not None else ""


PUSH, READ, OPEN = "git-receive-pack 'app'", "git-upload-pack 'app'", "git-receive-pack 'open'"


def test_the_control(site: Direct, alice: Person) -> None:
    """With everything right she may push, because she verified."""
    assert reason(asked(site, alice, PUSH)) == "verified"
    assert reason(asked(site, alice, READ)) == "not-required"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "SHA256:short",
        "MD5:00:11",
        "SHA256:" + "A" * 44,
        "SHA256:" + "A" * 42 + "\n",
        "*",
        "sha256:" + "A" * 43,
    ],
)
def test_what_is_no_fingerprint_is_no_identity(site: Direct, alice: Person, key: str) -> None:
    """A key line that was edited by hand: refused before anything is looked up, and the log says so."""
    decision = asked(site, alice, PUSH, key=key)
    assert reason(decision) == "no-identity"
    assert decision.refusal is not None
    assert "names no valid user and key" in decision.refusal.detail


def test_a_fingerprint_of_somebody_else(site: Direct, alice: Person) -> None:
    """Well-formed, and not hers."""
    assert reason(asked(site, alice, PUSH, key="SHA256:" + "A" * 43)) == "no-identity"


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        (ELSEWHERE, "verification-required"),
        ("", "verification-required"),
        ("UNKNOWN", "verification-required"),
    ],
)
def test_a_session_counts_in_its_scope_alone(site: Direct, alice: Person, address: str, wanted: str) -> None:
    """The thief has the key and sits elsewhere, or comes without an address: her session is not theirs."""
    decision = asked(site, alice, PUSH, address=address)
    assert reason(decision) == wanted
    assert decision.session == 0
    assert decision.session_age_seconds is None


def test_a_session_ends_at_its_own_limit(site: Direct, alice: Person) -> None:
    """Ten minutes by the admin: good at 9 m 50 s, expired at 10 m; not by the second more."""
    assert reason(asked(site, alice, PUSH, later=590)) == "verified"
    assert reason(asked(site, alice, PUSH, later=601)) == "verification-expired"


def test_a_path_names_the_root_that_it_names(site: Direct, alice: Person, tmp_path: Path) -> None:
    """The same name below another root is another place, also where the store knows only one of them."""
    other = tmp_path / "other"
    other.mkdir()
    site.configure(paths={"extra_roots": [str(other)]})
    try:
        assert reason(asked(site, alice, f"git-receive-pack '{site.directory('app')}'")) == "verified"
        assert reason(asked(site, alice, f"git-receive-pack '{other}/app.git'")) == "no-such-repository"
        assert reason(asked(site, alice, f"git-upload-pack '{other}/app'")) == "no-such-repository"
    finally:
        site.configure(paths={"extra_roots": []})


def test_always_counts_only_where_it_is_allowed(site: Direct, alice: Person) -> None:
    """A person's `always` requires for reads too; where the server does not let
    people have it, it has no effect.
    """
    del alice
    bob = site.new_user("bob")
    site.ssh(bob, "2fa always on", status=0)
    site.admin("session", "revoke", "bob")
    try:
        assert reason(asked(site, bob, READ)) == "verification-required"
        assert "always" in asked(site, bob, READ).requirement.because
        site.configure(account={"allow_always": False})
        assert reason(asked(site, bob, READ)) == "not-required"
    finally:
        site.configure(account={"allow_always": True})


def test_a_lenders_shorter_lifetime_counts(site: Direct, alice: Person) -> None:
    """Who reads a borrower may be sent the lender's objects: its lifetime of a
    minute counts, and it is named.
    """
    site.admin("repo", "create", "pool")
    borrower = site.repositories / "borrower.git"
    run(["git", "clone", "-q", "--bare", "-s", str(site.directory("pool")), str(borrower)])
    site.admin("repo", "adopt", "borrower")
    site.admin("repo", "require", "pool", "all")
    site.admin("repo", "lifetime", "pool", "1m")
    decision = asked(site, alice, "git-upload-pack 'borrower'", later=30)
    assert decision.requirement.lifetime_seconds == 60
    assert "borrows:pool" in decision.requirement.because
    assert reason(asked(site, alice, "git-upload-pack 'borrower'", later=61)) == "verification-expired"


@pytest.mark.parametrize("byte", ["\x7f", "\x00", "\x1b", "\n", "\x80", "\u202e"])
def test_what_a_terminal_would_act_on_is_no_command(byte: str) -> None:
    """DEL is a control character as well; what is not ASCII may be a name, and is decided by the registry."""
    if byte in ("\x80", "\u202e"):
        assert parse(f"git-upload-pack 'a{byte}b'", ()).repository == f"a{byte}b"
        return
    with pytest.raises(Refusal) as caught:
        parse(f"git-upload-pack 'a{byte}b'", ())
    assert caught.value.reason == "malformed-command"


@pytest.mark.parametrize("text", ["a!b", "it's", "!", "'!'", "a b", "!!'"])
def test_what_is_quoted_is_read_back(text: str) -> None:
    """Git's own quoting, `!` too: csh would expand it between quotes. Source: git's quote.c."""
    quoted = quote(text)
    assert "!" not in quoted.replace("\\!", "")
    assert parse(f"git-upload-pack {quoted}", ()).repository == text
    assert run(["sh", "-c", f"printf %s {quoted}"]).out == text


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("version=2", "version=2"), ("version=1:extra", "version=1:extra"), ("", ""), ("version=2\nX=1", ""), ("version=2;id", ""),
        ("x" * 65, ""), ("x" * 64, "x" * 64), ("vérsion=2", ""), ("version=2 ", ""),
    ],
)  # fmt: skip
def test_the_protocol_is_kept_only_if_it_is_one(value: str, kept: str) -> None:
    """A client's bytes reach Git's environment as `version=...` or not at all."""
    environ = {"GIT_PROTOCOL": value, "SSH_CONNECTION": "192.0.2.1 1 192.0.2.9 22"}
    assert request_of(["--user", "a", "--key", "k"], environ, now()).protocol == kept


def environment(site: Direct, decision: Decision) -> dict[str, str]:
    """What Git would be started with."""
    return program(decision, load(*places_of(str(site.config)).of_gate), "0badc0de", os.getpid())[2]


def test_a_session_is_told_only_where_one_was_needed(site: Direct, alice: Person) -> None:
    """Later hooks find 0 where nothing was required, though a session is live; otherwise
    they would take it for a proof.
    """
    assert environment(site, asked(site, alice, OPEN))["GITGUARD_SESSION"] == "0"
    told = environment(site, asked(site, alice, PUSH))
    assert int(told["GITGUARD_SESSION"]) > 0
    assert told["GITGUARD_DECISION"] == "0badc0de"


def test_a_grant_without_a_session_says_so(site: Direct, alice: Person) -> None:
    """Its age is -1, which no lifetime admits: an open repository that is closed
    during the upload stays closed.
    """
    secret = (site.home / "state" / "grant.key").read_bytes()
    sealed = environment(site, asked(site, alice, OPEN, address=ELSEWHERE))["GITGUARD_GRANT"]
    grant = unseal(sealed, secret)
    assert (grant.session, grant.age_seconds) == (0, -1)
    with_one = unseal(environment(site, asked(site, alice, PUSH))["GITGUARD_GRANT"], secret)
    assert with_one.session > 0
    assert with_one.age_seconds >= 0


def test_a_passed_command_needs_a_session_whatever_the_rest_demands(site: Direct, alice: Person) -> None:
    """What is not known to be harmless is not; a read-only rule elsewhere makes it no read."""
    site.configure(git={"pass_commands": ["perms"]})
    try:
        behind = ("/bin/true",)
        assert reason(asked(site, alice, "perms app", behind=behind)) == "verified"
        assert (
            reason(asked(site, alice, "perms app", behind=behind, address=ELSEWHERE))
            == "verification-required"
        )
    finally:
        site.configure(git={"pass_commands": []})


def test_a_refusal_under_a_broken_configuration_is_logged(site: Direct, alice: Person) -> None:
    """The log stays where it was: the admin who looks at night finds what people were told."""
    site.ssh(alice, "git-upload-pack 'open'", status=None)
    kept = site.config.read_text()
    site.config.write_text(kept + "nonsense\n")
    try:
        assert site.ssh(alice, PUSH, status=None).status == 30
    finally:
        site.write(kept)
    last = site.log()[-1]
    assert (last["reason"], last["user"], last["address"]) == ("config-invalid", "alice", "127.0.0.1")
    assert os.path.exists(site.config)


# -- behind a program with its own list of repositories -------------------------------------------------

BEHIND = ("/bin/true",)


def test_a_name_that_only_the_program_knows_demands_the_shortest(site: Direct, alice: Person) -> None:
    """It may be another name of a repository that requires: so the shortest
    lifetime of all that demand counts.
    """
    site.new_repository("strict", "all")
    site.admin("repo", "lifetime", "strict", "90s")
    line = "git-upload-pack 'an/alias'"
    decision = asked(site, alice, line, behind=BEHIND, address=ELSEWHERE)
    assert reason(decision) == "verification-required"
    assert decision.requirement.lifetime_seconds is not None
    assert decision.requirement.lifetime_seconds <= 90
    assert decision.requirement.because == "unknown-name"
    assert reason(asked(site, alice, line, behind=BEHIND, later=91)) == "verification-expired"
    site.configure(git={"enforcement": "off"})
    try:
        assert reason(asked(site, alice, line, behind=BEHIND, address=ELSEWHERE)) == "not-required"
    finally:
        site.configure(git={"enforcement": "opt-in"})


@pytest.mark.parametrize("name", ["APP", "App", "app.GIT", "app ", " app", "APP.git "])
def test_a_known_name_in_another_form_is_no_way_around(site: Direct, alice: Person, name: str) -> None:
    """A program that folds case or trims would serve it. Without a session the answer
    is that of any unknown name.
    """
    site.end_sessions()
    session_from(site, alice, HOME, "10m")
    assert reason(asked(site, alice, f"git-receive-pack '{name}'", behind=BEHIND)) == "no-such-repository"
    for asked_for in (name, "nothing/like/it"):
        line = f"git-receive-pack '{asked_for}'"
        assert reason(asked(site, alice, line, behind=BEHIND, address=ELSEWHERE)) == "verification-required"


def test_a_grant_for_an_unknown_name_names_no_directory(site: Direct, alice: Person) -> None:
    """The gate knows none, so the hook takes it for the first push of that process alone (tests/hook)."""
    site.end_sessions()
    session_from(site, alice, HOME, "10m")
    decision = asked(site, alice, "git-receive-pack 'an/alias'", behind=BEHIND)
    secret = (site.home / "state" / "grant.key").read_bytes()
    assert unseal(environment(site, decision)["GITGUARD_GRANT"], secret).directory == ""


def test_what_a_program_serves_is_not_told_to_whoever_holds_a_key(site: Direct) -> None:
    """`repo show` behind a program needs a session, or being an admin of the
    repository; known or not, one answer.
    """
    carol = site.new_user("carol")
    site.admin("repo", "create", "listed", "--admin", "carol")
    site.configure(git={"behind": ["/bin/true", "{user}"]})
    try:
        assert site.ssh(carol, "2fa repo show app").status == 0, "in a session"
        site.admin("session", "revoke", "carol")
        for name in ("app", "nothing/like/it"):
            done = site.ssh(carol, f"2fa repo show {name}")
            assert (done.status, "[verification-required]" in done.err, done.out) == (10, True, ""), done.text
        assert site.ssh(carol, "2fa repo show listed").status == 0, "her own"
    finally:
        site.configure(git={"behind": []})


def test_a_decision_is_a_value(site: Direct, alice: Person) -> None:
    """It holds neither store nor configuration: written down and read back, it makes the
    same line and the same refusal.
    """
    for line in (
        "git-upload-pack 'app'",
        "git-receive-pack 'app'",
        "git-upload-pack 'none'",
        "no-command",
        "2fa help",
    ):
        decision = asked(site, alice, line)
        again = unpack(pack(decision))
        assert pack(again) == pack(decision)
        if decision.command is not None and decision.command.kind == "own":
            assert again.command is not None
            assert again.command.words == decision.command.words
            continue
        assert line_of(again, "id") == line_of(decision, "id")
        assert reason(again) == reason(decision)


def test_an_answer_that_is_none_is_refused(site: Direct, alice: Person) -> None:
    """ATTACK: cut, longer than it may be, of another version, another shape, or with code in
    it. EXPECTED: a refusal each.
    """
    whole = pack(asked(site, alice, "git-upload-pack 'app'"))
    values = list(marshal.loads(whole))
    other = [
        b"", whole[: len(whole) // 2], whole + b"x" * LONGEST_BYTES, marshal.dumps(1), marshal.dumps(()),
        marshal.dumps((99, *values[1:])), marshal.dumps(tuple(values[:-1])), marshal.dumps((*values[:1], 7, *values[2:])),
        marshal.dumps((*values[:-1], compile("1", "x", "eval"))),
    ]  # fmt: skip
    for data in other:
        with pytest.raises(Refusal) as told:
            unpack(data)
        assert told.value.reason == "internal-error"


def test_a_name_is_folded_in_one_way(site: Direct, alice: Person) -> None:
    """\u00c4rger is known; asked for as \u00e4rger behind a program that folds, it is that one: no
    database folds it by itself.
    """
    site.new_repository("\u00c4rger", "all")
    session_from(site, alice, HOME, "10m")
    for name in ("\u00e4rger", "\u00c4RGER.git"):
        assert reason(asked(site, alice, f"git-receive-pack '{name}'", behind=BEHIND)) == "no-such-repository"
    site.admin("repo", "rename", "\u00c4rger", "\u00d6l")
    with site.acting() as place:
        gate = GateQuery(place.settings.store.url.path)
        assert gate.is_known_by_another_form("\u00f6l")
        assert not gate.is_known_by_another_form("\u00e4rger")
        gate.close()
