"""Every sentence of a refusal, keyed by reason. Ours are plain ASCII; what an admin
wrote or named keeps its letters.

The first line names the cause and the way out and ends in the bracketed reason, since some clients
show only that line; what follows stays within `LONGEST_BYTES`. Client text is made printable here.
"""

from gitguard.message.moments import clock, duration
from gitguard.message.reasons import Refusal, printable, readable

LONGEST_BYTES = 1024


INVITE = "you need the invite that your server admin sent you; none? ask them"
# What people type without `2fa` before it -> the verb they mean; a test holds it to the table of verbs.
OWN_WORDS = {
    name: name
    for name in (
        "verify",
        "enroll",
        "status",
        "keys",
        "leave",
        "web",
        "recovery-codes",
        "always",
        "remove",
        "repo",
        "help",
    )
} | {"enrol": "enroll"}


class ServerAddress:
    """How people reach this server, as every hint names it. `host` empty: not known, and said as HOST."""

    __slots__ = ("account", "host", "port")

    def __init__(self, account: str = "git", host: str = "", port: int = 22) -> None:
        self.account = account
        self.host = host
        self.port = port

    def ssh(self, words: str) -> str:
        """The line to paste: `ssh -T -p 2222 git@host 2fa verify`."""
        port = f"-p {self.port} " if self.port != 22 else ""
        return f"ssh -T {port}{self.account}@{self.host or 'HOST'} 2fa {words}"


class RefusalContext:
    """What one refusal may mention: the server, who asks for what, and what is known of
    sessions. Unknown values stay empty.

    `words` is what was typed behind `2fa`, quoted, for trying again. `page`: the web page of this request,
    `number`: its number there. `others`: (key, network) of live sessions of the same user elsewhere.
    `ended_at` and `now`: Unix seconds.
    """

    def __init__(
        self,
        server: "ServerAddress | None" = None,
        *,
        user: str = "",
        key: str = "",
        address: str = "",
        operation: str = "",
        repository: str = "",
        decision: str = "",
        ended_at: "int | None" = None,
        others: "tuple[tuple[str, str], ...]" = (),
        now: int = 0,
        help_line: str = "",
        help_url: str = "",
        needs_invite: bool = False,
        words: str = "verify",
        page: str = "",
        number: str = "",
    ) -> None:
        self.server = server or ServerAddress()
        self.user = user
        self.key = key
        self.address = address
        self.operation = operation
        self.repository = repository
        self.decision = decision
        self.ended_at = ended_at
        self.others = others
        self.now = now
        self.help_line = help_line
        self.help_url = help_url
        self.needs_invite = needs_invite
        self.words = words
        self.page = page
        self.number = number

    @property
    def what(self) -> str:
        """`push to team/app`, `read team/app`, or `continue` where no repository is known."""
        name = readable(self.repository, 100)
        if not name:
            return "continue"
        return f"push to {name}" if self.operation == "push" else f"read {name}"

    def way(self, words: str) -> str:
        """The page, where there is one, and the line to paste: `open https://HOST/verify/ID or run:
        ssh -T git@HOST 2fa verify`.
        """
        line = self.server.ssh(words)
        return f"open {self.page} or run: {line}" if self.page else line


# reason -> the first line without its bracket. {what}, {ssh...} and the refusal's facts are filled in.
_SENTENCES = {
    "internal-error": "something went wrong on the server; give your server admin the id below",
    "usage": "{text}",
    "verification-required": "verify to {what}: {verify}",
    "verification-expired": "your verification has expired; verify again to {what}: {verify}",
    "no-grant": "refused: pushes here require 2FA, so they must come over gitguard's SSH",
    "enrolment-required": "set up a second factor to {what}: {enroll}",
    "invite-required": "an invite or a fresh code is needed; ask your server admin for an invite",
    "code-rejected": "code not accepted; wait for the next one, then run: {again}",
    "not-a-code": "not a code; type the {digits} digits from your app, or a complete recovery code",
    "throttled": "too many wrong codes; try again {retry}",
    "forbidden": "you may not do this here; ask your server admin",
    "not-available": "this is not available on this server",
    "user-suspended": "your account ({user}) is suspended; ask your server admin",
    "user-unknown": "{user} is not a user here; ask your server admin",
    "no-identity": "this key belongs to no user here; ask your server admin",
    "malformed-command": "not a command that this server understands; use git, or run: {help}",
    "unknown-command": "no such command: {word}; {or_help}",
    "no-such-repository": "no such repository: {repository}",
    "hook-not-live": "refused: the hook of {repository} is missing; tell your server admin",
    "config-invalid": "refused: the server's configuration has an error; tell your server admin",
    "store-unavailable": "refused: the server's store is unavailable; tell your server admin",
    "log-unavailable": "refused: the server's access log cannot be written; tell your server admin",
    "agent-unavailable": "refused: the server's agent does not answer; tell your server admin",
    "store-schema": "refused: the server's store has another version; tell your server admin",
    "store-went-back": "refused: the server's store has lost something that was recorded, and is closed; tell your server admin",
    "busy": "the server is busy; nothing was done, and a code that you typed was not used; try again",
}


# Instead of the sentence of `code-rejected`, where the codes fit a wrong clock: the next code would not help.
_CLOCK_IS_WRONG = "your phone's clock is about {clock}; set it to automatic, then run: {again}"


def _when(retry_at: object, now: int) -> str:
    """`at 23:21 UTC, in 5 minutes`."""
    return (
        f"at {clock(retry_at, now)}, in {duration(retry_at - now)}" if isinstance(retry_at, int) else "later"
    )


def first_line(refusal: Refusal, context: RefusalContext) -> str:
    """`gitguard: <cause and way out> [reason]`, one line of printable characters."""
    retry_at = refusal.facts.get("retry_at")
    sentence = _SENTENCES.get(refusal.reason, _SENTENCES["internal-error"])
    if "clock" in refusal.facts:
        sentence = _CLOCK_IS_WRONG
    if refusal.text:
        sentence = "{text}"
    if "list_with" in refusal.facts:
        sentence += f"; list them with: {context.server.ssh(str(refusal.facts['list_with']))}"
    near = OWN_WORDS.get(str(refusal.facts.get("word", "")))
    filled = sentence.format(
        text=readable(refusal.text, 400),
        what=context.what,
        verify=context.way("verify"),
        enroll=context.way("enroll"),
        again=readable(context.server.ssh(context.words), 300),
        help=context.server.ssh("help"),
        or_help=f"did you mean: {context.server.ssh(near)}" if near else f"see: {context.server.ssh('help')}",
        user=printable(context.user, 64),
        repository=readable(context.repository, 100) or "it",
        word=printable(str(refusal.facts.get("word", "")), 60),
        digits=refusal.facts.get("digits", 6),
        retry=_when(retry_at, context.now),
        clock=refusal.facts.get("clock", ""),
    )
    return f"gitguard: {filled} [{refusal.reason}]"


def refusal_text(refusal: Refusal, context: RefusalContext) -> str:
    """The whole message, first line and what helps, within `LONGEST_BYTES`, without a final newline."""
    lines = [first_line(refusal, context)]
    if refusal.hint:
        lines.append(readable(refusal.hint, 300))
    if context.number:
        lines.append(f"if the page asks for a number: {context.number}")
    if refusal.reason == "enrolment-required" and context.needs_invite:
        lines.append(INVITE)
    lines += _who_and_since_when(refusal, context)
    if refusal.reason == "throttled" and "retry_at" in refusal.facts:
        if refusal.text:
            lines.append(f"try again {_when(refusal.facts['retry_at'], context.now)}")
        else:
            lines.append("your account is not locked; this ends by itself")
    if context.help_line:
        lines.append(readable(context.help_line))
    if context.help_url:
        lines.append(readable(context.help_url))
    if context.decision:
        lines.append(f"id {context.decision}")
    text = "\n".join(lines)
    while len(text.encode("utf-8", "replace")) > LONGEST_BYTES and len(lines) > 2:
        del lines[-2]  # keep the first line and the id; drop help first
        text = "\n".join(lines)
    return text.encode("utf-8", "replace")[:LONGEST_BYTES].decode("utf-8", "ignore")


def _who_and_since_when(refusal: Refusal, context: RefusalContext) -> "list[str]":
    """The key that asked, and what is known of verifications of its user."""
    lines = []
    if context.key:
        lines.append(
            f"{'account ' if context.key.startswith('uid:') else 'key '}{context.key.replace('uid:', 'uid ')}"
            + (f" of {printable(context.user, 64)}" if context.user else "")
            + (f", from {context.address}" if context.address else "")
        )
    if refusal.reason in ("verification-required", "verification-expired"):
        if context.ended_at is not None:
            lines.append(f"the last verification ended at {clock(context.ended_at, context.now)}")
        for key, network in context.others[:2]:
            lines.append(f"verified elsewhere: key {key or 'any'}" + (f" from {network}" if network else ""))
        lines.append(
            "if your remote uses another host name or key, use that here too; in a clone: git guard verify"
        )
        if context.operation == "read":
            lines.append("what you have already fetched is kept; only new objects need this")
    return lines
