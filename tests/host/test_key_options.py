"""The options of a foreign key line: implied, limiting, a program, or not for us;
nothing is ever lost on the way.
"""

from __future__ import annotations

import shlex

import pytest

from gitguard.action.keys import key_row
from gitguard.host.key_options import NewKey, command_option, understand
from tests.conftest import key_of

GATE = "/opt/gitguard/bin/gitguard-shell"


@pytest.mark.parametrize(
    ("text", "limits", "verify_required", "behind"),
    [
        ("", "", False, ()),
        ("no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty,no-user-rc", "", False, ()),
        ("restrict", "", False, ()),
        ("NO-PTY,Restrict", "", False, ()),
        ('from="192.0.2.0/24,!192.0.2.7"', 'from="192.0.2.0/24,!192.0.2.7"', False, ()),
        ('expiry-time="20300101"', 'expiry-time="20300101"', False, ()),
        ('no-pty,expiry-time="203001011200Z",from="*.example.com"', 'from="*.example.com",expiry-time="203001011200Z"', False, ()),
        ("verify-required", "", True, ()),
        ('command="/usr/share/gitolite3/gitolite-shell carol",no-pty', "", False, ("/usr/share/gitolite3/gitolite-shell", "carol")),
        ('command="/usr/local/bin/gitea --config=/etc/gitea/app.ini serv key-7",restrict', "", False, ("/usr/local/bin/gitea", "--config=/etc/gitea/app.ini", "serv", "key-7")),
        ('command="/a/prog \\"two words\\" \'three words here\'"', "", False, ("/a/prog", "two words", "three words here")),
        ('command="git-shell -c \\"$SSH_ORIGINAL_COMMAND\\""', "", False, ()),
        (f'restrict,command="{GATE} --user bob --key SHA256:x"', "", False, ()),
        (f'restrict,command="{GATE} --user bob --key SHA256:x -- /usr/bin/gl carol"', "", False, ("/usr/bin/gl", "carol")),
        ('permitopen="localhost:80",permitlisten="8080"', "", False, ()),
    ],
)  # fmt: skip
def test_what_is_understood(text: str, limits: str, verify_required: bool, behind: tuple[str, ...]) -> None:
    """What `restrict` implies is dropped, what limits is kept, a command becomes
    the program behind the gate.
    """
    options = understand(text, GATE)
    assert options.fault == ""
    assert (options.limits, options.verify_required, options.behind) == (limits, verify_required, behind)


@pytest.mark.parametrize(
    "text",
    [
        "cert-authority", 'principals="a"', 'environment="A=b"', 'tunnel="0"', "no-touch-required", "pty", "port-forwarding",
        "agent-forwarding", "user-rc", "x11-forwarding", "unknown-option", 'from=""', 'from="a",from="b"', "from", 'no-pty="x"',
        'command="sh -c id"', 'command="/bin/a; id"', 'command="/bin/a $SSH_ORIGINAL_COMMAND"', 'command="/bin/a | /bin/b"',
        'command="relative prog"', 'command=""', 'command="/bin/a \'open"', 'from="unclosed', "a,,b", "no-pty,", ",no-pty", "no pty",
        'expiry-time="1",expiry-time="2"',
    ],
)  # fmt: skip
def test_what_is_not_for_us_is_refused(text: str) -> None:
    """What widens, names an authority, or is not understood: the line is refused, and its option named."""
    assert understand(text, GATE).fault


@pytest.mark.parametrize(
    "behind",
    [("/usr/bin/gl", "carol"), ("/a b/c", "it's", 'say "x"', "$HOME", "a;b", "\\"), ("/x", "ä", "*")],
)
def test_what_is_written_is_read_again(behind: tuple[str, ...]) -> None:
    """A program stands in the line so that the shell gives it the very same words,
    and adopting finds them again.
    """
    option = command_option(key_row("bob", NewKey(key_of(1), behind=behind), 0), GATE)
    command = option.removeprefix('command="').removesuffix('"').replace('\\"', '"')
    assert tuple(shlex.split(command)[6:]) == behind
