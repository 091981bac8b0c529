"""Every reason a verdict can carry, and the exit status it leaves with.

MUST: a reason keeps its status for ever and is never reused for another meaning; scripts and
dashboards are written against both. docs/reference.md repeats this table and a test compares them.
The gate loads this file, so it is written in the plain dialect (docs/architecture.md).
"""

ALLOWED = {
    "not-required": 0,
    "verified": 0,
    "hardware-key": 0,
    "exempt": 0,
    "break-glass": 0,
}

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
    "store-schema": 41,
}

UNREACHED_STATUS = 50  # workstation only: the server was not reached


class Refusal(Exception):  # noqa: N818 - the field's own word; it is raised, and it is not an error of ours
    """A refusal on its way out: a stable reason, what a person reads, and what the log gets.

    `detail` is for the admin and may name paths; `text` is for the person who was refused and
    replaces the reason's own sentence when it is not empty; `hint` follows on a line of its own.
    `facts` are values that the sentence of the reason fills in (`retry_at`, `operation`, ...).
    """

    def __init__(
        self, reason: str, detail: str = "", *, text: str = "", hint: str = "", **facts: object
    ) -> None:
        super().__init__(detail or text or reason)
        self.reason = reason
        self.detail = detail
        self.text = text
        self.hint = hint
        self.facts = facts

    @property
    def exit_status(self) -> int:
        """The status this reason leaves with; an unknown reason is an internal error, never 0."""
        return REFUSED.get(self.reason, 1)


def printable(text: str, most: int = 200) -> str:
    """`text` in printable ASCII, at most `most` characters: what a client sent cannot move a cursor.

    Control characters, direction marks and everything beyond ASCII become `?`.
    """
    shown = "".join(c if " " <= c <= "~" else "?" for c in text[:most])
    return shown + "..." if len(text) > most else shown
