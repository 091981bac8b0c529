"""What applies to one request: nothing, or a verification no older than a lifetime.

One function reads the table of `enforcement` (docs/reference.md, "What decides"); the gate, the
hook and `admin explain` all ask it, so they cannot differ. Plain dialect: the gate loads this file.
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
    empty when nothing requires.
    """

    __slots__ = ("because", "lifetime_seconds")

    def __init__(self, lifetime_seconds: "int | None", because: str) -> None:
        self.lifetime_seconds = lifetime_seconds
        self.because = because

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
    if first.lifetime_seconds is None:
        return second
    if second.lifetime_seconds is None:
        return first
    return Requirement(
        min(first.lifetime_seconds, second.lifetime_seconds), first.because + "+" + second.because
    )
