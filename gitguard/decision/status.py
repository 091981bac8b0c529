"""Where a person stands: enrolled, verified, until when. What `status` and the greeting show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from gitguard.config.rules import policy_of
from gitguard.config.schema import RuleTable, Settings
from gitguard.factor.person import Person
from gitguard.policy.glob import fits
from gitguard.policy.narrowed import narrowed
from gitguard.policy.requirement import Requirement
from gitguard.policy.situation import Policy, Situation
from gitguard.session.moment import Moment
from gitguard.session.scope import scope_of
from gitguard.store.contract import Reading
from gitguard.store.rows import Repository, Session


class Status(Struct, frozen=True):
    """`session` is a live one in scope, or None; `ends_at` is when it ends, by the server's lifetime.

    `hardware_key`: the key verifies its person at each login, and that counts here.
    """

    user: str
    key: str
    address: str
    enrolled: bool
    session: Session | None
    ends_at: int
    recovery_codes_left: int
    always: bool
    required_here: bool
    hardware_key: bool = False

    @property
    def verified(self) -> bool:
        """In a session, or with a hardware key that counts at each login."""
        return self.session is not None or self.hardware_key

    def as_json(self) -> dict[str, object]:
        """The keys of `status --json`; times are Unix seconds."""
        session = None
        if self.session is not None:
            session = {
                "verified_at": self.session.verified_at,
                "ends_at": self.ends_at,
                "scope": self.session.scope,
            }
        return {
            "user": self.user,
            "key": self.key,
            "address": self.address,
            "enrolled": self.enrolled,
            "verified": self.verified,
            "session": session,
            "recovery_codes_left": self.recovery_codes_left,
            "always": self.always,
            "required_here": self.required_here,
        }


def live_sessions(
    tx: Reading, settings: Settings, moment: Moment, user: str | None = None
) -> Iterator[tuple[Session, int]]:
    """The sessions that count at `moment`, with their end (Unix seconds): of `user`, or of everyone."""
    since = moment.at - settings.session.lifetime
    return live(tx.sessions_since(since) if user is None else tx.sessions(user), settings, moment)


def live(sessions: Iterable[Session], settings: Settings, moment: Moment) -> Iterator[tuple[Session, int]]:
    """Those of `sessions` that count at `moment`, each with when it ends."""
    for session in sessions:
        left = session.freshness(moment).lasts(settings.session.lifetime)
        if left and session.counts_under(settings.session.scope):
            yield session, moment.at + left


def status_of(tx: Reading, settings: Settings, person: Person, moment: Moment) -> Status:
    """Where `person` stands at `moment`."""
    user, key = tx.user(person.user), tx.key(person.credential.text)
    scope = scope_of(settings.session.scope, person.credential, person.address)
    session = tx.session(person.user, scope) if scope is not None else None
    left = session.freshness(moment).lasts(settings.session.lifetime) if session is not None else 0
    always = user is not None and user.always
    base = policy_of(settings).demands(
        Situation(person.user, "push", always=always, address=person.address, at=moment.at)
    )
    return Status(
        person.user,
        person.credential.text,
        person.address,
        tx.has_factor(person.user),
        session if left else None,
        moment.at + left if left else 0,
        tx.recovery_codes_left(person.user),
        user is not None and user.always,
        base.required,
        settings.second_factor.hardware_keys and key is not None and key.counts_by_itself,
    )


def demanded(
    tx: Reading, policy: Policy, user: str, operation: str, moment: Moment, *, address: str = ""
) -> list[tuple[Repository, Requirement]]:
    """What each repository requires of `user` for `operation`, with what it borrows and
    lends; their own switch left out.

    It looks at all of them; of one, `demanded_of` does.
    """
    from gitguard.repository.registry import lending  # verifying looks at no repository

    policy = narrowed(policy, user, address, moment.at)
    repositories = tx.repositories()
    graph = lending(tx, repositories)
    return [
        (
            repository,
            _demands(
                policy,
                repository,
                graph.borrows.get(repository.name, []),
                graph.lends.get(repository.name, []),
                Asking(user, operation, address, moment.at),
            ),
        )
        for repository in repositories
    ]


def demanded_of(
    tx: Reading,
    policy: Policy,
    repository: Repository,
    user: str,
    operation: str,
    moment: Moment,
    *,
    address: str = "",
    always: bool = False,
) -> Requirement:
    """What one repository requires, at the cost of one; with their own switch where it is `always`."""
    lenders = [tx.repository_at(directory) for directory in tx.lenders(repository.name)]
    return _demands(
        policy,
        repository,
        [lender for lender in lenders if lender is not None],
        tx.borrowers(repository.directory),
        Asking(user, operation, address, moment.at, always),
    )


class Asking(Struct, frozen=True):
    """Who asks, for what, from where, when; with their own switch on or not."""

    user: str
    operation: str
    address: str
    at: int
    always: bool = False


def _demands(
    policy: Policy, repository: Repository, borrows: list[Repository], lends: list[Repository], asking: Asking
) -> Requirement:
    return policy.demands(
        Situation(
            asking.user,
            asking.operation,
            repository=_demand(repository),
            always=asking.always,
            borrows=tuple(_demand(one) for one in borrows),
            lends=tuple(_demand(one) for one in lends),
            address=asking.address,
            at=asking.at,
        )
    )


def exempted(settings: Settings, repository: str, moment: Moment) -> list[RuleTable]:
    """The rules that exempt someone in `repository` at `moment`."""
    return [
        rule
        for rule in settings.rules
        if rule.exempt
        and (not rule.repositories or any(fits(str(pattern), repository) for pattern in rule.repositories))
        and (rule.since is None or rule.since <= moment.at)
        and (rule.until is None or moment.at < rule.until)
    ]


def _demand(repository: Repository) -> tuple[str, str, int | None]:
    return (repository.name, repository.require, repository.lifetime_seconds)
