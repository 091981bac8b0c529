"""Lists of people and their keys: CSV with a head line, and another machine's authorized_keys with a map."""

from __future__ import annotations

import csv
import io
import re
from itertools import pairwise

from gitguard.host.key_file import parse_line
from gitguard.host.key_options import NewKey, understand
from gitguard.identity.names import is_fingerprint
from gitguard.identity.public_key import parse_public_key
from gitguard.importers.imported import ImportedList, ImportedPerson, Skipped
from gitguard.importers.limits import is_limit, limited
from gitguard.message.reasons import Refusal, readable

# What a column holds -> its possible heads, the surest first: forges and directories name them so. Heads are
# compared in small letters, with _ for blanks and hyphens.
_CALLED = ("nickname", "name")  # what someone calls themselves, as anyone may
_HEADS = {
    "login": ("login", "username", "user_name", "samaccountname", "uid", "user", "handle", *_CALLED),
    "email": ("email", "e_mail", "mail", "email_address", "userprincipalname"),
}
_KEY_TYPE = re.compile(r"(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+")
_BETWEEN_KEYS = re.compile(rf"[;,|](?=\s*(?:{_KEY_TYPE.pattern})\s)")
_KEYS = re.compile(r"(ssh_?)?(public_?)?keys?(_?\d+)?")
# Words in a head that nobody knows, which make it too dangerous to pass over.
_OF_PEOPLE = re.compile(r"(?:.*_)?(?:login|username|uid|account)(?:_?name|_?\d+)?")
_OF_KEYS = re.compile(r".*(?:ssh|pubkey|public_?key|authorized_?key).*|(?:.*_)?keys?(?:_?\d+)?")
_OF_LIMITS = re.compile(
    r".*(?:block|bloqu|disab|lock|suspend|enabl|activ|aktiv|expir|state|status|prohibit|archiv|delet|(?<![a-z])ban|valid|terminat"
    r"|end_?date|end_?time|_until|revok|remov|frozen|freez|clos|denied|deny|deprovision|allow|gesperrt|left_(?:at|on)|usercontrol).*"
)


def read_csv(data: bytes, at: int) -> ImportedList:
    """One person a line; columns by their heads: a login (user, username, uid),
    email, keys, and what limits them.

    Without a login the email's first part stands for it. Who is not plainly active at `at` (Unix seconds) is
    left out, and so is each column that is not known. Raises Refusal("usage") for a head line that names no
    people, or a column that may say who someone is, what key they have or whether they are blocked, and is
    not known.
    """
    text, begins, separator = _table(_text(data))
    rows = csv.reader(io.StringIO(text, newline=None), delimiter=separator, strict=True)
    people: list[ImportedPerson] = []
    skipped: list[Skipped] = []
    try:
        columns = _Columns(next(rows, []), begins)
        if columns.others:
            what = "the column" if len(columns.others) == 1 else "the columns"
            skipped.append(
                Skipped(begins, f"{what} {', '.join(columns.others)}", "nothing is known of it here")
            )
        for row in rows:
            _person(row, rows.line_num + begins - 1, columns, separator, at, people, skipped)
    except csv.Error as error:
        raise Refusal("usage", text=f"line {rows.line_num + begins - 1}: {error}") from None
    people = _nowhere_limited(people, columns.limited, skipped)
    return ImportedList(tuple(people), tuple(skipped))


def _nowhere_limited(
    people: list[ImportedPerson], limited_logins: set[str], skipped: list[Skipped]
) -> list[ImportedPerson]:
    """Whom one line calls not active is not taken by another line."""
    kept = []
    for person in people:
        if person.login.casefold() in limited_logins:
            skipped.append(
                Skipped(person.line, person.login, "another line says that it is not plainly active")
            )
        else:
            kept.append(person)
    return kept


def _table(text: str) -> tuple[str, int, str]:
    """(the text from its head line on, the line of that, the separator): blank lines and a
    spreadsheet's `sep=;` come first.
    """
    begins, separator = 1, ""
    while text:
        line, _, rest = text.partition("\n")
        if line.strip().lower().startswith("sep=") and len(line.strip()) == len("sep=") + 1:
            separator = line.strip()[-1]
        elif line.strip("\r \t"):
            break
        text, begins = rest, begins + 1
    return text, begins, separator or max(",;\t", key=text.partition("\n")[0].count)


class _Columns:
    """Which column holds what. `login` and `email`: its place or None; `keys`:
    places; `limits`: (place, head).
    """

    def __init__(self, heads: list[str], line: int) -> None:
        plain = [re.sub(r"[\s-]+", "_", head.strip().casefold()) for head in heads]
        places = {
            what: next((plain.index(name) for name in names if name in plain), None)
            for what, names in _HEADS.items()
        }
        self.login, self.email, self.width = places["login"], places["email"], len(heads)
        self.is_called = self.login is not None and plain[self.login] in _CALLED
        if self.login is None and self.email is None:
            raise Refusal(
                "usage",
                text=f"line {line}: the head line names no column of people",
                hint="begin the file with a line such as: login,email,key",
            )
        self.keys = [place for place, head in enumerate(plain) if _KEYS.fullmatch(head)]
        self.limited: set[str] = set()  # logins that a line calls not active
        self.limits = [(place, head) for place, head in enumerate(plain) if is_limit(head)]
        taken = {self.login, self.email, *self.keys, *(place for place, _ in self.limits)}
        known = {name for names in _HEADS.values() for name in names}
        left = [(plain[place], heads[place].strip()) for place in range(len(heads)) if place not in taken]
        for head, written in left:
            for what, looks in (
                ("whose a line is", _OF_PEOPLE),
                ("a key", _OF_KEYS),
                ("who is blocked", _OF_LIMITS),
            ):
                if head not in known and looks.fullmatch(head):
                    raise Refusal(
                        "usage",
                        text=f"line {line}: the column {readable(written, 60)} looks as if it says {what}, and is not known",
                        hint="give it a head that is (login, email, key, state, blocked, expires), or take it out",
                    )
        self.others = [readable(written, 60) for _, written in left if written]


def _person(
    row: list[str],
    line: int,
    columns: _Columns,
    separator: str,
    at: int,
    people: list[ImportedPerson],
    skipped: list[Skipped],
) -> None:
    """One line of a CSV file."""

    def cell(place: int | None) -> str:
        return row[place].strip() if place is not None and place < len(row) else ""

    # A line may end early, but not before what says whether someone is blocked.
    is_odd = len(row) > columns.width or any(place >= len(row) for place, _ in columns.limits)
    if is_odd and any(value.strip() for value in row):
        why = f"it has {len(row)} cells, and the head line has {columns.width}: which is which cannot be told"
        skipped.append(Skipped(line, separator.join(row), why))
        return
    login = cell(columns.login) or cell(columns.email)
    if not login:
        if any(value.strip() for value in row):
            skipped.append(Skipped(line, separator.join(row), "it names nobody"))
        return
    for place, head in columns.limits:
        if why := limited(head, cell(place), at):
            skipped.append(Skipped(line, login, why))
            columns.limited.add(login.casefold())
            return
    keys = []
    for text in [one for place in columns.keys for one in _each_key(cell(place))]:
        if _has_more(text):
            why = (
                "there is more than one key in it, and what stands between is not known; write one to a line"
            )
            skipped.append(Skipped(line, f"the keys of {login}", why))
            continue
        try:
            keys.append(NewKey(parse_public_key(text)))
        except Refusal as refusal:
            skipped.append(Skipped(line, f"the key of {login}", refusal.text))
    people.append(
        ImportedPerson(line, login, tuple(keys), unsure=columns.is_called or not cell(columns.login))
    )


def _each_key(cell: str) -> list[str]:
    """The keys of one cell: a line each, with `;`, `,` or `|` between them, or one behind the other.

    MUST: what stands before a key is never cut off it: it may be an option that
    limits the key, or `@revoked`.
    """
    parts = [part for line in cell.splitlines() for part in _BETWEEN_KEYS.split(line)]
    return [key for part in parts if part.strip() for key in _behind_each_other(part.split())]


def _behind_each_other(words: list[str]) -> list[str]:
    """`TYPE BLOB [user@host] TYPE BLOB ...`, one each; with anything else between two keys, one text."""
    begins = [at for at, word in enumerate(words) if _KEY_TYPE.fullmatch(word)]
    for before, begin in pairwise(begins):
        between = words[before + 2 : begin]
        if (
            begins[0] != 0
            or len(between) > 1
            or any(not word.partition("@")[0].isalnum() or "@" not in word for word in between)
        ):
            return [" ".join(words)]
    return [
        " ".join(words[begin:end])
        for begin, end in pairwise([*(begins if begins[:1] == [0] else [0]), len(words)])
    ]


def _has_more(text: str) -> bool:
    """Whether a second key stands in it."""
    return any(_KEY_TYPE.fullmatch(word) for word in text.split()[1:])


def read_map(data: bytes) -> dict[str, str]:
    """Fingerprint -> login, of lines `FINGERPRINT LOGIN`. Raises
    Refusal("usage") with every fault's place.
    """
    found: dict[str, str] = {}
    faults = []
    for number, line in enumerate(_text(data).splitlines(), 1):
        words = line.split(None, 1)
        if not words or words[0].startswith("#"):
            continue
        if not is_fingerprint(words[0]):
            faults.append(
                f"line {number}, column {line.index(words[0]) + 1}: {readable(words[0], 60)} is not a fingerprint"
            )
        elif len(words) < 2:
            faults.append(f"line {number}, column {len(line.rstrip()) + 1}: whose key it is is missing")
        elif found.setdefault(words[0], words[1].strip()) != words[1].strip():
            faults.append(f"line {number}, column 1: {words[0]} stands there twice, for two people")
    if faults:
        raise Refusal("usage", text="; ".join(faults), hint="a line of the map is: FINGERPRINT LOGIN")
    return found


def read_authorized_keys(data: bytes, owners: dict[str, str], gate: str) -> ImportedList:
    """Each key whose fingerprint `owners` maps to a login, with its limits; none of its options gets lost."""
    people, skipped = [], []
    for number, raw in enumerate(_text(data).splitlines(), 1):
        text = raw.strip()
        if not text or text.startswith("#"):
            continue
        line = parse_line("", number, text)
        what = f"{line.fingerprint} {line.comment}".strip()
        if not line.fingerprint:
            skipped.append(Skipped(number, text[:60], "it is not understood as a key line"))
            continue
        login = owners.get(line.fingerprint, "")
        options = understand(line.options, gate)
        if not login:
            skipped.append(Skipped(number, what, "the map names no one for it"))
        elif options.fault:
            skipped.append(Skipped(number, what, options.fault))
        else:
            try:
                key = parse_public_key(f"{line.type} {line.blob} {line.comment}")
            except Refusal as refusal:
                skipped.append(Skipped(number, what, refusal.text))
                continue
            offered = NewKey(key, options.limits, options.verify_required, options.behind)
            people.append(ImportedPerson(number, login, (offered,)))
    return ImportedList(tuple(people), tuple(skipped))


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Refusal(
            "usage", text=f"line {line}: the file is not UTF-8", hint="convert it: iconv -t utf-8"
        ) from None
