"""Every sentence of a refusal, keyed by reason. Ours are plain ASCII; what an admin wrote or named keeps its letters.

The first line names the cause and the way out and ends in the bracketed reason, since some clients
show only that line; what follows stays within `LONGEST_BYTES`. Client text is made printable here.
"""

from gitguard.message.moments import clock, duration
from gitguard.message.reasons import Refusal, printable, readable

LONGEST_BYTES = 1024


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


class View:
    """What a refusal may mention: the server's address, who asks for what, and what is known of sessions.

    `words` is what was typed behind `2fa`, quoted, for trying again. `page`: the web page of this request, `number`: its number there. `others`: (key, network) of live sessions of the same user elsewhere. Unknown values stay empty.
    """

    def __init__(
        self,
        *,
        account: str = "git",
        host: str = "",
        port: int = 22,
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
        self.account = account
        self.host = host
        self.port = port
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
        """`push to team/app`, `read team/app`, or `go on` where no repository is known."""
        name = readable(self.repository, 100)
        if not name:
            return "go on"
        return f"push to {name}" if self.operation == "push" else f"read {name}"

    def ssh(self, words: str) -> str:
        """The line to paste: `ssh -T -p 2222 git@host 2fa verify`."""
        port = f"-p {self.port} " if self.port != 22 else ""
        return f"ssh -T {port}{self.account}@{self.host or 'HOST'} 2fa {words}"

    def way(self, words: str) -> str:
        """The page, where there is one, and the line to paste: `https://HOST/verify/ID or: ssh -T git@HOST 2fa verify`."""
        return f"{self.page} or: {self.ssh(words)}" if self.page else self.ssh(words)


# reason -> the first line without its bracket. {what}, {ssh...} and the refusal's facts are filled in.
_SENTENCES = {
    "internal-error": "something went wrong inside; tell your server admin the id below",
    "usage": "{text}",
    "verification-required": "verify to {what}: {verify}",
    "verification-expired": "your verification has run out; verify to {what}: {verify}",
    "no-grant": "refused, because this push did not come through gitguard's SSH gate and 2FA is required here",
    "enrolment-required": "set up a second factor to {what}: {enroll}",
    "invite-required": "an invite or a fresh code is needed; ask your server admin for an invite",
    "code-rejected": "that code was not accepted; wait for the next one and try again: {again}",
    "not-a-code": "that is not a code; type the {digits} digits that your app shows, or a whole recovery code",
    "throttled": "too many failures; try again after {retry}",
    "forbidden": "you may not do this here; ask your server admin",
    "not-available": "this is not available on this server",
    "user-suspended": "the user {user} is suspended; ask your server admin",
    "user-unknown": "the user {user} is not known here; ask your server admin",
    "no-identity": "this key belongs to no user here; ask your server admin",
    "malformed-command": "the command could not be read; use git, or: {help}",
    "unknown-command": "no such command: {word}; see: {help}",
    "no-such-repository": "no such repository: {repository}",
    "hook-not-live": "pushes to {repository} are closed, because its hook is not in place; tell your server admin",
    "config-invalid": "closed, because the server's configuration is not valid; tell your server admin",
    "store-unavailable": "closed, because the server's store cannot be used; tell your server admin",
    "log-unavailable": "closed, because the server's access log cannot be written; tell your server admin",
    "store-schema": "closed, because the server's store has another version; tell your server admin",
    "busy": "the server is busy; nothing was done, and a code that you typed was not used; try again",
}


def first_line(refusal: Refusal, view: View) -> str:
    """`gitguard: <cause and way out> [reason]`, one line of printable characters."""
    retry_at = refusal.facts.get("retry_at")
    sentence = _SENTENCES.get(refusal.reason, _SENTENCES["internal-error"])
    if refusal.text:
        sentence = "{text}"
    filled = sentence.format(
        text=readable(refusal.text, 400),
        what=view.what,
        verify=view.way("verify"),
        enroll=view.way("enroll"),
        again=readable(view.ssh(view.words), 300),
        help=view.ssh("help"),
        user=printable(view.user, 64),
        repository=readable(view.repository, 100) or "it",
        word=printable(str(refusal.facts.get("word", "")), 60),
        digits=refusal.facts.get("digits", 6),
        retry=clock(retry_at, view.now) if isinstance(retry_at, int) else "a while",
    )
    return f"gitguard: {filled} [{refusal.reason}]"


def refusal_text(refusal: Refusal, view: View) -> str:
    """The whole message, first line and what helps, within `LONGEST_BYTES`, without a final newline."""
    lines = [first_line(refusal, view)]
    if refusal.hint:
        lines.append(readable(refusal.hint, 300))
    word = str(refusal.facts.get("word", ""))
    if refusal.reason == "unknown-command" and (near := OWN_WORDS.get(word)):
        lines.append(f"did you mean: {view.ssh(near)}")
    if view.number:
        lines.append(f"if the page asks for a number, it is {view.number}")
    if refusal.reason == "enrolment-required" and view.needs_invite:
        lines.append("it asks for the invite that your server admin sent you; if you have none, ask for one")
    lines += _who_and_since_when(refusal, view)
    if refusal.reason == "throttled" and isinstance(retry_at := refusal.facts.get("retry_at"), int):
        lines.append(f"that is in {duration(retry_at - view.now)}; nobody is locked for good")
    if view.help_line:
        lines.append(readable(view.help_line))
    if view.help_url:
        lines.append(readable(view.help_url))
    if view.decision:
        lines.append(f"id {view.decision}")
    text = "\n".join(lines)
    while len(text.encode("utf-8", "replace")) > LONGEST_BYTES and len(lines) > 2:
        del lines[-2]  # keep the first line and the id; drop help first
        text = "\n".join(lines)
    return text.encode("utf-8", "replace")[:LONGEST_BYTES].decode("utf-8", "ignore")


def _who_and_since_when(refusal: Refusal, view: View) -> "list[str]":
    """The key that asked, and what is known of verifications of its user."""
    lines = []
    if view.key:
        lines.append(
            f"key {view.key} of {printable(view.user, 64)}"
            + (f", from {view.address}" if view.address else "")
        )
    if refusal.reason in ("verification-required", "verification-expired"):
        if view.ended_at is not None:
            lines.append(f"the last verification ended at {clock(view.ended_at, view.now)}")
        for key, network in view.others[:2]:
            lines.append(f"verified elsewhere: key {key or 'any'}" + (f" from {network}" if network else ""))
        lines.append("use the host and key of your remote if they are others; in a clone: git guard verify")
        if view.operation == "read":
            lines.append("objects that you fetched before are kept; only new ones need this")
    return lines
