"""Keys: what the server's admin adds, adopts, limits and removes, and what people do to
their own; the key file follows.

MUST: one's own needs a code given for it, never a key alone. A new key of one's own is limited
as the key that adds it: its `from` and its program behind the gate come along, so nobody widens
by it what the admin narrowed.
"""

from __future__ import annotations

from msgspec import Struct

from gitguard.action import steps
from gitguard.action.effects import Effects, take_effect
from gitguard.action.installation import Installation
from gitguard.action.revocation import Selection
from gitguard.factor.attempt import Proof, TypedCode
from gitguard.factor.changes import note_change
from gitguard.factor.person import Person, record
from gitguard.factor.proof import Lasting, prove
from gitguard.host import key_file
from gitguard.host.key_file import ForeignLine
from gitguard.host.key_options import NewKey, understand
from gitguard.identity.public_key import PublicKey, parse_public_key
from gitguard.machine.whereabouts import resolved
from gitguard.message.reasons import Refusal, readable
from gitguard.session.moment import Moment
from gitguard.store.contract import Reading, Writing
from gitguard.store.rows import Key

MOST_KEYS = 20  # of one user who adds them alone; the server's admin may add more
UNNAMED = "USER"  # what a map says where the comment of a key gives no name away


class KeyMapLine(Struct, frozen=True):
    """One line of a map: which key becomes whose, and where the map says so."""

    fingerprint: str
    user: str
    number: int


class AdoptedKey(Struct, frozen=True):
    """A foreign line taken over: the key as it is stored, and what of its options was kept."""

    key: Key
    kept: str


class KeyAdoption(Struct, frozen=True):
    """What adopting a map comes to. `faults`: every reason why nothing may be changed, in words."""

    taken: tuple[AdoptedKey, ...]
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


def check_not_foreign(installation: Installation, keys: list[PublicKey]) -> None:
    """Raises Refusal("usage") if a key stands ungated in a file that sshd reads: that line would win."""
    by_blob = {key.blob: key.fingerprint for key in keys}
    for path in installation.key_files if keys else ():
        for blob in key_file.carried(path, list(by_blob)):
            raise Refusal(
                "usage",
                text=f"{by_blob[blob]} stands ungated in {path}, where sshd would let it past gitguard",
                hint="take it over with: gitguard admin key adopt MAP",
            )


def add(
    installation: Installation,
    user: str,
    keys: list[NewKey],
    moment: Moment,
    actor: str,
    *,
    of_many: bool = False,
) -> tuple[list[Key], Effects]:
    """Give a user `keys`: (those that are new, what followed). Raises Refusal.

    `of_many`: the caller has asked `check_not_foreign`, and MUST `take_effect`
    with `keys` once all are added.
    """
    if not of_many:
        check_not_foreign(installation, [new.key for new in keys])
    with installation.store.writing() as tx:
        rows = [key_row(user, new, moment.at) for new in keys]
        added = [row for row in rows if steps.add_key(tx, row, moment.at, actor)]
    return added, Effects() if of_many else take_effect(installation, moment, keys=True)


def remove(
    installation: Installation, fingerprint: str, moment: Moment, actor: str, reason: str
) -> tuple[Key, Effects]:
    """Take a key away, with its sessions and transfers: (the key, what followed). Raises Refusal."""
    with installation.store.reading() as tx:
        stored = tx.key(fingerprint) is not None
    for line in [] if stored else foreign(installation):
        if line.fingerprint == fingerprint:
            raise Refusal(
                "usage",
                text=f"{fingerprint} is nobody's key here; it stands ungated in {line.path}, line {line.number}",
                hint="take that line out by hand, or take it over with: gitguard admin key adopt MAP",
            )
    with installation.store.writing() as tx:
        gone = steps.remove_key(tx, fingerprint, moment.at, actor, reason)
    return gone, take_effect(installation, moment, Selection(keys=frozenset({fingerprint})), keys=True)


def limit(installation: Installation, old: Key, new: NewKey, moment: Moment, actor: str) -> Effects:
    """Limit a key of someone's again, in one transaction; its sessions and transfers end. Raises Refusal."""
    with installation.store.writing() as tx:
        steps.remove_key(tx, old.fingerprint, moment.at, actor, "limited anew")
        steps.add_key(tx, key_row(old.user, new, moment.at), moment.at, actor)
    return take_effect(installation, moment, Selection(keys=frozenset({old.fingerprint})), keys=True)


def foreign(installation: Installation) -> list[ForeignLine]:
    """Every key line that sshd may read and gitguard did not write."""
    return [line for path in installation.key_files for line in key_file.foreign_lines(path)]


def plan(
    installation: Installation,
    wanted: list[KeyMapLine],
    moment: Moment,
    *,
    behind: tuple[str, ...] = (),
    add_users: bool = False,
) -> KeyAdoption:
    """What adopting the lines in `wanted` would do. `behind`: the program for lines without their own."""
    by_key: dict[str, list[ForeignLine]] = {}
    lines = foreign(installation)
    for line in lines:
        by_key.setdefault(line.fingerprint, []).append(line)
    gate, managed = installation.places.gate, installation.key_file
    taken: list[AdoptedKey] = []
    faults: list[str] = []
    with installation.store.reading() as tx:
        for want in wanted:
            found = by_key.get(want.fingerprint, [])
            fault = _fault_of_line(tx, want, found, add_users=add_users)
            answer = fault or _taken(found, want.user, gate, moment.at, behind, managed)
            if isinstance(answer, AdoptedKey):
                taken.append(answer)
                answer = _fault_of_limits(tx, answer.key)
            if answer:
                faults.append(f"line {want.number} of the map: {want.fingerprint}{answer}")
        named = {want.fingerprint for want in wanted}
        users = dict.fromkeys(want.user for want in wanted)
        new_users = tuple(name for name in users if add_users and name != UNNAMED and tx.user(name) is None)
    left = tuple(line for line in lines if line.fingerprint not in named)
    return KeyAdoption(tuple(taken), new_users, left, tuple(faults))


def _fault_of_line(tx: Reading, want: KeyMapLine, found: list[ForeignLine], *, add_users: bool) -> str:
    """Why the map's line cannot be followed, whatever the key's own lines say; "" if it can. It
    goes on behind the fingerprint.
    """
    there = tx.key(want.fingerprint)
    if not found:
        where = f" is gated already, as a key of {there.user}" if there is not None else ""
        return where or " stands in no key file as a line of its own"
    if want.user == UNNAMED:
        return f" has no name yet: put the user's in the place of {UNNAMED}"
    user = tx.user(want.user)
    if user is None and add_users:
        if fault := steps.name_fault(want.user):
            return f": {fault}"
    elif user is None:
        return f": the user {readable(want.user, 64)} is not known (--add-users adds them)"
    elif user.state == "removed":
        return f": the user {readable(want.user, 64)} was removed; the name stays reserved"
    if there is not None and there.user != want.user:
        return f" belongs to {there.user} already; a key can belong to one user only"
    return ""


def _fault_of_limits(tx: Reading, key: Key) -> str:
    """Why the key's lines cannot stand beside what is stored of it, "" if they can."""
    there = tx.key(key.fingerprint)
    if there is None or there.limited_by == key.limited_by:
        return ""
    undo = f"gitguard admin key remove {key.fingerprint}"
    return f" is stored already with other limits or another program; remove it first: {undo}"


def _taken(
    found: list[ForeignLine], user: str, gate: str, at: int, behind: tuple[str, ...], managed: str
) -> AdoptedKey | str:
    """The key of these lines, all of one fingerprint, as it would be stored; what is said behind the
    fingerprint where it cannot be.
    """
    first = found[0]
    paths = [line.path for line in found]
    ours, *real = resolved([managed, *paths])
    elsewhere = [path for path, one in zip(paths, real, strict=True) if one != ours]
    if elsewhere:
        return (
            f": it stands in {elsewhere[0]}, which gitguard does not write; move the line to {managed} first"
        )
    where = f"{first.path}, line {first.number}"
    if any(understand(line.options, gate) != understand(first.options, gate) for line in found[1:]):
        return f": it stands in several lines with different options ({where}, and more); leave one of them"
    options = understand(first.options, gate)
    if options.fault:
        return f": {where}: {options.fault}; nothing of it may get lost, so mend the line first"
    try:
        key = parse_public_key(f"{first.type} {first.blob} {first.comment}")
    except Refusal as refusal:
        return f": {where}: {refusal.text}"
    program = options.behind or tuple(word.replace("{user}", user) for word in behind)
    new = NewKey(key, options.limits, options.verify_required, program)
    return AdoptedKey(key_row(user, new, at), options.kept)


def adopt(
    installation: Installation, plan: KeyAdoption, wanted: list[KeyMapLine], moment: Moment, actor: str
) -> tuple[dict[str, str], Effects]:
    """Carry out a plan without faults: (invites of new users by name, what followed). Raises Refusal."""
    invites = {}
    with installation.store.writing() as tx:
        for name in plan.new_users:
            steps.add_user(tx, name, moment.at, actor)
            invites[name] = steps.new_invite(tx, installation.keyring, name, moment.at, actor)
        for taken in plan.taken:
            steps.add_key(tx, taken.key, moment.at, actor)
    without = frozenset(want.fingerprint for want in wanted)
    return invites, take_effect(installation, moment, keys=True, without=without)


# -- one's own ------------------------------------------------------------------------------------


def check_own_allowed(installation: Installation) -> None:
    """Raises Refusal("forbidden") unless people here may change their own keys at this moment."""
    if not installation.renewed().settings.account.allow_keys:
        text = "this server does not let people change their own keys; ask your server admin"
        raise Refusal("forbidden", text=text)


def add_own(
    installation: Installation, person: Person, key: PublicKey, typed: bytes, moment: Moment
) -> tuple[Key, Effects]:
    """Add `key` to the person's own, for a code: (as it is stored, what followed). Raises Refusal.

    Whose key it is otherwise is nobody else's business, and that it is in use is said after the code.
    """
    foreign = any(key_file.carried(path, [key.blob]) for path in installation.key_files)

    def change(tx: Writing, _: Proof) -> Key | Refusal:
        check_own_allowed(installation)
        there = tx.key(key.fingerprint)
        if there is not None and there.user == person.user:
            raise Refusal("usage", text=f"{key.fingerprint} is a key of yours already")
        if there is not None or foreign:
            # Returned, not raised: the code is used up by the answer, which tells something of others.
            record(tx, "key-refused", person, moment, refused=key.fingerprint)
            text = f"{key.fingerprint} is in use on this server already; ask your server admin"
            return Refusal("usage", text=text)
        if len(tx.keys(person.user)) >= MOST_KEYS:
            text = f"you have {MOST_KEYS} keys; remove one first, or ask your server admin"
            raise Refusal("usage", text=text)
        row = _limited_like(tx.key(person.credential.text), key, person.user, moment)
        steps.add_key(tx, row, moment.at, person.user)
        note_change(tx, "key-added", person, moment, row.fingerprint)
        return row

    added = prove(installation, person, TypedCode(typed), moment, change, Lasting.YES)
    if isinstance(added, Refusal):
        raise added
    return added, take_effect(installation, moment, keys=True)


def _limited_like(present: Key | None, key: PublicKey, user: str, moment: Moment) -> Key:
    if present is None:
        raise Refusal("no-identity")
    if present.verify_required and not key.is_hardware:
        text = "the key that you use requires user verification at each login, and the new one is not a hardware key"
        raise Refusal("forbidden", text=text, hint="ask your server admin to add it")
    new = NewKey(key, present.limits, present.verify_required, present.behind)
    return key_row(user, new, moment.at)


def remove_own(
    installation: Installation, person: Person, fingerprint: str, typed: bytes, moment: Moment
) -> tuple[Key, Effects]:
    """Take one of the person's own keys away, with its sessions and transfers, for a code. Raises Refusal."""

    def change(tx: Writing, _: Proof) -> Key:
        check_own_allowed(installation)
        check_own(tx.keys(person.user), fingerprint)
        note_change(tx, "key-removed", person, moment, fingerprint)
        return steps.remove_key(tx, fingerprint, moment.at, person.user)

    gone = prove(installation, person, TypedCode(typed), moment, change, Lasting.YES)
    return gone, take_effect(installation, moment, Selection(keys=frozenset({fingerprint})), keys=True)


def check_own(keys: list[Key], fingerprint: str) -> None:
    """Raises Refusal("usage") unless `fingerprint` is one of `keys`, and not the last of them."""
    if fingerprint not in [key.fingerprint for key in keys]:
        raise Refusal("usage", text=f"{fingerprint} is not one of your keys", list_with="keys")
    if len(keys) == 1:
        raise Refusal(
            "usage",
            text="that is your last key, and without one you cannot come back; add another first",
            hint="if it is stolen, ask your server admin",
        )
