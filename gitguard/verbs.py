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
    """A flag; with `choices` an option that takes one (the first is the default), with `value` a text."""

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
    """One verb: its names, its help line, what it takes. `children` are the verbs below it.

    `asks_for_code`: it always may, at its prompt.
    """

    name: str
    help: str
    arguments: tuple[Argument, ...] = ()
    options: tuple[Option, ...] = ()
    aliases: tuple[str, ...] = ()
    children: tuple[Verb, ...] = ()
    asks_for_code: bool = False


JSON = Option("--json", "Print JSON.")
_REPO = Argument("repo")

VERBS = (
    Verb(
        "verify",
        "Verify with a code from your app. At the prompt, a recovery code works too.",
        (Argument("code", required=False, many=True),),
        (
            Option("--if-needed", "Do not ask if already verified."),
            Option("--no-prompt", "Read the code from stdin; print no prompt."),
            Option("--for", "With --if-needed: check against this repository's time limit.", value="REPO"),
        ),
        asks_for_code=True,
    ),
    Verb(
        "enroll",
        "Set up your authenticator app. Shows recovery codes and a QR code, then asks for a code.",
        (Argument("invite", required=False),),
        (Option("--qr", "How to draw the QR code.", ("auto", "small", "large", "none")),),
        aliases=("enrol",),
        asks_for_code=True,
    ),
    Verb(
        "status",
        "Show if you are verified, and until when.",
        options=(
            JSON,
            Option("--check", "Print nothing; exit 0 verified, 10 not verified, 11 not enrolled."),
        ),
    ),
    Verb(
        "keys",
        "List, add or remove your SSH keys. Adding and removing need a code.",
        (
            Argument("verb", required=False, shown="add|remove"),
            Argument("key", required=False, many=True, shown="KEY|FINGERPRINT"),
        ),
        (JSON,),
    ),
    Verb(
        "leave",
        "End the session of this key. Your key still works for SSH.",
        options=(
            Option("--all", "End the sessions of all your keys; needs a session or a code."),
            Option(
                "--key",
                "End the sessions of this key of yours; needs the same as --all.",
                value="FINGERPRINT",
            ),
        ),
    ),
    Verb(
        "web",
        "Print a link to sign in to the web page. It works once, for five minutes.",
        options=(Option("--qr", "How to draw the link for your phone.", ("auto", "small", "large", "none")),),
    ),
    Verb("recovery-codes", "Make new recovery codes. The old ones then no longer work.", asks_for_code=True),
    Verb(
        "always",
        "Require 2FA for everything you do (on/off). On needs a session or a code; off needs a code.",
        (Argument("switch", shown="on|off"),),
        asks_for_code=True,
    ),
    Verb("remove", "Remove your second factor.", asks_for_code=True),
    Verb(
        "repo",
        "Show or set what a repository requires.",
        children=(
            Verb("show", "Show what a repository requires, and admins.", (_REPO,), (JSON,)),
            Verb(
                "require",
                "Require 2FA for none, push or all. The word push means pushing only; all means reading too.",
                (_REPO, Argument("require", shown="none|push|all")),
                asks_for_code=True,
            ),
            Verb(
                "lifetime",
                "Set how long a verification counts here. Such as 1h, or default.",
                (_REPO, Argument("lifetime", shown="DURATION|default")),
                asks_for_code=True,
            ),
            Verb(
                "admin",
                "Add or remove an admin of the repository.",
                (_REPO, Argument("verb", shown="add|remove"), Argument("user")),
                asks_for_code=True,
            ),
        ),
    ),
)
