"""Every reason a verdict can carry, and the exit status it leaves with.

MUST: a reason keeps its status for ever and is never reused for another meaning; scripts and
dashboards are written against both. docs/reference.md repeats this table and a test compares them.
The gate loads this file, so it is written in the plain dialect (docs/architecture.md).
"""

ALLOWED = {"not-required": 0, "verified": 0, "hardware-key": 0, "exempt": 0, "break-glass": 0}

REFUSED = {
    "internal-error": 1,
    "usage": 2,
    "verification-required": 10,
    "verification-expired": 10,
    "no-grant": 10,
    "enrolment-required": 11,
    "invite-required": 11,
    "code-rejected": 12,
    "not-a-code": 12,
    "throttled": 13,
    "forbidden": 14,
    "not-available": 14,
    "user-suspended": 14,
    "user-unknown": 14,
    "no-identity": 14,
    "malformed-command": 20,
    "unknown-command": 20,
    "no-such-repository": 21,
    "hook-not-live": 22,
    "config-invalid": 30,
    "store-unavailable": 40,
    "log-unavailable": 40,
    "agent-unavailable": 40,
    "store-schema": 41,
    "store-went-back": 42,
    "busy": 43,
}

WANTING = (
    "verification-required",
    "verification-expired",
    "enrolment-required",
)  # one verification is all that is missing
UNREACHED_STATUS = 50  # workstation only: the server was not reached


class Refusal(Exception):  # noqa: N818 - the field's own word; it is raised, and it is not an error of ours
    """A refusal on its way out: a stable reason, what a person reads, and what the log gets.

    `detail` is for the admin and may name paths; `text` is for the person who was refused and
    replaces the reason's own sentence when it is not empty; `hint` follows on a line of its own.
    `facts` are values that the sentence of the reason fills in (`retry_at`, `operation`, ...).
    It does not change once it is made; `but` gives another one.
    """

    _FROZEN = ("reason", "detail", "text", "hint", "facts")

    def __init__(
        self, reason: str, detail: str = "", *, text: str = "", hint: str = "", **facts: object
    ) -> None:
        super().__init__(detail or text or reason)
        self.__dict__.update(reason=reason, detail=detail, text=text, hint=hint, facts=facts)

    reason: str
    detail: str
    text: str
    hint: str
    facts: "dict[str, object]"

    def __setattr__(self, name: str, value: object) -> None:
        """MUST: whoever passes a refusal on passes it on as it was made."""
        if name in self._FROZEN:
            raise AttributeError(f"a refusal does not change: {name}")
        super().__setattr__(name, value)

    def but(self, **changes: str) -> "Refusal":
        """The same refusal with another `detail`, `text` or `hint`."""
        words = {"detail": self.detail, "text": self.text, "hint": self.hint, **changes}
        return Refusal(self.reason, **words, **self.facts)  # type: ignore[arg-type]

    @property
    def exit_status(self) -> int:
        """The status this reason leaves with; an unknown reason is an internal error, never 0."""
        return REFUSED.get(self.reason, 1)

    @property
    def is_our_fault(self) -> bool:
        """Whether something is broken on the server, so that the person can only tell its admin."""
        return self.exit_status == 1 or (self.exit_status >= 30 and self.reason != "busy")


def machine_fault(what: str, error: OSError) -> Refusal:
    """The machine would not do `what`: a full disk, a folder of someone else's. Never the person's fault."""
    text = f"{what}: {error.strerror}"
    return Refusal("store-unavailable", text, text=text)


def refusal_of(error: Exception) -> Refusal:
    """What `error` is told as: itself where it is a refusal, or `internal-error`, which closes."""
    return error if isinstance(error, Refusal) else Refusal("internal-error", told_of(error))


def told_of(error: BaseException) -> str:
    """An exception for the log: its kind, its words, and the last three places it came through; no values."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('gitguard/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{type(error).__name__}: {error} (at {' < '.join(places[:-4:-1])})"


def printable(text: str, most: int = 200) -> str:
    """`text` in printable ASCII, at most `most` characters: what a client sent cannot move a cursor.

    Control characters, direction marks and everything beyond ASCII become `?`.
    """
    shown = "".join(c if " " <= c <= "~" else "?" for c in text[:most])
    return shown + "..." if len(text) > most else shown


def readable(text: str, most: int = 200) -> str:
    """`text` with its letters, whatever their script, at most `most` characters: for
    what an admin wrote or named.

    Control characters, direction marks, what is not a character and line breaks become
    `?`: nothing moves a cursor.
    """
    shown = "".join(c if c.isprintable() else "?" for c in text[:most])
    return shown + "..." if len(text) > most else shown
