"""The answer: allowed or refused, with a stable reason. Plain dialect: the gate loads this file."""

from gitguard.policy.requirement import Requirement


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


def verdict(
    demanded: Requirement,
    *,
    enrolled: bool,
    session_age_seconds: "int | None",
    session_limit_seconds: "int | None" = None,
    hardware_key: bool = False,
) -> Verdict:
    """Judge one request.

    `session_age_seconds` is the age of the 2FA session in scope, `None` if there is none. A
    negative age (a verification in the future) is not fresh. `hardware_key`: not a session's age, but that of a login
    by a hardware key that verified its person. `session_limit_seconds` is a limit of the
    session's own, for one that an admin opened. Falling off the end refuses.
    """
    lifetime = demanded.lifetime_seconds
    if lifetime is None:
        if demanded.exempt:
            return Verdict("exempt", f"rule:{demanded.rule}", allowed=True)
        return Verdict("not-required", "", allowed=True)
    if hardware_key and session_age_seconds is not None and 0 <= session_age_seconds < lifetime:
        return Verdict("hardware-key", demanded.because, allowed=True)
    if not enrolled:
        return Verdict("enrolment-required", demanded.because, allowed=False)
    if session_limit_seconds is not None:
        lifetime = min(lifetime, session_limit_seconds)
    if session_age_seconds is not None and 0 <= session_age_seconds < lifetime:
        return Verdict("verified", demanded.because, allowed=True)
    reason = "verification-required" if session_age_seconds is None else "verification-expired"
    return Verdict(reason, demanded.because, allowed=False)
