"""One request as policy sees it, and what the policy requires of it. Pure; plain dialect:
gate and hook load this file.

Every place that asks what applies builds a Situation and asks `Policy.demands`: gate, hook, `explain`, who
judges running transfers again, and what a person is told about themselves. So they cannot differ.
"""

from gitguard.policy.requirement import NOTHING, Requirement, base_of, strictest, toggle_of
from gitguard.policy.rules import EXEMPT, KIND, LIFETIME, NAME, REFS, REQUIRE, Asked, Rules, candidates, first

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KNOWN, UNKNOWN, PASSED = "known", "unknown", "passed"


class Situation:
    """Values only. `repository` is the demand of the one that is asked for.

    `what` is `known` (a repository of the store's), `unknown` (a name that only the program behind the gate
    may know) or `passed` (another command handed on to it). `operation` is read, push or "". `borrows` and
    `lends`: the demands of the repositories whose objects it uses, and of those that use its. `elsewhere`:
    the shortest lifetime that any repository requires for the operation, None if none does; looked at for
    `unknown` alone. `refs`: (old, new, name) of each update, empty where they are not known yet, as at the
    gate. `hooked`: our hook will judge the refs of this push; where it will not (LFS, names that only a
    program knows), ref rules that demand count as met and others as unmet.
    """

    __slots__ = (
        "address", "always", "at", "borrows", "credential", "elsewhere", "hooked", "lends", "operation", "refs",
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
        credential: object = None,
        address: str = "",
        at: int = 0,
        refs: "tuple[tuple[str, str, str], ...]" = (),
        hooked: bool = True,
    ) -> None:
        self.user = user
        self.operation = operation
        self.what = what
        self.repository = repository
        self.always = always
        self.borrows = borrows
        self.lends = lends
        self.elsewhere = elsewhere
        self.credential = credential
        self.address = address
        self.at = at
        self.refs = refs
        self.hooked = hooked and what == KNOWN


class Policy:
    """What the admin configured: base answer, default lifetime in seconds, the users' own switch, the rules.

    `rules` and `groups` are in the form that rules.py describes.
    """

    __slots__ = ("allow_always", "enforcement", "groups", "lifetime_seconds", "rules")

    def __init__(
        self,
        enforcement: str,
        lifetime_seconds: int,
        *,
        allow_always: bool,
        rules: "Rules | None" = None,
        groups: "dict[str, str] | None" = None,
    ) -> None:
        self.enforcement = enforcement
        self.lifetime_seconds = lifetime_seconds
        self.allow_always = allow_always
        self.rules = rules if rules is not None and enforcement != "off" else Rules()
        self.groups = groups or {}

    def demands(self, s: Situation) -> Requirement:
        """What `s` requires: the strictest of all that applies to it.

        An operation that is not known to be harmless counts as a push.
        """
        if s.what == PASSED:
            requires = strictest(self._alone(s, "push", ("", "none", None)), self._always(s))
            return strictest(requires, Requirement(self.lifetime_seconds, "pass-command"))
        requires = strictest(self._alone(s, s.operation or "push", s.repository), self._always(s))
        if s.what == UNKNOWN:
            # Anyone who has no session must not learn from a downstream program's own answer which of the
            # names that we do not know are there; and one of them may be another name of a repository
            # that requires.
            if self.enforcement == "off" or s.elsewhere is None or requires.exempt:
                return requires
            return strictest(requires, Requirement(s.elsewhere, "unknown-name"))
        # Anyone who reads here may be sent the lender's objects, so the lender's read requirement applies.
        for lender in s.borrows:
            requires = strictest(requires, self._of_another(s, lender, "read", "borrows"))
        # And whoever rewrites the lender can take away what its borrowers need.
        if s.operation != "read":
            for borrower in s.lends:
                requires = strictest(requires, self._of_another(s, borrower, "push", "lends"))
        return requires

    def _always(self, s: Situation) -> Requirement:
        return Requirement(self.lifetime_seconds, "always") if s.always and self.allow_always else NOTHING

    def _of_another(
        self, s: Situation, demand: "tuple[str, str, int | None]", operation: str, how: str
    ) -> Requirement:
        """What another repository adds. Its refs are not known here, so what any of them requires counts."""
        other = self._alone(s, operation, demand, refs_of_another=True)
        if not other.required:
            return NOTHING
        return Requirement(other.lifetime_seconds, f"{how}:{demand[0]}({other.because})")

    def _alone(
        self,
        s: Situation,
        operation: str,
        demand: "tuple[str, str, int | None]",
        *,
        refs_of_another: bool = False,
    ) -> Requirement:
        """What base, rules and toggle require of `operation` on one repository.

        By what is known of the refs (docs/policy.md): the hook knows them, and each is judged by itself; the
        gate of a push that our hook will see requires what any ref would need; where nobody will look, every
        rule counts that may be met.
        """
        name, require, lifetime = demand
        added = toggle_of(self.enforcement, self.lifetime_seconds, operation, (require, lifetime))
        if not self.rules.count:
            return strictest(base_of(self.enforcement, self.lifetime_seconds), added)
        # The name of an unknown repository may be an alias of a known one: rules that require count as met.
        known = name if s.what == KNOWN else ""
        found, open_end = candidates(
            self.rules, self.groups, Asked(s.user, operation, known, s.address, s.at)
        )
        met = [*found, None] if open_end else found  # None: the base answer, behind all rules
        hook_will_look = s.hooked and not refs_of_another
        if s.refs and operation == "push":
            answer = self._by_refs(found, s.refs, added, open_end=open_end)
        elif s.refs or hook_will_look:
            answer = self._whatever_refs(met, added)
        else:
            answer = self._all([self._answer(rule, added) for rule in met])
        if operation != "push" or answer.exempt:
            return answer
        reading = self._reading(s, known)
        if not reading.required or reading.because in answer.because.split("+"):
            return answer
        if hook_will_look and not s.refs and any(rule[KIND] == EXEMPT for rule in found):
            # Anyone who is exempt for every ref of this push is exempt from that too; the hook will know.
            return Requirement(None, "", depends_on_refs=True, refs=answer.refs)
        return strictest(answer, reading)

    def _reading(self, s: Situation, known: str) -> Requirement:
        """What reading requires, and pushing too: receive-pack shows the refs."""
        shown, _ = candidates(self.rules, self.groups, Asked(s.user, "read", known, s.address, s.at))
        return self._answer(shown[0] if shown else None, NOTHING)

    def _answer(self, rule: "Any", added: Requirement) -> Requirement:
        """What follows from the first matching rule (None: the base answer), with what the toggle adds."""
        if rule is None:
            return strictest(base_of(self.enforcement, self.lifetime_seconds), added)
        name, kind, lifetime = rule[NAME], rule[KIND], rule[LIFETIME]
        if kind == EXEMPT:
            return Requirement(None, "", rule=name, exempt=True)
        if kind == REQUIRE:
            longest = self.lifetime_seconds
            seconds = longest if lifetime is None else min(lifetime, longest)
            return strictest(Requirement(seconds, f"rule:{name}", rule=name), added)
        return strictest(Requirement(None, "", rule=name), added)

    def _by_refs(
        self,
        found: "list[Any]",
        updates: "tuple[tuple[str, str, str], ...]",
        added: Requirement,
        *,
        open_end: bool,
    ) -> Requirement:
        """In the hook: every ref is judged by every name that it can stand for;
        the strictest counts for all.
        """
        from gitguard.policy.ref_names import EVERY, keeps_out, names_of

        answers, refs = [], []
        for _, _, ref in updates:
            names = names_of(ref, found)
            # (how a refusal calls the ref, the rule that one of its names meets)
            met = [
                (ref if name == ref else f"{ref} (for {name})", first(found, name))
                for name in (ref, *names)
                if name != EVERY
            ]
            if EVERY in names:
                met += [(ref, rule) for rule in (*found, *([None] if open_end else []))]
            else:
                met += [
                    (f"{ref} (in the place of {pattern})", rule)
                    for rule in found
                    if rule[KIND] == REQUIRE
                    for pattern in rule[REFS]
                    if keeps_out(ref, pattern)
                ]
            for shown, rule in met:
                answers.append(self._answer(rule, added))
                if rule is not None and rule[KIND] == REQUIRE and rule[REFS]:
                    refs.append((answers[-1].lifetime_seconds or 0, shown, rule[NAME]))
        refs.sort(key=lambda one: one[0])
        named = dict.fromkeys([(shown, rule) for _, shown, rule in refs])  # the strictest first
        strict = self._all(answers)
        if not strict.required:
            return strict
        return Requirement(strict.lifetime_seconds, strict.because, refs=tuple(named), rule=strict.rule)

    def _all(self, answers: "list[Requirement]") -> Requirement:
        """All of them at once, each cause said once."""
        required = [answer for answer in answers if answer.required]
        if not required:
            alike = all(answer.exempt for answer in answers) or len({answer.rule for answer in answers}) == 1
            return answers[0] if answers and alike else NOTHING
        causes = [cause for answer in required for cause in answer.because.split("+")]
        lifetimes = [answer.lifetime_seconds or 0 for answer in required]
        shortest = min(lifetimes)
        rule = next((a.rule for a in required if a.lifetime_seconds == shortest and a.rule), "")
        return Requirement(shortest, "+".join(dict.fromkeys(causes)), rule=rule)

    def _whatever_refs(self, rules: "list[Any]", added: Requirement) -> Requirement:
        """Before the refs are known: required only if every first match that they could bring requires; then
        the longest lifetime counts, since the hook judges exactly.
        """
        answers = [self._answer(rule, added) for rule in rules]
        if len(answers) == 1:
            return answers[0]
        refs = tuple(
            [
                (pattern, rule[NAME])
                for rule in rules
                if rule is not None and rule[KIND] == REQUIRE
                for pattern in rule[REFS]
            ]
        )
        required = [answer for answer in answers if answer.required]
        if len(required) == len(answers):
            mildest = max(answers, key=lambda answer: answer.lifetime_seconds or 0)
            return Requirement(
                mildest.lifetime_seconds, mildest.because, depends_on_refs=True, refs=refs, rule=mildest.rule
            )
        return Requirement(None, "", depends_on_refs=bool(required), refs=refs)
