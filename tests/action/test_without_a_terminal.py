"""Every action does its work, and what must follow it, with nobody at a terminal: a
page and an agent call the same.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from gitguard.action import (
    apply,
    attention,
    break_glass,
    browsers,
    exemptions,
    explaining,
    importing,
    keys,
    moving,
    replay,
    repositories,
    requests,
    restore,
    roster,
    second_factor,
    sessions,
    statistics,
    tally,
    toggles,
    uninstall,
    upkeep,
    users,
)
from gitguard.action.desired_state import DesiredState
from gitguard.action.effects import write_keys
from gitguard.action.sessions import Which
from gitguard.config.types import StoreUrl
from gitguard.factor.enrolment import EnrolmentAuthorization
from gitguard.factor.person import Person
from gitguard.host.key_options import NewKey
from gitguard.identity.public_key import PublicKey
from gitguard.importers.imported import ImportedList, ImportedPerson
from gitguard.repository import registry
from gitguard.session.moment import Moment
from gitguard.session.pending import note
from gitguard.session.request_notes import Notes
from gitguard.store.rows import BreakGlass
from tests.house import ACTOR, House

ROOT = Path(__file__).resolve().parents[2]


def _begin_enrolment(h: House) -> object:
    person, token = h.invited()
    return second_factor.begin_enrolment(h.site, person, token.encode(), h.moment).uri


def _leave(h: House) -> object:
    person, _ = h.enrolled()
    return second_factor.leave(h.site, person, h.moment, None, everywhere=True).sessions


def _codes(h: House) -> object:
    person, code = h.enrolled()
    typed = code()
    return second_factor.replace_recovery_codes(h.site, person, typed, h.moment)


def _always(h: House) -> object:
    person, _ = h.enrolled()
    return second_factor.always(h.site, person, h.moment, None, on=True)[0]


def _remove_factor(h: House) -> object:
    person, code = h.enrolled()
    typed = code()
    return second_factor.remove(h.site, person, typed, h.moment).sessions


def _add_key(h: House) -> object:
    person, _ = h.invited()
    return keys.add(h.site, person.user, [NewKey(h.key())], h.moment, ACTOR)[0]


def _remove_key(h: House) -> object:
    person, _ = h.invited()
    return keys.remove(h.site, person.credential.text, h.moment, ACTOR, "lost")[0]


def _foreign_line(h: House) -> keys.KeyMapLine:
    key = h.key()
    with open(h.site.key_file, "a", encoding="ascii") as file:
        file.write(f"{key.type} {key.blob} old\n")
    return keys.KeyMapLine(key.fingerprint, f"person{h.count}", 1)


def _check_not_foreign(h: House) -> object:
    keys.check_not_foreign(h.site, [h.key()])
    return True


def _plan(h: House) -> object:
    return keys.plan(h.site, [_foreign_line(h)], h.moment, add_users=True).new_users


def _adopt_keys(h: House) -> object:
    wanted = [_foreign_line(h)]
    plan = keys.plan(h.site, wanted, h.moment, add_users=True)
    return keys.adopt(h.site, plan, wanted, h.moment, ACTOR)


def _suspend(h: House) -> object:
    return users.set_state(h.site, h.enrolled()[0].user, "suspended", h.moment, ACTOR, "left").changed


def _restore_person(h: House) -> object:
    person, _ = h.invited()
    users.remove(h.site, person.user, h.moment, ACTOR, "left")
    return users.restore(h.site, person.user, h.moment, ACTOR, "back").token


def _forget(h: House) -> object:
    return repositories.forget(h.site, h.repository(), h.moment, ACTOR)[0]


def _on_disk(h: House) -> registry.Found:
    name = h.repository()
    repositories.forget(h.site, name, h.moment, ACTOR)
    return registry.locate(h.site.settings, name)


def _adopt(h: House) -> object:
    return repositories.adopt(h.site, _on_disk(h), repositories.live_hook(h.site), h.moment, ACTOR).steps


def _would_adopt(h: House) -> object:
    return repositories.would_adopt(h.site, _on_disk(h), repositories.live_hook(h.site), set()).steps


def _renew(h: House) -> object:
    directory = h.server.directory(h.repository())
    (directory / "hooks" / "pre-receive").unlink()
    return repositories.renew_hooks(h.site, h.moment, ACTOR)[0]


def _open_session(h: House) -> object:
    person, _ = h.enrolled()
    return sessions.open_one(
        h.site, person.user, 60, person.credential.text, person.address, h.moment, ACTOR, "phone lost"
    )


def _link(h: House) -> object:
    person, _ = h.enrolled()
    return users.change_account(h.site, person.user, "add", "nobody", h.moment, ACTOR)


def _toggle(h: House) -> object:
    person, _ = h.enrolled()
    return toggles.set_require(h.site, person, h.repository(person), "push", h.moment, None)[0].after


def _toggle_lifetime(h: House) -> object:
    person, _ = h.enrolled()
    return toggles.set_lifetime(h.site, person, h.repository(person), "1h", h.moment, None)[0].after


def _change_admin(h: House) -> object:
    person, _ = h.enrolled()
    other, _ = h.invited()
    return toggles.change_admin(h.site, person, h.repository(person), "add", other.user, h.moment, None)[1]


def _maintenance(h: House) -> object:
    id_, sealed = break_glass.begin(h.site, ("true",), h.moment, ACTOR, "repair", os.getpid())
    ended = partial(break_glass.end, h.site, id_, ACTOR)
    assert break_glass.run(("true",), sealed, ended) == (0, "")
    return id_


def _left_open(h: House) -> object:
    with h.site.store.writing() as tx:
        tx.begin_break_glass(BreakGlass("0badcafe", ACTOR, 1 << 22, 1, h.moment.boot))
        tx.record("break-glass-begun", h.moment.at, ACTOR, decision="0badcafe")
    return break_glass.close_left_open(h.site, h.moment, ACTOR)


def _add_own_key(h: House) -> object:
    person, code = h.enrolled()
    return keys.add_own(h.site, person, h.key(), code(), h.moment)[0]


def _remove_own_key(h: House) -> object:
    person, code = h.enrolled()
    added, _ = keys.add_own(h.site, person, h.key(), code(), h.moment)
    return keys.remove_own(h.site, person, added.fingerprint, code(), h.moment)[0]


def _look_at_exemptions(h: House) -> object:
    exemptions.look(h.site, h.moment)
    return True


def _uninstall(h: House) -> object:
    done = uninstall.carry_out(h.site, h.moment, ACTOR, "moving")
    write_keys(h.site)
    return done


def _import_person(h: House) -> object:
    h.count += 1
    return importing.take(
        h.site, ImportedList((ImportedPerson(1, f"Person{h.count}@example.com"),), ()), h.moment, ACTOR
    ).changed


def _demand_both(h: House) -> object:
    toggles.demand_both(h.site, h.repository(), ("push", None), ("all", None), h.moment, ACTOR)
    return True


def _limit_key(h: House) -> object:
    person, _ = h.invited()
    with h.site.store.reading() as tx:
        (old,) = tx.keys(person.user)
    key = PublicKey(old.type, old.blob, old.comment)
    return keys.limit(h.site, old, NewKey(key, 'from="192.0.2.1"'), h.moment, ACTOR)


def _accept_chain(h: House) -> object:
    store = h.site.store
    store.head.write(1, b"\1" * 32)  # someone meddled with the head outside
    return upkeep.accept_chain(store, h.moment, ACTOR, "looked into")


def _a_read(h: House) -> dict[str, object]:
    person, _ = h.invited()
    return {
        "user": person.user, "operation": "read", "repository": h.repository(), "at": h.moment.at, "verdict": "allowed",
    }  # fmt: skip


def _restore_store(h: House) -> object:
    copy = h.server.folder / "copy"
    h.site.store.backup(str(copy))
    with copy.open("rb") as source:
        keeping = restore.Keeping(recovery_codes=True)
        return restore.restore(str(h.server.config), source, str(copy), h.moment, ACTOR, keeping).before


def _signed_in(h: House, person: Person) -> browsers.Visitor:
    token = browsers.new_link(h.site, person, h.moment)
    done = browsers.sign_in_by_link(h.site, token, person.address, h.moment)
    visitor = browsers.visitor_of(h.site, done.token, person.address, h.moment)
    assert visitor is not None
    return visitor


def _user_of_link(h: House) -> object:
    person, _ = h.invited()
    return browsers.user_of_link(h.site, browsers.new_link(h.site, person, h.moment), h.moment)


def _sign_in_by_login(h: House) -> object:
    person, _ = h.invited()
    return browsers.sign_in_by_login(h.site, f"{person.user}@example.com", "192.0.2.1", h.moment)


def _sign_out(h: House) -> object:
    visitor = _signed_in(h, h.invited()[0])
    return browsers.sign_out(h.site, visitor, visitor.browser.credential, h.moment)


def _sweep_browsers(h: House) -> object:
    browsers.sweep(h.site, h.moment)
    return True


def _refused(h: House, person: Person) -> str:
    state = str(h.site.settings.paths.state)
    asked = note(Notes(state), person, "app", "push", h.moment.at)
    assert asked is not None
    return asked.id


def _request(h: House) -> requests.ApprovalRequest:
    person, _ = h.invited()
    found = requests.request_of(h.site, person, _refused(h, person), h.moment)
    assert found is not None
    return found


def _approve(h: House) -> object:
    person, code = h.enrolled()
    typed, id_ = code(), _refused(h, person)
    return requests.approve(h.site, _signed_in(h, person).person, id_, "", typed, h.moment).session


def _deny(h: House) -> object:
    person, _ = h.enrolled()
    browser = _signed_in(h, person).person
    return requests.deny(h.site, browser, _refused(h, person), "", h.moment).sessions


def _shown(h: House) -> object:
    person, _ = h.invited()
    id_ = _refused(h, person)
    return [one.request.id for one in requests.shown(h.site, person, h.moment, verified=True)] == [id_]


def _copy_store(h: House) -> object:
    to = StoreUrl(f"sqlite:///{h.server.home}/state/copy.db")
    return moving.copy_store(str(h.server.config), to, "", lambda *_: None).rows


def _claim(h: House) -> object:
    wanted = _request(h)
    with h.site.store.writing() as tx:
        requests.claim(h.site, tx, wanted, h.moment)
    return True


def _went_on(h: House) -> object:
    return not requests.went_on(h.site, _request(h), h.moment)


def _session_for(h: House) -> object:
    person, _ = h.enrolled()
    wanted = requests.request_of(h.site, person, _refused(h, person), h.moment)
    assert wanted is not None
    with h.site.store.writing() as tx:
        return requests.session_for(h.site, tx, person, wanted, h.moment, "totp")


def _begin_again(h: House) -> object:
    person, _ = h.enrolled()
    with h.site.store.reading() as tx:
        factor = tx.totp_of(person.user)
    assert factor is not None
    return second_factor.begin_enrolment_again(
        h.site, person, EnrolmentAuthorization("factor", factor.enrolment.encode()), h.moment
    )


def _attention(h: House) -> object:
    _deny(h)
    return [one.kind for one in attention.attention(h.site, h.moment).concerns]


def _mark_seen(h: House) -> object:
    _deny(h)
    assert attention.mark_seen(h.site, h.newest, ACTOR, h.moment)
    return attention.attention(h.site, h.moment).concerns == ()


def _throttled(h: House) -> object:
    with h.site.store.reading() as tx:
        return statistics.throttled(h.site, tx, h.moment) == []


def _see(h: House) -> object:
    visitor = _signed_in(h, h.invited()[0])
    later = Moment(h.moment.at + 2 * browsers.SEEN_SECONDS, h.moment.boot, h.moment.boot_seconds)
    browsers.see(h.site, visitor, later)
    with h.site.store.reading() as tx:
        found = tx.browser(visitor.browser.credential)
    return found is not None and found.seen_at == later.at


# Action -> (how it is called, the event that it must leave in the trail; "" where it changes nothing).
CALLS: dict[str, tuple[Callable[[House], object], str]] = {
    "second_factor.begin_enrolment": (_begin_enrolment, "invite-issued"),
    "second_factor.begin_enrolment_again": (_begin_again, "enrolment-begun"),
    "attention.attention": (_attention, "request-denied"),
    "attention.mark_seen": (_mark_seen, "attention-seen"),
    "statistics.throttled": (_throttled, ""),
    "browsers.see": (_see, "signed-in"),
    "second_factor.confirm": (lambda h: h.enrolled(), "enrolled"),
    "second_factor.leave": (_leave, "session-left"),
    "second_factor.replace_recovery_codes": (_codes, "recovery-codes-replaced"),
    "second_factor.always": (_always, "always-on"),
    "second_factor.remove": (_remove_factor, "factor-removed"),
    "second_factor.closed_without_factor": (
        lambda h: second_factor.closed_without_factor(h.site, "alice", h.moment),
        "",
    ),
    "browsers.new_link": (_user_of_link, "sign-in-link"),
    "browsers.user_of_link": (_user_of_link, "sign-in-link"),
    "browsers.sign_in_by_link": (lambda h: _signed_in(h, h.invited()[0]), "signed-in"),
    "browsers.user_of_login": (lambda h: browsers.user_of_login(h.site, h.invited()[0].user), ""),
    "browsers.sign_in_by_login": (_sign_in_by_login, "signed-in"),
    "browsers.visitor_of": (lambda h: _signed_in(h, h.invited()[0]), "signed-in"),
    "browsers.sign_out": (_sign_out, "signed-out"),
    "browsers.sweep": (_sweep_browsers, ""),
    "requests.requests": (_shown, ""),
    "requests.shown": (_shown, ""),
    "requests.request_of": (_request, ""),
    "requests.session_for": (_session_for, "request-approved"),
    "requests.approve": (_approve, "request-approved"),
    "requests.deny": (_deny, "request-denied"),
    "requests.claim": (_claim, ""),
    "requests.went_on": (_went_on, ""),
    "explaining.answer": (
        lambda h: explaining.answer(
            h.site, explaining.Question(h.enrolled()[0].user, h.repository(), "push"), h.moment
        ),
        "",
    ),
    "tally.tally": (lambda h: tally.tally(h.site, h.moment).days, ""),
    "keys.add_own": (_add_own_key, "key-added"),
    "keys.remove_own": (_remove_own_key, "key-removed"),
    "keys.add": (_add_key, "key-added"),
    "keys.limit": (_limit_key, "key-added"),
    "keys.remove": (_remove_key, "key-removed"),
    "keys.check_not_foreign": (_check_not_foreign, ""),
    "keys.foreign": (lambda h: keys.foreign(h.site) is not None, ""),
    "keys.plan": (_plan, ""),
    "keys.adopt": (_adopt_keys, "key-added"),
    "users.add": (lambda h: h.invited(), "user-added"),
    "users.invite": (lambda h: users.invite(h.site, [h.invited()[0].user], h.moment, ACTOR), "invite-issued"),
    "users.not_enrolled": (lambda h: h.invited()[0].user in users.not_enrolled(h.site), ""),
    "users.active": (lambda h: h.invited()[0].user in users.active(h.site), ""),
    "users.set_state": (_suspend, "user-suspended"),
    "users.reset": (
        lambda h: users.reset(h.site, [h.enrolled()[0].user], h.moment, ACTOR, "new phone"),
        "factor-reset",
    ),
    "users.unthrottle": (
        lambda h: users.unthrottle(h.site, h.enrolled()[0].user, h.moment, ACTOR, "asked") == 0,
        "user-unthrottled",
    ),
    "users.emergency": (
        lambda h: users.emergency(h.site, h.enrolled()[0].user, h.moment, ACTOR, "stolen").done.changed,
        "emergency",
    ),
    "users.remove": (
        lambda h: users.remove(h.site, h.enrolled()[0].user, h.moment, ACTOR, "left"),
        "user-removed",
    ),
    "exemptions.look": (_look_at_exemptions, ""),
    "statistics.statistics": (lambda h: statistics.statistics(h.site, h.moment, 60, []), ""),
    "uninstall.plan": (lambda h: uninstall.plan(h.site), ""),
    "importing.take": (_import_person, "user-added"),
    "apply.plan": (lambda h: apply.plan(h.site, DesiredState(), h.moment, ACTOR), ""),
    "toggles.demand_both": (_demand_both, "toggle-set"),
    "roster.roster": (lambda h: roster.roster(h.site, h.moment, not_verified_since=0) is not None, ""),
    "users.restore": (_restore_person, "user-restored"),
    "repositories.create": (lambda h: h.repository(), "repository-adopted"),
    "repositories.live_hook": (lambda h: repositories.live_hook(h.site), ""),
    "repositories.adopt": (_adopt, "repository-adopted"),
    "repositories.would_adopt": (_would_adopt, "repository-forgotten"),
    "repositories.listing": (
        lambda h: h.repository() in {entry.row.name for entry in repositories.listing(h.site).known},
        "",
    ),
    "repositories.rename": (
        lambda h: repositories.rename(h.site, h.repository(), f"new{h.count}", h.moment, ACTOR),
        "repository-renamed",
    ),
    "repositories.forget": (_forget, "repository-forgotten"),
    "repositories.renew_hooks": (_renew, "hook-installed"),
    "users.change_account": (_link, "account-linked"),
    "sessions.open_one": (_open_session, "session-opened"),
    "sessions.revoke": (
        lambda h: sessions.revoke(h.site, Which(user=h.enrolled()[0].user), h.moment, ACTOR, "lost")[0],
        "session-revoked",
    ),
    "sessions.sweep": (lambda h: sessions.sweep(h.site, h.moment) == 0, ""),
    "toggles.set_require": (_toggle, "toggle-set"),
    "toggles.set_lifetime": (_toggle_lifetime, "toggle-set"),
    "toggles.change_admin": (_change_admin, "repository-admin-added"),
    "toggles.demand": (
        lambda h: toggles.demand(h.site, h.repository(), "all", h.moment, ACTOR),
        "toggle-set",
    ),
    "toggles.demand_lifetime": (
        lambda h: toggles.demand_lifetime(h.site, h.repository(), "1h", h.moment, ACTOR),
        "toggle-set",
    ),
    "toggles.appoint": (
        lambda h: toggles.appoint(h.site, h.repository(), "add", h.invited()[0].user, h.moment, ACTOR)[1],
        "repository-admin-added",
    ),
    "upkeep.rotate_key": (lambda h: upkeep.rotate_key(h.site, h.moment, ACTOR), "cipher-key-rotated"),
    "upkeep.accept_clock": (
        lambda h: upkeep.accept_clock(h.site, h.moment, ACTOR, "battery"),
        "clock-accepted",
    ),
    "upkeep.accept_chain": (_accept_chain, "audit-accepted"),
    "break_glass.begin": (_maintenance, "break-glass-begun"),
    "break_glass.end": (_maintenance, "break-glass-ended"),
    "break_glass.close_left_open": (_left_open, "break-glass-ended"),
    "replay.replay": (lambda h: replay.replay(h.site, h.site.settings, [_a_read(h)]).judged == 1, ""),
    "uninstall.carry_out": (_uninstall, "uninstalled"),
    "moving.copy_store": (_copy_store, ""),
    "moving.migrate": (lambda h: moving.migrate(str(h.server.config)) == [], ""),
    "restore.restore": (_restore_store, "store-restored"),
}

# What actions are made of, called by each of them.
PARTS = {
    "effects.take_effect", "revocation.end_stale", "revocation.look_path",
    "roster.entry_of", "installation.open_installation", "installation.settings_of", "installation.note_server", "keys.check_own_allowed",
    "past.accept_loss",  # of a database: tests/store/test_failover.py
    "repositories.lost", "trail.write_archive", "trail.move_out", "pruning.prune", "pruning.left_behind", "pruning.clear_away",  # of the sweep; test_pruning.py
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_an_action_needs_no_terminal(name: str, house: House, deaf: None) -> None:
    """It returns a value, and its record is in the trail, though nobody reads what might be printed."""
    call, event = CALLS[name]
    before = house.newest
    assert call(house)
    if event:
        assert event in house.events(before)


def test_the_key_file_follows_without_a_terminal(house: House, deaf: None) -> None:
    """A key that was added stands in the key file when the action returns; one that was removed does not."""
    person, _ = house.invited()
    with house.site.store.reading() as tx:
        (key,) = tx.keys(person.user)
    assert key.blob in Path(house.site.key_file).read_text()
    keys.remove(house.site, person.credential.text, house.moment, ACTOR, "lost")
    assert key.blob not in Path(house.site.key_file).read_text()
    assert not write_keys(house.site), "and there is nothing left to write"


def _parsed(folder: str) -> list[tuple[str, ast.Module]]:
    files = sorted((ROOT / "gitguard" / folder).rglob("*.py"))
    return [(path.stem, ast.parse(path.read_text())) for path in files]


def test_every_action_is_called_here() -> None:
    """Whatever takes an installation (or a configuration to open one by) and is public in action/ stands in
    CALLS: a new verb is called without a terminal too.
    """
    there = {
        f"{stem}.{node.name}"
        for stem, tree in _parsed("action")
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and not node.name.startswith("_")
        and node.args.args
        and (node.args.args[0].arg in ("installation", "config") or node.name == "accept_chain")
    }
    assert there - PARTS - {"effects.write_keys"} == set(CALLS)


def test_what_prints_changes_nothing() -> None:
    """No command line opens a transaction that writes, and none writes the trail:
    that is what action/ is for.
    """
    for stem, tree in [*_parsed("cli"), *_parsed("client"), *_parsed("doctor")]:
        called = {
            node.func.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        }
        assert not called & {"writing", "record"}, stem


def test_what_acts_prints_nothing() -> None:
    """action/ knows neither click nor the process's streams."""
    for stem, tree in _parsed("action"):
        words = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        imported = {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        assert not words & {"print", "input"}, stem
        assert not imported & {"click", "sys"}, stem


def test_what_a_person_would_lose_counts_what_is_borrowed(house: House) -> None:
    """A repository that borrows from one that requires is closed to anyone who has
    no factor, as the gate says.
    """
    lender, borrower = house.repository(), house.repository()
    directories = {name: str(house.server.directory(name)) for name in (lender, borrower)}
    alternates = Path(directories[borrower], "objects", "info", "alternates")
    alternates.write_text(f"{directories[lender]}/objects\n")
    found = registry.locate(house.site.settings, borrower)
    repositories.adopt(house.site, found, repositories.live_hook(house.site), house.moment, ACTOR)
    toggles.demand(house.site, lender, "all", house.moment, ACTOR)
    closed = second_factor.closed_without_factor(house.site, "alice", house.moment)
    assert borrower in closed["read"]
    assert borrower in closed["push"]
