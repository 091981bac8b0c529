"""Bringing the installation to what a file wants: the difference first, then each
step by the action that it is.

Nothing is taken away unless that is asked for (`prune`), and then only from users and
repositories that the file names.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator

from msgspec import Struct

from gitguard.action import keys, repositories, toggles, users
from gitguard.action.desired_state import Demand, DesiredRepository, DesiredState, DesiredUser
from gitguard.action.effects import Effects, take_effect
from gitguard.action.installation import Installation
from gitguard.action.keys import key_row
from gitguard.config.types import format_duration
from gitguard.host.key_options import NewKey
from gitguard.message.reasons import Refusal
from gitguard.repository import registry
from gitguard.session.moment import Moment
from gitguard.store.contract import Reading
from gitguard.store.rows import Key, Repository

REASON = "apply"


class ApplyStep(Struct, frozen=True):
    """One change, in words, and what does it."""

    what: str
    do: Callable[[], Effects]


class ApplyPlan(Struct, frozen=True):
    """The steps in their order, what the file does not name, and what it asks for that is not
    done unasked: both left alone.
    """

    steps: tuple[ApplyStep, ...]
    unnamed: tuple[str, ...]
    withheld: tuple[str, ...] = ()


class ApplyOptions(Struct, frozen=True):
    """What may be done beside adding: `prune` takes away what the file does not name, `resume`
    lets suspended users in again.
    """

    prune: bool = False
    resume: bool = False


def plan(
    installation: Installation,
    wanted: DesiredState,
    moment: Moment,
    actor: str,
    options: ApplyOptions = ApplyOptions(),
) -> ApplyPlan:
    """What would be done. Raises Refusal("usage") with every reason why it cannot be; then nothing was."""
    with installation.store.reading() as tx:
        faults = list(_faults(installation, tx, wanted))
        if faults:
            raise Refusal("usage", text="; ".join(faults), hint="nothing was changed")
        wanted_keys = [one.new.key for user in wanted.users for one in user.keys or ()]
        keys.check_not_foreign(installation, [key for key in wanted_keys if tx.key(key.fingerprint) is None])
        steps: list[ApplyStep] = []
        withheld: list[str] = []
        for user in wanted.users:
            steps += _user(installation, tx, user, moment, actor, options, withheld)
        for row in wanted.repositories:
            steps += _repository(installation, tx, row, moment, actor, prune=options.prune)
        named = {user.name for user in wanted.users}
        unnamed = [
            f"the user {user.name}"
            for user in tx.users()
            if user.state != "removed" and user.name not in named
        ]
        named = {row.name for row in wanted.repositories}
        unnamed += [f"the repository {row.name}" for row in tx.repositories() if row.name not in named]
    return ApplyPlan(tuple(steps), tuple(unnamed), tuple(withheld))


def carry_out(
    planned: ApplyPlan, installation: Installation, moment: Moment
) -> Iterator[tuple[ApplyStep, Effects]]:
    """Do each step, and say when it is done. Raises Refusal, and what was done by then stands: run it again.

    The key file follows once, at the end, also of a run that fails or has nothing to do: the one
    before may have been killed.
    """
    try:
        for step in planned.steps:
            yield step, step.do()
    finally:
        effects = take_effect(installation, moment, keys=True)
    yield ApplyStep("bring the key file in line", lambda: effects), effects


def _faults(installation: Installation, tx: Reading, wanted: DesiredState) -> Iterator[str]:
    """Why the file cannot be applied: a key of someone else's, an admin whom nobody knows."""
    owners: dict[str, str] = {}
    will_be = {user.name for user in wanted.users if user.state != "removed"}
    will_be |= {user.name for user in tx.users() if user.state != "removed"}
    for user in wanted.users:
        there = tx.user(user.name)
        if there is not None and there.state == "removed" and user.state != "removed":
            yield f"line {user.line}: {user.name} was removed; if they are back: gitguard admin user restore {user.name}"
        for wanted_key in user.keys or ():
            fingerprint = wanted_key.new.key.fingerprint
            owner = tx.key(fingerprint)
            whose = owners.setdefault(fingerprint, user.name if owner is None else owner.user)
            if whose != user.name:
                yield f"line {user.line}: {fingerprint} belongs to {whose}"
    for row in wanted.repositories:
        for admin in row.admins or ():
            if admin not in will_be:
                yield f"line {row.line}: {admin} is to be an admin of {row.name}, and is not known"
        for demand in (row.demand, row.floor):
            longest = installation.settings.session.lifetime
            if (
                demand is not None
                and demand.lifetime_seconds is not None
                and demand.lifetime_seconds > longest
            ):
                yield f"line {row.line}: a repository's lifetime may only be shorter than the server's, {format_duration(longest)}"


def _user(
    installation: Installation,
    tx: Reading,
    user: DesiredUser,
    moment: Moment,
    actor: str,
    options: ApplyOptions,
    withheld: list[str],
) -> Iterator[ApplyStep]:
    there, name = tx.user(user.name), user.name
    present_state = "active" if there is None else there.state
    if user.state == "removed":
        if there is not None and there.state != "removed" and not options.prune:
            withheld.append(f"{name} is to be removed, which takes --prune")
        elif there is not None and there.state != "removed":
            yield ApplyStep(
                f"remove the user {name}",
                lambda: users.remove(installation, name, moment, actor, REASON).effects,
            )
        return
    if there is None:
        yield ApplyStep(
            f"add the user {name}",
            lambda: users.add(installation, name, [], moment, actor, of_many=True).effects,
        )
    if user.state == "active" and present_state == "suspended" and not options.resume:
        withheld.append(f"{name} is suspended here, and active in the file: --resume lets them in again")
    elif user.state is not None and present_state != user.state:
        state, verb = user.state, "suspend" if user.state == "suspended" else "resume"
        yield ApplyStep(
            f"{verb} {name}",
            lambda: users.set_state(installation, name, state, moment, actor, REASON).effects,
        )
    if user.keys is None:
        return
    present = {key.fingerprint: key for key in tx.keys(name)}
    for one in user.keys:
        old = present.pop(one.new.key.fingerprint, None)
        if old is None:
            yield _add_key(installation, name, one.new, moment, actor)
        elif one.limited and old.limited_by != key_row(name, one.new, 0).limited_by:
            yield _limit_key(installation, old, one.new, moment, actor)
    for fingerprint in present if options.prune else ():
        yield _remove_key(installation, fingerprint, f"remove the key {fingerprint} of {name}", moment, actor)


def _limit_key(installation: Installation, old: Key, new: NewKey, moment: Moment, actor: str) -> ApplyStep:
    """A table in the file limits the key from now on; where it limits less than before, the step says so."""
    shown = shlex.join(new.behind)
    limits = [part for part in (new.limits, "verify-required" if new.verify_required else "", shown) if part]
    less = (
        (old.limits and not new.limits)
        or (old.behind and not new.behind)
        or (old.verify_required and not new.verify_required)
    )
    return ApplyStep(
        f"limit the key {old.fingerprint} of {old.user} by: {', '.join(limits) or 'nothing'}"
        + (" (WIDER than before)" if less else ""),
        lambda: keys.limit(installation, old, new, moment, actor),
    )


def _add_key(installation: Installation, name: str, new: NewKey, moment: Moment, actor: str) -> ApplyStep:
    return ApplyStep(
        f"add the key {new.key.fingerprint} to {name}",
        lambda: keys.add(installation, name, [new], moment, actor, of_many=True)[1],
    )


def _remove_key(
    installation: Installation, fingerprint: str, what: str, moment: Moment, actor: str
) -> ApplyStep:
    return ApplyStep(what, lambda: keys.remove(installation, fingerprint, moment, actor, REASON)[1])


def _repository(
    installation: Installation,
    tx: Reading,
    row: DesiredRepository,
    moment: Moment,
    actor: str,
    *,
    prune: bool,
) -> Iterator[ApplyStep]:
    there, name = tx.repository(row.name), row.name
    if there is None:
        yield _make(installation, name, moment, actor)
    now = there or Repository(name, "", "none", None, 0)
    if row.floor is not None and row.demand is not None:
        yield from _demand(installation, now, row.demand, row.floor, moment, actor)
    if row.admins is None:
        return
    present = set(tx.repository_admins(name)) if there is not None else set()
    for user in sorted(set(row.admins) - present):
        yield _appoint(installation, name, "add", user, moment, actor)
    for user in sorted(present - set(row.admins)) if prune else ():
        yield _appoint(installation, name, "remove", user, moment, actor)


def _make(installation: Installation, name: str, moment: Moment, actor: str) -> ApplyStep:
    """Create it, or adopt what lies there."""
    try:
        found = registry.locate(installation.settings, name)
    except Refusal as refusal:
        if refusal.reason != "no-such-repository":
            raise
    else:

        def adopt() -> Effects:
            repositories.adopt(
                installation, found, repositories.live_hook(installation), moment, actor
            ).check()
            return Effects()

        return ApplyStep(f"adopt the repository {name}", adopt)

    def create() -> Effects:
        repositories.create(installation, name, (), moment, actor)
        return Effects()

    return ApplyStep(f"create the repository {name}", create)


def _demand(
    installation: Installation, now: Repository, demand: Demand, floor: Demand, moment: Moment, actor: str
) -> Iterator[ApplyStep]:
    """The floor first, then what its own admins had tightened it to."""
    if (now.floor_require, now.floor_lifetime_seconds) != (floor.require, floor.lifetime_seconds) or (
        (now.require, now.lifetime_seconds) != (demand.require, demand.lifetime_seconds)
    ):
        words = f"require 2FA for {floor.require}" + _for(floor.lifetime_seconds)
        tightened = (
            "" if demand == floor else f", tightened to {demand.require}{_for(demand.lifetime_seconds)}"
        )
        yield ApplyStep(
            f"{now.name}: {words}{tightened}",
            lambda: toggles.demand_both(
                installation,
                now.name,
                (floor.require, floor.lifetime_seconds),
                (demand.require, demand.lifetime_seconds),
                moment,
                actor,
            ),
        )


def _for(seconds: int | None) -> str:
    return "" if seconds is None else f" within {format_duration(seconds)}"


def _appoint(
    installation: Installation, name: str, verb: str, user: str, moment: Moment, actor: str
) -> ApplyStep:
    def change() -> Effects:
        toggles.appoint(installation, name, verb, user, moment, actor)
        return Effects()

    return ApplyStep(f"{name}: {verb} the admin {user}", change)
