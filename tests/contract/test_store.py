"""The store's contract, as every backend in `BACKENDS` has to keep it. Nothing here knows which one it is."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from gitguard.action import steps
from gitguard.action.keys import key_row
from gitguard.config.schema import Settings
from gitguard.factor.person import Person
from gitguard.factor.verification import verify
from gitguard.host.key_options import NewKey
from gitguard.message.reasons import Refusal
from gitguard.session.credential import Credential
from gitguard.session.moment import Moment
from gitguard.store import chain
from gitguard.store.contract import Reading, Writing
from gitguard.store.rows import Browser, NearMiss, Repository, SignInLink
from tests.backends import EACH
from tests.conftest import NOW, Bench, key_of


@pytest.fixture(params=EACH)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """A desk with alice enrolled, on each backend in turn."""
    made = Bench(tmp_path / "desk", Settings(), request.param)
    yield made
    made.close()


@contextlib.contextmanager
def refused() -> Iterator[None]:
    """The block ends in the refusal of what a store cannot do."""
    with pytest.raises(Refusal) as caught:
        yield
    assert caught.value.reason == "store-unavailable"


def test_a_transaction_is_all_or_nothing(bench: Bench) -> None:
    """MUST 1: an exception anywhere inside leaves the store, audit trail included, as it was."""
    with bench.desk.store.reading() as tx:
        before = len(list(tx.audit()))
    with pytest.raises(RuntimeError), bench.desk.store.writing() as tx:
        tx.add_user("bob", NOW)
        tx.record("user-added", NOW, "test", user="bob")
        raise RuntimeError
    with bench.desk.store.reading() as tx:
        assert tx.user("bob") is None
        assert len(list(tx.audit())) == before


def test_reading_sees_one_state(bench: Bench) -> None:
    """MUST 2: what another connection commits meanwhile does not show."""
    other = bench.open(bench.desk.settings).store
    with bench.desk.store.reading() as tx:
        assert len(list(tx.users())) == 1
        with other.writing() as writer:
            writer.add_user("bob", NOW)
        assert len(list(tx.users())) == 1
    with bench.desk.store.reading() as tx:
        assert len(list(tx.users())) == 2


def test_changes_say_whether_they_did(bench: Bench) -> None:
    """MUST 3: a count or a bool, never an exception for "not there"."""
    with bench.desk.store.writing() as tx:
        assert not tx.remove_key("SHA256:none")
        assert not tx.drop_totp("nobody")
        assert not tx.drop_invite("nobody")
        assert not tx.forget_repository("none")
        assert tx.end_sessions("nobody") == []
        assert not tx.burn_recovery_code("alice", b"x" * 32, NOW)


def test_ending_sessions(bench: Bench) -> None:
    """By user, by key, by number; a session that binds no key ends with any of them."""
    keys = ["SHA256:one", "SHA256:two"]
    with bench.desk.store.writing() as tx:
        first, second = (tx.put_session("alice", ("key", key, ""), Moment(NOW), "totp") for key in keys)
        whole = tx.put_session("alice", ("user", "", ""), Moment(NOW), "totp")
        assert [s.id for s in tx.end_sessions("alice", session=second.id)] == [second.id]
        assert {s.id for s in tx.end_sessions("alice", keys[0])} == {first.id, whole.id}
        assert tx.sessions("alice") == []


def test_a_repository_keeps_its_admins_through_a_rename(bench: Bench) -> None:
    """Toggle and admins belong to the repository, not to its spelling."""
    with bench.desk.store.writing() as tx:
        tx.add_repository(Repository("a", "/srv/a.git", "all", None, NOW))
        tx.add_repository_admin("a", "alice")
        tx.rename_repository("a", "b", "/srv/b.git")
        assert tx.repository_admins("b") == ["alice"]
        assert (renamed := tx.repository("b")) is not None
        assert renamed.require == "all"
        assert tx.forget_repository("b")
        assert tx.repository_admins("b") == []


def test_near_misses_and_burned_steps(bench: Bench) -> None:
    """One near miss per key; burned steps behind the watermark are swept."""
    with bench.desk.store.writing() as tx:
        tx.set_near_miss("alice", "k", NearMiss(5, 2))
        tx.set_near_miss("alice", "k", NearMiss(6, 2))
        assert tx.near_miss("alice", "k") == NearMiss(6, 2)
        tx.set_near_miss("alice", "k", None)
        assert tx.near_miss("alice", "k") is None
        for step in (10, 20):
            tx.burn_step("alice", step)
        tx.advance_step("alice", 15)
        tx.advance_step("alice", 3)
        assert not tx.is_burned("alice", 10)
        assert tx.is_burned("alice", 20)
        assert (factor := tx.totp_of("alice")) is not None
        assert factor.last_step == 15, "the watermark never goes back"


def test_parallel_writers_make_one_chain(bench: Bench) -> None:
    """Ten writers at once: no link is lost or forked."""

    def write(number: int) -> None:
        store = bench.open(bench.desk.settings).store
        for _ in range(5):
            with store.writing() as tx:
                tx.record("probe", NOW, f"writer {number}")
        store.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with bench.desk.store.reading() as tx:
        assert chain.check(tx.audit(), None, outside=False).open_faults == []
        assert len([r for r in tx.audit() if r.record["event"] == "probe"]) == 50


def test_a_wrong_key_number_is_unique(bench: Bench) -> None:
    """A fingerprint is of one user: the store itself refuses a second."""
    with bench.desk.store.writing() as tx:
        tx.add_user("bob", NOW)
        with pytest.raises(Refusal):
            steps.add_key(tx, key_row("bob", NewKey(key_of(1)), NOW), NOW, "test")


def test_every_promise_is_said_and_kept(bench: Bench) -> None:
    """Each question and change of the contract has a sentence that says what it
    promises, and the backend has it.
    """
    for protocol in (Reading, Writing):
        for name, method in vars(protocol).items():
            if not name.startswith("_") and callable(method):
                assert method.__doc__, f"{name} promises nothing"
    with bench.desk.store.writing() as tx:
        for protocol in (Reading, Writing):
            assert all(hasattr(tx, name) for name in vars(protocol) if not name.startswith("_"))


def test_a_failed_writer_leaves_the_chain_to_the_next(bench: Bench) -> None:
    """MUST 1: a record that was taken back is no gap: the next one takes its
    number and its place in the chain.
    """
    with bench.desk.store.reading() as tx:
        last = list(tx.audit())[-1].seq
    with pytest.raises(RuntimeError), bench.desk.store.writing() as tx:
        tx.record("probe", NOW, "first")
        raise RuntimeError
    with bench.desk.store.writing() as tx:
        tx.record("probe", NOW, "second")
    with bench.desk.store.reading() as tx:
        assert [record.seq for record in tx.audit(last)] == [last + 1]
        assert chain.check(tx.audit(), None, outside=False).open_faults == []


def test_the_latest_moment_never_goes_back_by_itself(bench: Bench) -> None:
    """A record of an earlier moment leaves it; only an admin who accepts the clock sets it back."""
    with bench.desk.store.writing() as tx:
        tx.record("probe", NOW + 50, "test")
        tx.record("probe", NOW + 10, "test")
        assert tx.latest_at() == NOW + 50
        tx.accept_clock(NOW)
        assert tx.latest_at() == NOW


def test_what_is_there_already_is_no_error(bench: Bench) -> None:
    """A step burned twice, an admin added twice: the second time changes
    nothing, and says so where it can.
    """
    with bench.desk.store.writing() as tx:
        tx.burn_step("alice", 7)
        tx.burn_step("alice", 7)
        assert tx.is_burned("alice", 7)
        tx.add_repository(Repository("a", "/srv/a.git", "all", None, NOW))
        assert tx.add_repository_admin("a", "alice")
        assert not tx.add_repository_admin("a", "alice")


def test_guesses_add_up_by_network(bench: Bench) -> None:
    """Failures of one user are counted for each network, and in one sum that the owner is told of once."""
    with bench.desk.store.writing() as tx:
        for number, network in enumerate(("192.0.2.1", "192.0.2.1", "203.0.113.7")):
            tx.count_guess("alice", network, network, NOW + number)
        assert {(g.network, g.failures) for g in tx.guessing("alice")} == {
            ("192.0.2.1", 2),
            ("203.0.113.7", 1),
        }
        told = tx.rejections("alice")
        assert told is not None
        assert (told.failures, told.last_address, told.last_at) == (3, "203.0.113.7", NOW + 2)
        tx.forget_guesses("alice", "192.0.2.1")
        assert [g.network for g in tx.guessing("alice")] == ["203.0.113.7"]


def test_a_credential_of_any_kind_has_one_owner(bench: Bench) -> None:
    """Keys and other credentials are asked for in one way; nobody's is None, and a removed user has none."""
    browser = Credential("web", "4f1c")
    with bench.desk.store.writing() as tx:
        assert tx.owner(bench.alice.credential) == "alice"
        assert tx.owner(browser) is None
        tx.add_credential(browser, "alice", NOW)
        assert tx.owner(browser) == "alice"
        assert tx.owner(Credential("http", "4f1c")) is None, "the same id of another kind is another's"
        steps.remove_user(tx, "alice", NOW, "test")
        assert tx.owner(browser) is None
        assert tx.remove_credentials("alice") == 0


def test_a_browser_proves_and_is_throttled_by_itself(bench: Bench) -> None:
    """A credential that is no key verifies like one: its session, failures and
    near misses hang on it alone.
    """
    browser = Person("alice", Credential("web", "4f1c"), "192.0.2.9")
    with bench.desk.store.writing() as tx:
        tx.add_credential(browser.credential, "alice", NOW)
    done = verify(bench.desk, browser, bench.code(), bench.now)
    assert done.session is not None
    assert done.session.credential == "web:4f1c"
    assert [_reason(bench, browser, bench.wrong()) for _ in range(5)] == ["code-rejected"] * 5
    assert _reason(bench, browser, bench.wrong()) == "throttled"
    assert _reason(bench, bench.alice, bench.wrong()) == "code-rejected", "her key has a budget of its own"
    stranger = Person("alice", Credential("web", "beef"), "192.0.2.9")
    assert _reason(bench, stranger, bench.code(1)) == "no-identity"


def _reason(bench: Bench, person: Person, typed: bytes) -> str:
    with pytest.raises(Refusal) as caught:
        verify(bench.desk, person, typed, bench.now)
    return caught.value.reason


def browser_of(user: str, name: str, at: int = NOW) -> Browser:
    """A signed-in browser of `user`."""
    return Browser(f"web:{name}", user, "SHA256:one", "192.0.2.1", Moment(at, "boot", 5))


def test_a_browser_ends_with_its_session_and_its_links(bench: Bench) -> None:
    """Signed out, a browser has no owner and no session of its own; the others
    and the keys' sessions stay.
    """
    with bench.desk.store.writing() as tx:
        for name, at in (("a", NOW), ("b", NOW + 1)):
            tx.add_browser(browser_of("alice", name, at))
            tx.put_session("alice", ("key", f"web:{name}", ""), Moment(NOW), "totp")
        key = tx.put_session("alice", ("key", "SHA256:one", ""), Moment(NOW), "totp")
        tx.put_link(b"l" * 32, SignInLink("alice", "sign-in", "SHA256:one", NOW + 300))
        kept, given = tx.browser("web:a"), browser_of("alice", "a")
        assert kept is not None
        assert kept == replace(given, signed_in=kept.signed_in)
        assert kept.signed_in.age_of(given.signed_in) == given.signed_in.age_of(kept.signed_in) == 0
        assert [one.credential for one in tx.browsers("alice")] == ["web:b", "web:a"]
        assert tx.owner(Credential("web", "a")) == "alice"
        assert tx.end_browsers("alice", "web:a") == 1
        assert tx.end_browsers("alice", "web:a") == 0
        assert tx.owner(Credential("web", "a")) is None
        assert [s.credential for s in tx.sessions("alice")] == ["web:b", key.credential]
        assert tx.link(b"l" * 32) is not None
        assert tx.end_browsers("alice") == 1
        assert tx.link(b"l" * 32) is None
        assert tx.sessions("alice") == [key]


def test_everybodys_browsers_end_at_once(bench: Bench) -> None:
    """As after a restore: nobody is signed in, nothing signs in, and the sessions of keys stay."""
    with bench.desk.store.writing() as tx:
        tx.add_user("bob", NOW)
        for user in ("alice", "bob"):
            tx.add_browser(browser_of(user, user))
            tx.put_session(user, ("key", f"web:{user}", ""), Moment(NOW), "totp")
            tx.put_link(user.encode(), SignInLink(user, "sign-in", "k", NOW + 300))
        assert [one.user for one in tx.all_browsers()] == ["alice", "bob"]
        assert tx.end_all_browsers() == 2
        assert tx.all_browsers() == []
        assert tx.sessions() == []
        assert tx.link(b"bob") is None


def test_a_link_is_taken_once(bench: Bench) -> None:
    """Looking at one uses nothing up; taking it does; those that expired are
    forgotten, and all of one key at once.
    """
    with bench.desk.store.writing() as tx:
        for number in range(4):
            tx.put_link(bytes([number]), SignInLink("alice", "sign-in", "k", NOW + number))
        assert tx.forget_links(NOW) == 1
        assert tx.link(bytes([0])) is None
        assert [one.expires_at for one in tx.links("alice", "k")] == [NOW + 1, NOW + 2, NOW + 3]
        tx.put_link(b"other", SignInLink("alice", "sign-in", "k2", NOW + 9))
        assert tx.links("alice", "k2") == [tx.link(b"other")]
        assert tx.link(bytes([3])) == tx.link(bytes([3]))
        assert tx.take_link(bytes([3])) == SignInLink("alice", "sign-in", "k", NOW + 3)
        assert tx.take_link(bytes([3])) is None
        assert tx.forget_links(0, "alice", "k") == 2
        assert tx.link(b"other") is not None


def test_people_and_repositories_come_a_page_at_a_time(bench: Bench) -> None:
    """By name from behind the last one on; removed users are nobody; what LIKE
    would read counts as itself.
    """
    with bench.desk.store.writing() as tx:
        for name in ("bob", "carol", "x_y", "xzy"):
            tx.add_user(name, NOW)
        tx.set_user_state("carol", "removed")
        for name in ("a/one", "a/two", "b%c"):
            tx.add_repository(Repository(name, f"/srv/{name}.git", "none", None, NOW))
        assert [u.name for u in tx.find_users("", "", 2)] == ["alice", "bob"]
        assert [u.name for u in tx.find_users("", "bob", 9)] == ["x_y", "xzy"]
        assert [u.name for u in tx.find_users("x_", "", 9)] == ["x_y"]
        assert [u.name for u in tx.find_users("", "", 9, enrolled=True)] == ["alice"]
        assert [u.name for u in tx.find_users("", "", 9, enrolled=False)] == ["bob", "x_y", "xzy"]
        assert tx.count_users() == (4, 1)
        assert [r.name for r in tx.find_repositories("a/", "a/one", 9)] == ["a/two"]
        assert [r.name for r in tx.find_repositories("%", "", 9)] == ["b%c"]


def test_sessions_and_records_come_newest_first(bench: Bench) -> None:
    """A page at a time; records about one user are looked for among the latest ones."""
    with bench.desk.store.writing() as tx:
        tx.add_user("bob", NOW)
        for number, user in enumerate(("alice", "bob", "alice")):
            tx.put_session(user, ("key", f"k{number}", ""), Moment(NOW + number), "totp")
            tx.record("probe", NOW, "test", user=user, number=number)
        assert [s.credential for s in tx.newest_sessions(0, 2)] == ["k2", "k1"]
        assert [s.credential for s in tx.newest_sessions(2, 2)] == ["k0"]
        last = list(tx.audit())[-1].seq
        assert [r.seq for r in tx.newest_audit(None, 2)] == [last, last - 1]
        assert [r.seq for r in tx.newest_audit(last, 1)] == [last - 1]
        assert [r.record["number"] for r in tx.newest_audit(None, 2, "alice")] == [2, 0]
        assert [r.record["number"] for r in tx.newest_audit(None, 9, "bob", within=1)] == []


def test_search_knows_no_capitals_and_order_is_by_bytes(bench: Bench) -> None:
    """MUST 6: one rule for every database: a to z alone, `_` and `%` as themselves, capitals before small."""
    names = ["Team/App", "team/app", "team-app", "team_app", "zeta", "ämter", "Ämter"]
    with bench.desk.store.writing() as tx:
        for name in names:
            tx.add_repository(Repository(name, f"/srv/{name}", "none", None, NOW))
    with bench.desk.store.reading() as tx:
        assert [one.name for one in tx.repositories()] == sorted(names)
        assert [one.name for one in tx.find_repositories("TEAM", "", 9)] == sorted(names)[:4]
        assert [one.name for one in tx.find_repositories("m_a", "", 9)] == ["team_app"]
        assert [one.name for one in tx.find_repositories("ä", "", 9)] == ["ämter"]


def test_a_fault_that_was_caught_takes_the_block_back(bench: Bench) -> None:
    """MUST 5: whoever swallows a driver's fault and goes on has changed nothing, and hears of it."""
    heard: list[object] = []
    bench.desk.store.heard = heard.append
    with refused(), bench.desk.store.writing() as tx:
        tx.add_user("bob", NOW)
        tx.record("user-added", NOW, "test", user="bob")
        with contextlib.suppress(Exception):
            tx.add_user("bob", NOW)
        with contextlib.suppress(Exception):
            tx.add_user("carol", NOW)
    with bench.desk.store.reading() as tx:
        assert tx.user("bob") is None
        assert tx.user("carol") is None
    assert heard == []
    with bench.desk.store.writing() as tx:
        tx.add_user("dave", NOW)


@pytest.mark.parametrize("at", [1.5, 2.0])
def test_no_number_is_rounded(bench: Bench, at: float) -> None:
    """MUST 6: one database refuses a fraction, another cuts it without a word; the store refuses it."""
    with refused(), bench.desk.store.writing() as tx:
        tx.add_user("bob", at)  # type: ignore[arg-type]


def test_no_text_has_a_nul(bench: Bench) -> None:
    """MUST 6: one database would keep it, and another could not take the copy."""
    with refused(), bench.desk.store.writing() as tx:
        tx.add_user("bo\0b", NOW)
    with bench.desk.store.writing() as tx:
        tx.record("probe", NOW, "test", what="a\0b")  # in a record's JSON it has a spelling
    with bench.desk.store.reading() as tx:
        assert tx.newest_audit(None, 1)[0].record["what"] == "a\0b"


def test_numbers_are_kept_whole(bench: Bench) -> None:
    """Bytes of every value, and the largest numbers, come back as they went in; larger ones are refused."""
    with bench.desk.store.writing() as tx:
        tx.put_invite("alice", bytes(range(256)), (1 << 63) - 1)
    with bench.desk.store.reading() as tx:
        assert tx.invite("alice") == (bytes(range(256)), (1 << 63) - 1)
    with refused(), bench.desk.store.writing() as tx:
        tx.put_invite("alice", b"", 1 << 63)
    with refused(), bench.desk.store.writing() as tx:
        tx.put_invite("\ud800", b"", 1)
