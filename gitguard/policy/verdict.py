"""The answer: allowed or refused, with a stable reason. Plain dialect: the gate loads this file."""

from gitguard.policy.requirement import Requirement
from gitguard.session.credential import BY_KEY


class Freshness:
    """How recently someone verified: `session` is the 2FA session's number or 0,
    `age_seconds` None for no session.

    `session` is BY_KEY where no session but the hardware key itself proved it, at its login.
    `limit_seconds` is the session's own limit, None for none. A session brings it (gate), or a grant (hook).
    """

    __slots__ = ("age_seconds", "limit_seconds", "session")

    def __init__(self, session: int, age_seconds: "int | None", limit_seconds: "int | None") -> None:
        self.session = session
        self.age_seconds = age_seconds
        self.limit_seconds = limit_seconds

    def lasts(self, lifetime_seconds: int) -> int:
        """Seconds for which it still counts under this lifetime, 0 for none: whether a session
        counts is asked here alone.

        MUST: a verification that lies in the future counts for nothing.
        """
        age = self.age_seconds
        if age is None or age < 0:
            return 0
        if self.limit_seconds is not None:
            lifetime_seconds = min(lifetime_seconds, self.limit_seconds)
        return max(lifetime_seconds - age, 0)


NEVER = Freshness(0, None, None)


class Verdict:
    """Allowed or refused, never a truth value: `if verdict:` would one day be read the wrong way."""

    __slots__ = ("allowed", "because", "reason")

    def __init__(self, reason: str, because: str, *, allowed: bool) -> None:
        self.allowed = allowed
        self.reason = reason
        self.because = because

    def __bool__(self) -> bool:
        """MUST raise: ask for `.allowed`."""
        raise TypeError("a verdict has no truth value; ask for .allowed")


def verdict(demanded: Requirement, *, enrolled: bool, freshness: Freshness) -> Verdict:
    """Judge one request. Falling off the end refuses."""
    lifetime = demanded.lifetime_seconds
    if lifetime is None:
        if demanded.exempt:
            return Verdict("exempt", f"rule:{demanded.rule}", allowed=True)
        return Verdict("not-required", "", allowed=True)
    if freshness.session == BY_KEY and freshness.lasts(lifetime):
        return Verdict("hardware-key", demanded.because, allowed=True)
    if not enrolled:
        return Verdict("enrolment-required", demanded.because, allowed=False)
    if freshness.lasts(lifetime):
        return Verdict("verified", demanded.because, allowed=True)
    reason = "verification-required" if freshness.age_seconds is None else "verification-expired"
    return Verdict(reason, demanded.because, allowed=False)
