"""What applies to one request: nothing, or a verification no older than a lifetime.

One function reads the table of `enforcement` (docs/reference.md, "What decides"); situation.py asks it for
everyone. Plain dialect: the gate loads this file.
"""

OPERATIONS = ("read", "push")
ENFORCEMENTS = ("off", "rules", "opt-in", "enforced")
TOGGLES = ("none", "push", "all")

# Which base answer each enforcement gives, and whether what a toggle tightened still counts.
# "rules" and "enforced" offer no toggle, yet keep one that was set before: switching the
# enforcement must never open a repository that its admin had closed.
_BASE_REQUIRED = {"off": False, "rules": False, "opt-in": False, "enforced": True}
_TOGGLE_COUNTS = {"off": False, "rules": True, "opt-in": True, "enforced": True}
TOGGLE_OFFERED = {"off": True, "rules": False, "opt-in": True, "enforced": False}


class Requirement:
    """A verification no older than `lifetime_seconds`, or none (`lifetime_seconds is None`).

    `because` names what made it: `enforcement`, `toggle`, `always`, `borrows:NAME`, joined by `+`; empty when
    nothing requires. `depends_on_refs`: some refs may demand more than this, which the hook finds out when it
    knows them. `refs`: (ref, rule) of what a ref rule requires: refs in the hook, patterns at the gate.
    `rule`: the rule that decided, "" for none; `exempt`: whether it takes this user out.
    """

    __slots__ = ("because", "depends_on_refs", "exempt", "lifetime_seconds", "refs", "rule")

    def __init__(
        self,
        lifetime_seconds: "int | None",
        because: str,
        *,
        depends_on_refs: bool = False,
        refs: "tuple[tuple[str, str], ...]" = (),
        rule: str = "",
        exempt: bool = False,
    ) -> None:
        self.lifetime_seconds = lifetime_seconds
        self.because = because
        self.depends_on_refs = depends_on_refs
        self.refs = refs
        self.rule = rule
        self.exempt = exempt

    @property
    def required(self) -> bool:
        """Whether a verification is required at all."""
        return self.lifetime_seconds is not None

    @property
    def speaks(self) -> bool:
        """Whether anything may be required, now or once the refs are known."""
        return self.lifetime_seconds is not None or self.depends_on_refs


NOTHING = Requirement(None, "")


def toggle_requires(require: str, operation: str) -> bool:
    """Whether a toggle set to `require` requires 2FA for `operation`.

    A requirement on `read` covers `push` too, since receive-pack shows the refs. What is not a
    known word requires: an unknown toggle must not open anything.
    """
    if require == "none":
        return False
    if require == "push":
        return operation != "read"
    return True


def base_of(enforcement: str, default_lifetime_seconds: int) -> Requirement:
    """The base answer; what is not a known word requires."""
    if _BASE_REQUIRED.get(enforcement, True):
        return Requirement(default_lifetime_seconds, "enforcement")
    return NOTHING


def toggle_of(
    enforcement: str, default_lifetime_seconds: int, operation: str, toggle: "tuple[str, int | None]"
) -> Requirement:
    """What a repository's toggle, (require, lifetime in seconds or None), adds;
    the default caps its lifetime.
    """
    require, lifetime = toggle
    if not _TOGGLE_COUNTS.get(enforcement, True) or not toggle_requires(require, operation):
        return NOTHING
    shortest = default_lifetime_seconds if lifetime is None else min(default_lifetime_seconds, lifetime)
    return Requirement(shortest, "toggle")


def strictest(first: Requirement, second: Requirement) -> Requirement:
    """Both at once: required if either is, with the shorter lifetime and both causes."""
    if first.lifetime_seconds is None and not first.depends_on_refs and (second.speaks or not first.rule):
        return second
    if second.lifetime_seconds is None and not second.depends_on_refs:
        return first
    required = [one for one in (first, second) if one.lifetime_seconds is not None]
    lifetimes = [one.lifetime_seconds for one in required if one.lifetime_seconds is not None]
    return Requirement(
        min(lifetimes) if lifetimes else None,
        "+".join([one.because for one in required]),
        depends_on_refs=first.depends_on_refs or second.depends_on_refs,
        refs=first.refs + second.refs,
        rule=first.rule or second.rule,
    )
