"""What applies to one request: nothing, or a verification no older than a lifetime.

One function reads the table of `enforcement` (docs/reference.md, "What decides"); situation.py asks it for everybody. Plain dialect: the gate loads this file.
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

    `because` names what made it: `enforcement`, `toggle`, `always`, `borrows:NAME`, joined by `+`;
    empty when nothing requires. `depends_on_refs`: some refs may demand more than this, which the hook finds out
    when it knows them.
    """

    __slots__ = ("because", "depends_on_refs", "lifetime_seconds")

    def __init__(
        self, lifetime_seconds: "int | None", because: str, *, depends_on_refs: bool = False
    ) -> None:
        self.lifetime_seconds = lifetime_seconds
        self.because = because
        self.depends_on_refs = depends_on_refs

    @property
    def required(self) -> bool:
        """Whether a verification is demanded at all."""
        return self.lifetime_seconds is not None


NOTHING = Requirement(None, "")


def toggle_requires(require: str, operation: str) -> bool:
    """Whether a toggle set to `require` demands 2FA for `operation`.

    A requirement on `read` covers `push` too, since receive-pack shows the refs. What is not a
    known word requires: an unknown toggle must not open anything.
    """
    if require == "none":
        return False
    if require == "push":
        return operation != "read"
    return True


def requirement(
    enforcement: str,
    default_lifetime_seconds: int,
    operation: str,
    toggle: "tuple[str, int | None]" = ("none", None),
    *,
    always: bool = False,
) -> Requirement:
    """What `operation` demands under `enforcement`, a repository's `toggle` and a user's `always`.

    `toggle` is (require, lifetime in seconds or None). Of all that require, the shortest lifetime
    counts; a toggle's is capped by the default, so a repository admin can only tighten.
    """
    because = []
    lifetime = default_lifetime_seconds
    if _BASE_REQUIRED.get(enforcement, True):
        because.append("enforcement")
    require, toggle_lifetime = toggle
    if _TOGGLE_COUNTS.get(enforcement, True) and toggle_requires(require, operation):
        because.append("toggle")
        if toggle_lifetime is not None:
            lifetime = min(lifetime, toggle_lifetime)
    if always:
        because.append("always")
    if not because:
        return NOTHING
    return Requirement(lifetime, "+".join(because))


def strictest(first: Requirement, second: Requirement) -> Requirement:
    """Both at once: required if either is, with the shorter lifetime and both causes."""
    if first.lifetime_seconds is None and not first.depends_on_refs:
        return second
    if second.lifetime_seconds is None and not second.depends_on_refs:
        return first
    required = [one for one in (first, second) if one.lifetime_seconds is not None]
    lifetimes = [one.lifetime_seconds for one in required if one.lifetime_seconds is not None]
    return Requirement(
        min(lifetimes) if lifetimes else None,
        "+".join([one.because for one in required]),
        depends_on_refs=first.depends_on_refs or second.depends_on_refs,
    )
