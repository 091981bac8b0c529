r"""What the client asks for, parsed strictly: one verb, its arguments, in the quoting Git uses.

MUST: what is not understood is refused, never tried; no shell sees the client's bytes. Source of the
quoting: git's quote.c, sq_quote_buf (`'` as `'\''`, `!` as `'\!'`). Plain dialect: the gate loads this.
"""

from gitguard.message.reasons import Refusal

LONGEST_BYTES = 8192

# The verb a client sends -> the operation it is.
GIT_VERBS = {"git-upload-pack": "read", "git-upload-archive": "read", "git-receive-pack": "push"}
LFS_VERBS = ("git-lfs-authenticate", "git-lfs-transfer")
LFS_WORDS = {"download": "read", "upload": "push"}
# GitLab's spellings, which people's fingers know.
OWN_VERBS = {"2fa": (), "2fa_verify": ("verify",), "2fa_recovery_codes": ("recovery-codes",)}


class Command:
    """A parsed request. `kind`: `git`, `lfs`, `own` (2fa ... and the bare greeting) or `pass`.

    `verb` is canonical (`git-upload-pack`), `repository` as the client spelled it, `operation` one of
    read, push or "", `words` the arguments of an own or passed command.
    """

    __slots__ = ("kind", "operation", "repository", "verb", "words")

    def __init__(
        self,
        kind: str,
        verb: str,
        *,
        operation: str = "",
        repository: str = "",
        words: "tuple[str, ...]" = (),
    ) -> None:
        self.kind = kind
        self.verb = verb
        self.operation = operation
        self.repository = repository
        self.words = words

    @property
    def names_repository(self) -> bool:
        """Whether it is about one repository; also when that was spelled as an empty word."""
        return self.kind in ("git", "lfs")


def read_command(line: "str | None", pass_commands: "tuple[str, ...]" = ()) -> "Command | Refusal":
    """What `parse` gives, or its refusal: a decision says that only after who asks is known."""
    try:
        return parse(line, pass_commands)
    except Refusal as refusal:
        return refusal


def parse(line: "str | None", pass_commands: "tuple[str, ...]" = ()) -> Command:
    """The request in `line` (`SSH_ORIGINAL_COMMAND`; None or empty is the bare greeting).

    Raises Refusal("malformed-command" or "unknown-command").
    """
    if not line:
        return Command("own", "hello")
    words = split(line)
    verb = words[0]
    rest = words[1:]
    if verb == "git" and rest:
        verb = "git-" + rest[0]
        rest = rest[1:]
    if verb in GIT_VERBS:
        if len(rest) != 1:
            raise Refusal("malformed-command", f"{verb} takes one repository, got {len(rest)} arguments")
        return Command("git", verb, operation=GIT_VERBS[verb], repository=rest[0])
    if verb in LFS_VERBS:
        return _lfs(verb, rest)
    if verb in OWN_VERBS:
        return Command("own", "2fa", words=OWN_VERBS[verb] + rest)
    if verb in pass_commands:
        return Command("pass", verb, words=rest)
    raise Refusal("unknown-command", f"no command {verb!r}", word=verb)


def verb_of(line: "str | None") -> str:
    """The Git verb that `line` begins with, if any: a refusal to one must be an ERR packet.

    Unlike `parse` it answers for malformed lines too, since their sender reads packets all the same.
    """
    words = [word.replace("'", "").replace('"', "") for word in (line or "")[:1024].split()[:2]]
    if not words:
        return ""
    # `remote.NAME.uploadpack` may name a path: what runs there would have spoken packets too.
    first = words[0].rpartition("/")[2]
    verb = "-".join(("git", *words[1:])) if first == "git" else first
    return verb if verb in GIT_VERBS else ""


def _lfs(verb: str, rest: "tuple[str, ...]") -> Command:
    # git-lfs-authenticate may carry an object id as a third word; it decides nothing here.
    most = 3 if verb == "git-lfs-authenticate" else 2
    if not 2 <= len(rest) <= most:
        raise Refusal("malformed-command", f"{verb} takes a repository and download or upload")
    if rest[1] not in LFS_WORDS:
        raise Refusal("malformed-command", f"{verb} download or upload, not {rest[1]!r}")
    return Command("lfs", verb, operation=LFS_WORDS[rest[1]], repository=rest[0], words=rest[1:])


def split(line: str) -> "tuple[str, ...]":
    """The words of `line`: parted by single spaces, each bare or in Git's single quotes.

    Raises Refusal("malformed-command") for control characters, a shell's characters outside quotes, an
    unclosed quote, no word at all, or more than `LONGEST_BYTES`.
    """
    if len(line) > LONGEST_BYTES or len(line.encode("utf-8", "surrogateescape")) > LONGEST_BYTES:
        raise Refusal("malformed-command", f"longer than {LONGEST_BYTES} bytes")
    if any(c < " " or c == "\x7f" for c in line):
        raise Refusal("malformed-command", "control characters")
    words = []
    position = 0
    while position < len(line):
        if line[position] == " ":
            position += 1
            continue
        word, position = _word(line, position)
        words.append(word)
    if not words:
        raise Refusal("malformed-command", "no word")
    return tuple(words)


_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/+:@=,%^~")


def _word(line: str, position: int) -> "tuple[str, int]":
    """The word that begins at `position`, and where it ends."""
    word = ""
    while position < len(line) and line[position] != " ":
        c = line[position]
        if c == "'":
            end = line.find("'", position + 1)
            if end < 0:
                raise Refusal("malformed-command", "unclosed quote")
            word += line[position + 1 : end]
            position = end + 1
        elif c == "\\" and line[position + 1 : position + 2] in ("'", "!"):
            word += line[position + 1]
            position += 2
        elif c in _BARE or c > "\x7f":
            word += c
            position += 1
        else:
            raise Refusal("malformed-command", f"{c!r} outside quotes")
    return word, position


def quote(word: str) -> str:
    """`word` as Git quotes it, for the program behind the gate."""
    return "'" + word.replace("'", "'\\''").replace("!", "'\\!'") + "'"
