"""authorized_keys: our managed block, and everything else kept byte for byte.

MUST: a key has one way in. A foreign line that carries a key of ours would win over our line if it came
first, so adding such a key is refused until it is adopted; our block stands at the top. Source: sshd(8),
AUTHORIZED_KEYS FILE FORMAT.
"""

from __future__ import annotations

import os
import re
import stat

from msgspec import Struct

from gitguard.host.key_options import command_option, program_option
from gitguard.identity.public_key import LONGEST_COMMENT, TYPES, fingerprint
from gitguard.machine.errand import errand
from gitguard.machine.files import replace
from gitguard.message.reasons import Refusal, machine_fault, readable
from gitguard.store.rows import Key

BEGIN = b"# gitguard begin: this block is written by `gitguard admin`; edits are lost\n"
END = b"# gitguard end\n"
BEFORE = ".before-gitguard"  # the file as it was before our first change
WITH_GITGUARD = ".with-gitguard"  # the file as it was before uninstalling
PREVIOUS = ".previous"  # the file as it was before the block last lost lines
_TYPE_PREFIXES = ("ssh-", "ecdsa-", "sk-", "rsa-sha2-", "webauthn-")


class ForeignLine(Struct, frozen=True):
    """A line that gitguard did not write. `fingerprint` is empty where the line was not understood."""

    path: str
    number: int
    fingerprint: str
    options: str
    type: str
    blob: str
    comment: str


def key_line(key: Key, gate: str, token: str = "") -> bytes:
    """The line that gates `key`: everything off but the forced command, and what limits the key. `token`: of
    the connection that it is for.
    """
    options = "restrict," + command_option(key, gate, token)
    if key.verify_required:
        options += ",verify-required"
    if key.limits:
        options += "," + key.limits
    return _whole_line(options, key)


def _whole_line(options: str, key: Key) -> bytes:
    """One line, and no more: what would be two is not written. Raises Refusal."""
    comment = readable(key.comment, LONGEST_COMMENT)
    line = f"{options} {key.type} {key.blob} {comment}".rstrip()
    if any(c < " " or c == "\x7f" for c in line):
        raise Refusal(
            "store-unavailable", text=f"the key {key.fingerprint} of {key.user} holds control characters in the store; no line was written",
            hint=f"take it away: gitguard admin key remove {key.fingerprint}",
        )  # fmt: skip
    return line.encode() + b"\n"


@errand
def read(path: str) -> tuple[bytes, bytes]:
    """(our block's lines, everything else) of the file at `path`; both empty if
    missing. Raises as `_parts`.
    """
    block, foreign = _parts(path)
    return block, b"".join(text for _, text in foreign)


def _parts(path: str) -> tuple[bytes, list[tuple[int, bytes]]]:
    """(our block's lines, every other line with its number in the file).

    MUST: a mark counts as a whole line alone; a comment that holds its words is a comment. Raises
    Refusal("usage") for a file that is a link, unreadable, or has half a block.
    """
    try:
        if stat.S_ISLNK(os.lstat(path).st_mode):
            raise Refusal("usage", text=f"{path} is a symbolic link; give the file itself")
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return b"", []
    except OSError as error:
        raise machine_fault(f"cannot read {path}", error) from None
    lines = _lines(data)
    begins = [number for number, line in enumerate(lines) if line.rstrip(b"\r\n") == BEGIN.rstrip()]
    ends = [number for number, line in enumerate(lines) if line.rstrip(b"\r\n") == END.rstrip()]
    if not begins and not ends:
        return b"", list(enumerate(lines, 1))
    if len(begins) != 1 or len(ends) != 1 or ends[0] < begins[0]:
        at = ", ".join(str(number + 1) for number in sorted(begins + ends))
        raise Refusal(
            "usage",
            text=f"{path}: gitguard's block is damaged, which has one begin and one end line (there are some in line {at})",
            hint="leave one of each, with gitguard's own lines between them, then: gitguard admin init",
        )
    numbered = list(enumerate(lines, 1))
    return b"".join(lines[begins[0] + 1 : ends[0]]), numbered[: begins[0]] + numbered[ends[0] + 1 :]


@errand
def write(path: str, keys: list[Key], gate: str, *, without: frozenset[str] = frozenset()) -> bool:
    """Put the lines of `keys` in our block; foreign lines stay, but for those `without` (fingerprints).

    The file as it was before our first change stays beside it (`BEFORE`), and whenever the block loses lines,
    as it was before that (`PREVIOUS`). Returns whether the file changed. Raises Refusal.
    """
    before, lines = _parts(path)
    gone = {line.number for line in foreign_lines(path) if line.fingerprint in without} if without else set()
    foreign = b"".join(text for number, text in lines if number not in gone)
    block = b"".join(key_line(key, gate) for key in keys)
    data = BEGIN + block + END + foreign
    try:
        with open(path, "rb") as file:
            there = file.read()
    except OSError:
        there = b""
    if there and there != data:
        if BEGIN not in there and not os.path.lexists(path + BEFORE):
            replace(path + BEFORE, there, 0o600)
        if before.count(b"\n") > block.count(b"\n"):
            replace(path + PREVIOUS, there, 0o600)
    return replace(path, data, 0o600)


@errand
def put_in(path: str, line: bytes) -> bytes:
    """Put a line of somebody's at the end of our block, for a moment; the file as it was. Raises Refusal."""
    before = _bytes(path)
    end = b"\n" + END  # on a line of its own: a key's comment may say the same
    if end not in before:
        raise Refusal("usage", text=f"{path} has no block of gitguard's")
    replace(path, before.replace(end, b"\n" + line + END, 1), 0o600)
    return before


@errand
def take_out(path: str, line: bytes) -> bytes:
    """Take it out again; the file as it is then. Raises Refusal."""
    now = _bytes(path)
    if line in now:
        now = now.replace(line, b"", 1)
        replace(path, now, 0o600)
    return now


def _bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise machine_fault(f"cannot read {path}", error) from None


@errand
def release(path: str, keys: list[Key], behind: tuple[str, ...]) -> None:
    """Take our block out; `keys` continue as lines of their own, restricted and limited as
    before, and the foreign lines stay.

    Each runs its own program, else the server's `behind`, else git-shell. The file as it was
    stays beside it. Raises Refusal.
    """
    _, lines = _parts(path)
    plain = b"".join(_plain_line(key, behind) for key in keys)
    try:
        with open(path, "rb") as file:
            there = file.read()
    except FileNotFoundError:
        there = b""
    if BEGIN in there:  # a second run must not overwrite the copy with what the first has made
        replace(path + WITH_GITGUARD, there, 0o600)
        replace(path, plain + b"".join(text for _, text in lines), 0o600)


def _plain_line(key: Key, behind: tuple[str, ...]) -> bytes:
    program = key.behind or tuple(word.replace("{user}", key.user) for word in behind)
    options = f"restrict,{program_option(program)}"
    options += ",verify-required" if key.verify_required else ""
    options += f",{key.limits}" if key.limits else ""
    return _whole_line(options, key)


def _lines(data: bytes) -> list[bytes]:
    """Lines as sshd reads them: a newline ends one, nothing else does."""
    return re.findall(rb"[^\n]*\n|[^\n]+", data)


@errand
def foreign_lines(path: str) -> list[ForeignLine]:
    """The key lines of the file outside our block, numbered as they stand in the file."""
    found = []
    for number, raw in _parts(path)[1]:
        # sshd reads C strings: what stands behind a NUL is not there.
        text = raw.partition(b"\0")[0].decode("utf-8", "replace").strip()
        if text and not text.startswith("#"):
            found.append(parse_line(path, number, text))
    return found


def parse_line(path: str, number: int, text: str) -> ForeignLine:
    """The key of a line, read as sshd reads it: `type blob comment`, else options first, then that."""
    for options, rest in (("", text), _after_options(text)):
        words = rest.split(None, 2)
        if len(words) < 2 or not (words[0] in TYPES or words[0].startswith(_TYPE_PREFIXES)):
            continue
        try:
            digest = fingerprint(words[1])
        except ValueError:
            continue
        return ForeignLine(
            path, number, digest, options, words[0], words[1], words[2] if len(words) > 2 else ""
        )
    return ForeignLine(path, number, "", "", "", "", text[:60])


def _after_options(text: str) -> tuple[str, str]:
    """(options, the rest): options end at the first blank outside quotes.
    Source: sshd's auth2-pubkeyfile.c.
    """
    quoted = False
    position = 0
    while position < len(text) and (quoted or text[position] not in " \t"):
        if text[position] == "\\" and text[position + 1 : position + 2] == '"':
            position += 1
        elif text[position] == '"':
            quoted = not quoted
        position += 1
    return text[:position], text[position:].lstrip(" \t")


@errand
def carried(path: str, blobs: list[str]) -> list[str]:
    """Those of the keys `blobs` (base64) that stand outside our block in a line that sshd may
    read, understood by us or not.

    A line that is a comment lets nobody in.
    """
    lines = b"".join(line for line in _lines(read(path)[1]) if not line.lstrip().startswith(b"#"))
    return [blob for blob in blobs if blob.rstrip("=").encode() in lines] if lines else []


def default_path(home: str) -> str:
    """Where sshd looks by default."""
    return os.path.join(home, ".ssh", "authorized_keys")


@errand
def files_that_sshd_reads(path: str, home: str) -> list[str]:
    """The key files that sshd may read for the account: ours, and the default pair below its home.

    The default ones count although our snippet turns them off: a server whose sshd does not use the snippet
    yet must not be told that all is gated.
    """
    default = default_path(home)
    candidates = [path, path + "2", default, default + "2"]
    return [
        name for at, name in enumerate(candidates) if name not in candidates[:at] and os.path.exists(name)
    ]
