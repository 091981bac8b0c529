"""What Git tells a pre-receive hook on stdin: one line a ref, `<old> <new> <ref>`.

MUST: whatever is malformed is a refusal, never an empty list. Source: githooks(5), pre-receive.
"""

from gitguard.message.reasons import Refusal
from gitguard.repository.refs import LONGEST_LINE

LONGEST_INPUT = 256 * 1024 * 1024
_HEX = frozenset(b"0123456789abcdef")


def parse_updates(data: bytes) -> "tuple[tuple[str, str, str], ...]":
    """(old, new, ref) of each update. Raises Refusal("malformed-command")."""
    if not data.endswith(b"\n"):
        raise Refusal("malformed-command", "the hook's input is empty or cut off")
    return tuple([_update(line) for line in data[:-1].split(b"\n")])


def _update(line: bytes) -> "tuple[str, str, str]":
    fields = line.split(b" ")
    if len(line) > LONGEST_LINE or len(fields) != 3 or b"\0" in line:
        raise Refusal("malformed-command", "a line of the hook's input is not old, new and ref")
    old, new, ref = fields
    for name in (old, new):
        if len(name) not in (40, 64) or not _HEX.issuperset(name):
            raise Refusal("malformed-command", "a line of the hook's input has no object names")
    if not ref.startswith(b"refs/"):
        raise Refusal("malformed-command", "a line of the hook's input has no ref")
    try:
        return old.decode("ascii"), new.decode("ascii"), ref.decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal("malformed-command", "a ref is not UTF-8") from None
