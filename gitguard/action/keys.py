"""What the server's admin does to keys: add, adopt, remove; and the key file that follows."""

from __future__ import annotations

import os

from msgspec import Struct

from gitguard.account.public_key import PublicKey, parse_public_key
from gitguard.action import users
from gitguard.action.follow import Followed, follow
from gitguard.action.judge_again import Whose
from gitguard.action.site import Site
from gitguard.host import key_file
from gitguard.host.key_file import ForeignLine
from gitguard.host.key_options import NewKey, understand
from gitguard.message.reasons import Refusal, readable
from gitguard.session.moment import Moment
from gitguard.store.rows import Key

UNNAMED = "USER"  # what a map says where the comment of a key gives no name away


class Wanted(Struct, frozen=True):
    """One line of a map: which key becomes whose, and where the map says so."""

    fingerprint: str
    user: str
    number: int


class Taken(Struct, frozen=True):
    """A foreign line taken over: the key as it is stored, and what of its options was kept."""

    key: Key
    kept: str


class Plan(Struct, frozen=True):
    """What adopting a map comes to. `faults`: every reason why nothing may be changed, in words."""

    taken: tuple[Taken, ...]
    new_users: tuple[str, ...]
    left: tuple[ForeignLine, ...]
    faults: tuple[str, ...]


def key_row(user: str, new: NewKey, at: int) -> Key:
    """`new` as the store keeps it for `user`."""
    key = new.key
    return Key(
        key.fingerprint,
        user,
        key.type,
        key.blob,
        key.comment,
        new.verify_required,
        at,
        new.limits,
        new.behind,
    )


def check_not_foreign(site: Site, keys: list[PublicKey]) -> None:
    """Raises Refusal("usage") if a key stands ungated in a file that sshd reads: that line would win."""
    by_blob = {key.blob: key.fingerprint for key in keys}
    for path in site.key_files if keys else ():
        for blob in key_file.carried(path, by_blob):
            raise Refusal(
                "usage",
                text=f"{by_blob[blob]} stands ungated in {path}, where sshd would let it past gitguard",
                hint="take it over with: gitguard admin key adopt MAP",
            )


def add(
    site: Site, user: str, keys: list[NewKey], moment: Moment, actor: str, *, of_many: bool = False
) -> tuple[list[Key], Followed]:
    """Give a user `keys`: (those that are new, what followed). Raises Refusal.

    `of_many`: the caller has asked `check_not_foreign`, and MUST `follow` with `keys` once all are added.
    """
    if not of_many:
        check_not_foreign(site, [new.key for new in keys])
    with site.store.writing() as tx:
        rows = [key_row(user, new, moment.at) for new in keys]
        added = [row for row in rows if users.add_key(tx, row, moment.at, actor)]
    return added, Followed() if of_many else follow(site, moment, keys=True)


def remove(site: Site, fingerprint: str, moment: Moment, actor: str, reason: str) -> tuple[Key, Followed]:
    """Take a key away, with its sessions and transfers: (the key, what followed). Raises Refusal."""
    with site.store.reading() as tx:
        stored = tx.key(fingerprint) is not None
    for line in [] if stored else foreign(site):
        if line.fingerprint == fingerprint:
            raise Refusal(
                "usage",
                text=f"{fingerprint} is nobody's key here; it stands ungated in {line.path}, line {line.number}",
                hint="take that line out by hand, or take it over with: gitguard admin key adopt MAP",
            )
    with site.store.writing() as tx:
        gone = users.remove_key(tx, fingerprint, moment.at, actor, reason)
    return gone, follow(site, moment, Whose(keys=frozenset({fingerprint})), keys=True)


def limit(site: Site, old: Key, new: NewKey, moment: Moment, actor: str) -> Followed:
    """Limit a key of somebody's anew, in one transaction; its sessions and transfers end. Raises Refusal."""
    with site.store.writing() as tx:
        users.remove_key(tx, old.fingerprint, moment.at, actor, "limited anew")
        users.add_key(tx, key_row(old.user, new, moment.at), moment.at, actor)
    return follow(site, moment, Whose(keys=frozenset({old.fingerprint})), keys=True)


def foreign(site: Site) -> list[ForeignLine]:
    """Every key line that sshd may read and gitguard did not write."""
    return [line for path in site.key_files for line in key_file.foreign_lines(path)]


def plan(
    site: Site, wanted: list[Wanted], moment: Moment, *, behind: tuple[str, ...] = (), add_users: bool = False
) -> Plan:
    """What adopting the foreign lines that `wanted` names would do. `behind`: the program for lines without their own."""
    by_key: dict[str, list[ForeignLine]] = {}
    lines = foreign(site)
    for line in lines:
        by_key.setdefault(line.fingerprint, []).append(line)
    taken, faults, new_users = [], [], []
    with site.store.reading() as tx:
        for want in wanted:
            about = f"line {want.number} of the map: {want.fingerprint}"
            found = by_key.get(want.fingerprint)
            if not found:
                there = tx.key(want.fingerprint)
                faults.append(
                    f"{about} is gated already, as a key of {there.user}"
                    if there is not None
                    else f"{about} stands in no key file as a line of its own"
                )
                continue
            user = tx.user(want.user)
            if want.user == UNNAMED:
                faults.append(f"{about} has no name yet: put the user's in the place of {UNNAMED}")
                continue
            if user is None and add_users:
                if fault := users.name_fault(want.user):
                    faults.append(f"{about}: {fault}")
                    continue
                if want.user not in new_users:
                    new_users.append(want.user)
            elif user is None or user.state == "removed":
                why = "was removed; the name stays reserved" if user is not None else "is not known"
                faults.append(
                    f"{about}: the user {readable(want.user, 64)} {why}"
                    + ("" if user else " (--add-users adds them)")
                )
                continue
            there = tx.key(want.fingerprint)
            if there is not None and there.user != want.user:
                faults.append(f"{about} belongs to {there.user} already; a key can belong to one user only")
                continue
            answer = _taken(found, want.user, site.places.gate, moment.at, behind, site.key_file)
            if isinstance(answer, str):
                faults.append(f"{about}: {answer}")
            elif there is not None and there.limited_by != answer.key.limited_by:
                faults.append(
                    f"{about} is stored already with other limits or another program; remove it first: gitguard admin key remove {want.fingerprint}"
                )
            else:
                taken.append(answer)
    named = {want.fingerprint for want in wanted}
    left = tuple(line for line in lines if line.fingerprint not in named)
    return Plan(tuple(taken), tuple(new_users), left, tuple(faults))


def _taken(
    found: list[ForeignLine], user: str, gate: str, at: int, behind: tuple[str, ...], managed: str
) -> Taken | str:
    """The key of these lines, all of one fingerprint, as it would be stored; a sentence where it cannot be."""
    first = found[0]
    elsewhere = [line.path for line in found if os.path.realpath(line.path) != os.path.realpath(managed)]
    if elsewhere:
        return f"it stands in {elsewhere[0]}, which gitguard does not write; move the line to {managed} first"
    where = f"{first.path}, line {first.number}"
    if any(understand(line.options, gate) != understand(first.options, gate) for line in found[1:]):
        return f"it stands in several lines with different options ({where}, and more); leave one of them"
    options = understand(first.options, gate)
    if options.fault:
        return f"{where}: {options.fault}; nothing of it may get lost, so mend the line first"
    try:
        key = parse_public_key(f"{first.type} {first.blob} {first.comment}")
    except Refusal as refusal:
        return f"{where}: {refusal.text}"
    program = options.behind or tuple(word.replace("{user}", user) for word in behind)
    new = NewKey(key, options.limits, options.verify_required, program)
    return Taken(key_row(user, new, at), options.kept)


def adopt(
    site: Site, plan: Plan, wanted: list[Wanted], moment: Moment, actor: str
) -> tuple[dict[str, str], Followed]:
    """Carry out a plan without faults: (invites of new users by name, what followed). Raises Refusal."""
    invites = {}
    with site.store.writing() as tx:
        for name in plan.new_users:
            users.add(tx, name, moment.at, actor)
            invites[name] = users.new_invite(tx, site.desk.keyring, name, moment.at, actor)
        for taken in plan.taken:
            users.add_key(tx, taken.key, moment.at, actor)
    without = frozenset(want.fingerprint for want in wanted)
    return invites, follow(site, moment, keys=True, without=without)
