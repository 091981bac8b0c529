"""One request as policy sees it, and what the policy demands of it. Pure; plain dialect: gate and hook load this file.

Every place that asks what applies builds a Situation and asks `Policy.demands`: gate, hook, `explain`, who judges
running transfers again, and what a person is told about themselves. So they cannot differ.
"""

from gitguard.policy.requirement import Requirement, requirement, strictest

KNOWN, UNKNOWN, PASSED = "known", "unknown", "passed"


class Situation:
    """Values only. `repository` is the demand of the one that is asked for.

    `what` is `known` (a repository of the store's), `unknown` (a name that only the program behind the gate may know)
    or `passed` (another command handed on to it). `operation` is read, push or "". `borrows` and `lends`: the demands
    of the repositories whose objects it uses, and of those that use its. `elsewhere`: the shortest lifetime that any
    repository demands for the operation, None if none does; looked at for `unknown` alone. `refs`: (old, new, name) of
    each update, empty where they are not known yet, as at the gate.
    """

    __slots__ = (
        "address", "always", "at", "borrows", "credential", "elsewhere", "groups", "lends", "operation", "refs",
        "repository", "user", "what",
    )  # fmt: skip

    def __init__(
        self,
        user: str,
        operation: str,
        *,
        what: str = KNOWN,
        repository: "tuple[str, str, int | None]" = ("", "none", None),
        always: bool = False,
        borrows: "tuple[tuple[str, str, int | None], ...]" = (),
        lends: "tuple[tuple[str, str, int | None], ...]" = (),
        elsewhere: "int | None" = None,
        groups: "tuple[str, ...]" = (),
        credential: object = None,
        address: str = "",
        at: int = 0,
        refs: "tuple[tuple[str, str, str], ...]" = (),
    ) -> None:
        self.user = user
        self.operation = operation
        self.what = what
        self.repository = repository
        self.always = always
        self.borrows = borrows
        self.lends = lends
        self.elsewhere = elsewhere
        self.groups = groups
        self.credential = credential
        self.address = address
        self.at = at
        self.refs = refs


class Policy:
    """What the server's admin configured: the base answer, the default lifetime in seconds, the users' own switch."""

    __slots__ = ("allow_always", "enforcement", "lifetime_seconds")

    def __init__(self, enforcement: str, lifetime_seconds: int, *, allow_always: bool) -> None:
        self.enforcement = enforcement
        self.lifetime_seconds = lifetime_seconds
        self.allow_always = allow_always

    def demands(self, s: Situation) -> Requirement:
        """What `s` demands: the strictest of all that applies to it.

        An operation that is not known to be harmless counts as a push.
        """
        requires = requirement(
            self.enforcement,
            self.lifetime_seconds,
            s.operation or "push",
            s.repository[1:],
            always=s.always and self.allow_always,
        )
        if s.what == PASSED:
            return strictest(requires, Requirement(self.lifetime_seconds, "pass-command"))
        if s.what == UNKNOWN:
            # Whoever has no session must not learn from a downstream program's own answer which of the names that
            # we do not know are there; and one of them may be another name of a repository that demands.
            if self.enforcement == "off" or s.elsewhere is None:
                return requires
            return strictest(requires, Requirement(s.elsewhere, "unknown-name"))
        # Whoever reads here may be sent the lender's objects, so the lender's read requirement applies.
        for lender in s.borrows:
            requires = strictest(requires, self._of_another(lender, "read", "borrows"))
        # And whoever rewrites the lender can take away what its borrowers need.
        if s.operation != "read":
            for borrower in s.lends:
                requires = strictest(requires, self._of_another(borrower, "push", "lends"))
        return requires

    def _of_another(self, demand: "tuple[str, str, int | None]", operation: str, how: str) -> Requirement:
        name, require, lifetime = demand
        other = requirement(self.enforcement, self.lifetime_seconds, operation, (require, lifetime))
        return (
            Requirement(other.lifetime_seconds, f"{how}:{name}({other.because})") if other.required else other
        )
