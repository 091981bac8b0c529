"""The Git account: its shell, its home, its start-up files, and every key that leads in to it."""

from __future__ import annotations

import os
import pwd
import re
import shlex
from collections.abc import Iterator

from gitguard.doctor.finding import Finding, gap, note, ok, remedy_of
from gitguard.host import key_file
from gitguard.machine.login_shell import shell_fault
from gitguard.machine.ownership import fault_on_the_way
from gitguard.message.reasons import Refusal, readable
from gitguard.store.rows import Key

# These ignore BASH_ENV and every start-up file when they run one command; others are not believed to.
_PLAIN = ("dash", "ash", "busybox")
_RUNS_NOTHING = ("nologin", "false", "true", "git-shell")
_START_UP = (
    ".profile", ".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".zshenv", ".zprofile", ".zshrc", ".kshrc",
    ".ssh", ".ssh/rc", ".ssh/environment", ".config", ".config/git", ".config/git/config", ".gitconfig",
)  # fmt: skip


def shell_findings(entry: pwd.struct_passwd, keys: str, gate: str) -> Iterator[Finding]:
    """The login shell runs every forced command, with `-c`. While a line of `keys` is not gated, another
    shell would give that one a shell.
    """
    name = os.path.basename(os.path.realpath(entry.pw_shell))
    remedy = f"usermod --shell /bin/sh {entry.pw_name}"
    if _has_ungated(keys, gate):
        remedy = (
            "gitguard admin key list --map > MAP; look through it; gitguard admin key adopt --set-shell MAP"
        )
    if entry.pw_uid == 0:
        yield gap(
            "account-is-root",
            "the Git account is root: whatever runs behind the gate runs as root",
            "use an account of its own",
        )
    if name in _RUNS_NOTHING:
        yield gap("login-shell", f"{entry.pw_shell} cannot run a forced command", remedy)
    elif name not in _PLAIN:
        yield gap(
            "login-shell",
            f"{entry.pw_shell} ({name}) may read start-up files or BASH_ENV before the gate",
            remedy,
        )
    elif not os.access(entry.pw_shell, os.X_OK):
        yield gap("login-shell", f"{entry.pw_shell} is not there", remedy)
    elif fault := shell_fault(entry):
        yield gap("login-shell", fault, remedy)
    else:
        yield ok("login-shell", f"{entry.pw_shell} ({name})")


def _has_ungated(path: str, gate: str) -> bool:
    try:
        return any(f'command="{gate} ' not in line.options for line in key_file.foreign_lines(path))
    except Refusal:
        return True


def home_findings(entry: pwd.struct_passwd) -> Iterator[Finding]:
    """Who may write the home controls what runs before the gate, and Git's configuration behind it."""
    home = entry.pw_dir
    for name in ("", *_START_UP):
        path = os.path.join(home, name) if name else home
        if os.path.lexists(path) and (fault := fault_on_the_way(path, entry.pw_uid)):
            yield gap(
                "home",
                fault,
                remedy_of(fault, entry.pw_name, "give it to root or the account, writable by no one else"),
            )
            return
    if os.path.exists(os.path.join(home, ".ssh", "rc")):
        yield note(
            "ssh-rc", f"{home}/.ssh/rc is there; sshd must not run it", "PermitUserRC no, as the snippet says"
        )
    yield ok("home", f"{home} and its start-up files are closed to others")


def hardware_findings(keys: list[Key], *, count: bool) -> Iterator[Finding]:
    """Which hardware keys do not verify their person, and so are a key like any other;
    `count`: they could be more here.
    """
    touched = [key for key in keys if key.is_hardware and not key.verify_required]
    if count and touched:
        shown = ", ".join(f"{key.fingerprint} of {key.user}" for key in touched[:3])
        more = f" and {len(touched) - 3} more" if len(touched) > 3 else ""
        yield note(
            "hardware-key-unverified",
            f"hardware keys that ask for no PIN or fingerprint, so they do not count as a second factor: {shown}{more}",
            "make one with: ssh-keygen -t ed25519-sk -O verify-required; then: gitguard admin key add USER FILE --verify-required",
        )


def key_findings(keys: list[Key], files: list[str], managed: str, gate: str) -> Iterator[Finding]:
    """Every key line that sshd reads is ours, as we would write it."""
    if managed not in files:
        yield gap(
            "key-file",
            f"sshd does not read {managed}, so nobody gets in by gitguard's lines",
            "gitguard admin init --drop-in --reload",
        )
    expected = {key.fingerprint: key_file.key_line(key, gate) for key in keys}
    try:
        block, _ = key_file.read(managed)
    except Refusal as refusal:
        yield gap("key-file", refusal.text, "mend the file, then: gitguard admin init")
        return
    if block != b"".join(expected.values()):
        yield gap("key-file", f"the block in {managed} is not what the store says", "gitguard admin init")
    else:
        yield ok("key-file", f"{managed}: {len(keys)} gated {'key' if len(keys) == 1 else 'keys'}")
    if os.path.exists(managed) and (fault := fault_on_the_way(managed, os.geteuid())):
        yield gap(
            "key-file-mode", fault, remedy_of(fault, pwd.getpwuid(os.geteuid()).pw_name, "close it to others")
        )
    for path in files:
        if os.path.realpath(path) != os.path.realpath(managed) and os.path.exists(path):
            yield gap(
                "second-key-file",
                f"sshd also reads {path}",
                f"mv {shlex.quote(path)} {shlex.quote(path + '.off')}",
            )
        if os.path.exists(path):
            yield from _foreign_findings(path, gate, expected)


def looked_up_findings(keys: list[Key], files: list[str], managed: str) -> Iterator[Finding]:
    """Where sshd asks for each key: it reads no file, and none of ours is left in one."""
    for path in files:
        yield gap(
            "key-file",
            f"sshd reads {path}, whose keys get in without being looked up",
            "gitguard admin init --drop-in --reload",
        )
    try:
        left = key_file.read(managed)[0] if os.path.exists(managed) else b""
    except Refusal as refusal:
        yield gap("key-file", refusal.text, "mend the file, then: gitguard admin init")
        return
    if left:
        yield gap("key-file", f"{managed} still has lines of gitguard's", "gitguard admin init")
    elif not files:
        yield ok(
            "key-file",
            f"{len(keys)} {'key is' if len(keys) == 1 else 'keys are'} looked up, none is in a file",
        )


def _line_out(line: key_file.ForeignLine) -> str:
    """The command that turns the line off, and keeps it to be read."""
    return f"sed -i '{line.number}s/^/# /' {shlex.quote(line.path)}"


def _foreign_findings(path: str, gate: str, known: dict[str, bytes]) -> Iterator[Finding]:
    try:
        lines = key_file.foreign_lines(path)
    except Refusal as refusal:
        yield gap("key-file", refusal.text, "make it readable to the Git account")
        return
    for line in lines:
        about = f"{line.fingerprint} {readable(line.comment, 60)} in {path}"
        if not line.fingerprint:
            yield gap(
                "key-line-unread",
                f"a line that is not understood, and that sshd may: {about}",
                _line_out(line),
            )
            continue
        forced = re.search(r'command="([^"]*)"', line.options)
        if forced is None or not forced[1].startswith(gate + " --user "):
            yield gap(
                "key-not-gated",
                f"a key line without our forced command: {about}",
                f"gitguard admin key list --map > MAP; look through it; gitguard admin key adopt MAP; or, if nobody should have it: {_line_out(line)}",
            )
        elif not re.search(r"(^|,)restrict(,|$)", line.options):
            yield gap("key-not-restricted", f"a gated key line without `restrict`: {about}", _line_out(line))
        elif (said := re.search(r"--key (SHA256:[A-Za-z0-9+/]+)", forced[1])) and said[1] != line.fingerprint:
            yield gap(
                "key-of-another",
                f"a gated line says {said[1]}, and its key is another: whoever has it acts by that one's session: {about}",
                _line_out(line),
            )
        elif line.fingerprint not in known:
            yield gap(
                "key-not-known",
                f"a gated key line of a key that the store does not know: {about}",
                _line_out(line),
            )
        elif f"{line.options} {line.type} {line.blob}" not in known[line.fingerprint].decode():
            yield gap(
                "key-line-altered",
                f"a gated key line that is not as gitguard writes it: {about}",
                _line_out(line),
            )
