"""The verbs that a person types: one table for `ssh -T git@HOST 2fa VERB` and `gitguard VERB`.

Pure data. The server attaches its use cases to the rows, the workstation its ssh; command_line.py makes
click commands of them. A test holds docs/reference.md to this table.
"""

from __future__ import annotations

from typing import NamedTuple


class Argument(NamedTuple):
    """A positional argument. `many` takes all that is left."""

    name: str
    required: bool = True
    many: bool = False
    shown: str = ""

    @property
    def usage(self) -> str:
        """How it stands in a usage line: `REPO`, `on|off`, `[CODE]`."""
        shown = self.shown or self.name.upper()
        return shown if self.required else f"[{shown}]"


class Option(NamedTuple):
    """A flag; with `choices` an option that takes one of them (the first is the default), with `value` a text."""

    name: str
    help: str
    choices: tuple[str, ...] = ()
    value: str = ""

    @property
    def usage(self) -> str:
        """How it stands in a usage line: `[--json]`, `[--qr auto|small]`."""
        takes = "|".join(self.choices) or self.value
        return f"[{self.name} {takes}]" if takes else f"[{self.name}]"


class Verb(NamedTuple):
    """One verb: its names, its help line, what it takes. `children` are the verbs below it."""

    name: str
    help: str
    arguments: tuple[Argument, ...] = ()
    options: tuple[Option, ...] = ()
    aliases: tuple[str, ...] = ()
    children: tuple[Verb, ...] = ()


JSON = Option("--json", "Print JSON.")
_REPO = Argument("repo")

VERBS = (
    Verb(
        "verify",
        "Open a 2FA session with a code from your app, or a recovery code at the prompt.",
        (Argument("code", required=False, many=True),),
        (
            Option("--if-needed", "Ask nothing while a session is live."),
            Option("--no-prompt", "Read the code from stdin without asking for it aloud."),
            Option(
                "--for", "With --if-needed: judge the session by this repository's lifetime.", value="REPO"
            ),
        ),
    ),
    Verb(
        "enroll",
        "Set up your authenticator app: shows a QR code and recovery codes, then asks for a code.",
        (Argument("invite", required=False),),
        (Option("--qr", "How to draw the QR code.", ("auto", "small", "large", "none")),),
        aliases=("enrol",),
    ),
    Verb(
        "status",
        "Show whether you are enrolled and verified, and until when.",
        options=(
            JSON,
            Option("--check", "Print nothing; exit 0 verified, 10 not verified, 11 not enrolled."),
        ),
    ),
    Verb(
        "keys",
        "List your keys and their sessions; add a public key, or remove one (both need a code).",
        (
            Argument("verb", required=False, shown="add|remove"),
            Argument("key", required=False, many=True, shown="KEY|FINGERPRINT"),
        ),
        (JSON,),
    ),
    Verb(
        "leave",
        "End the session of this key; your SSH access stays.",
        options=(
            Option("--all", "End the sessions of all your keys; needs a session in scope or a code."),
            Option(
                "--key",
                "End the sessions of this key of yours; needs the same as --all.",
                value="FINGERPRINT",
            ),
        ),
    ),
    Verb("web", "Print a link that signs you in to the web page: once, within five minutes."),
    Verb("recovery-codes", "Make a new set of recovery codes; the old set is void."),
    Verb(
        "always",
        "Demand 2FA for everything I do, whatever the rules say: on (needs a session or a code) or off (needs a code).",
        (Argument("switch", shown="on|off"),),
    ),
    Verb("remove", "Remove your second factor."),
    Verb(
        "repo",
        "Show or set what a repository demands.",
        children=(
            Verb("show", "What the repository demands, and its admins.", (_REPO,), (JSON,)),
            Verb(
                "require",
                "Demand 2FA for none, push (pushing only) or all (reading too).",
                (_REPO, Argument("require", shown="none|push|all")),
            ),
            Verb(
                "lifetime",
                "How long a verification counts here, such as 1h, or default.",
                (_REPO, Argument("lifetime", shown="DURATION|default")),
            ),
            Verb(
                "admin",
                "Add or remove an admin of the repository.",
                (_REPO, Argument("verb", shown="add|remove"), Argument("user")),
            ),
        ),
    ),
)
