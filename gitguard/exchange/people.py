"""Lists of people and their keys: CSV with a head line, and another machine's authorized_keys with a map."""

from __future__ import annotations

import csv
import io

from gitguard.account.names import is_fingerprint
from gitguard.account.public_key import parse_public_key
from gitguard.exchange.offer import LeftOut, Offer, Offered
from gitguard.host.key_file import parse_line
from gitguard.host.key_options import NewKey, understand
from gitguard.message.reasons import Refusal, readable

# What a column holds -> its possible heads, in small letters, the surest first: forges and directories name them so.
_HEADS = {
    "login": ("login", "username", "user name", "user", "nickname", "name"),
    "email": ("email", "e-mail", "mail", "email address"),
    "key": ("key", "public_key", "public key", "ssh_key", "ssh key"),
}


def _columns(heads: list[str]) -> dict[str, int]:
    """Which column holds what, by the surest of its heads."""
    plain = [head.strip().strip("\ufeff").casefold() for head in heads]
    found = {
        what: next(plain.index(name) for name in names if name in plain)
        for what, names in _HEADS.items()
        if any(name in plain for name in names)
    }
    if "login" not in found and "email" not in found:
        raise Refusal(
            "usage",
            text="line 1: the head line names no column of people",
            hint="begin the file with a line such as: login,email,key",
        )
    return found


def read_csv(data: bytes) -> Offered:
    """One person a line; columns by their heads: a login (user, username, name), email, key; others are passed over.

    Without a login the email's first part stands for it. Raises Refusal("usage") where the head line names neither.
    """
    text = _text(data)
    separator = max(",;\t", key=text.partition("\n")[0].count)
    rows = csv.reader(io.StringIO(text, newline=None), delimiter=separator, strict=True)
    offers: list[Offer] = []
    left_out: list[LeftOut] = []
    try:
        columns = _columns(next(rows, []))
        for row in rows:
            _person(row, rows.line_num, columns, separator, offers, left_out)
    except csv.Error as error:
        raise Refusal("usage", text=f"line {rows.line_num}: {error}") from None
    return Offered(tuple(offers), tuple(left_out))


def _person(
    row: list[str],
    line: int,
    columns: dict[str, int],
    separator: str,
    offers: list[Offer],
    left_out: list[LeftOut],
) -> None:
    """One line of a CSV file."""
    values = {what: row[at].strip() for what, at in columns.items() if at < len(row)}
    login = values.get("login") or values.get("email", "")
    if not login:
        if any(cell.strip() for cell in row):
            left_out.append(LeftOut(line, separator.join(row), "it names nobody"))
        return
    keys: tuple[NewKey, ...] = ()
    if values.get("key"):
        try:
            keys = (NewKey(parse_public_key(values["key"])),)
        except Refusal as refusal:
            left_out.append(LeftOut(line, f"the key of {login}", refusal.text))
    offers.append(Offer(line, login, keys, by_email=not values.get("login")))


def read_map(data: bytes) -> dict[str, str]:
    """Fingerprint -> login, of lines `FINGERPRINT LOGIN`. Raises Refusal("usage") with every fault's line and column."""
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


def read_authorized_keys(data: bytes, owners: dict[str, str], gate: str) -> Offered:
    """Each key whose fingerprint `owners` maps to a login, with what limits it; nothing of its options gets lost."""
    offers, left_out = [], []
    for number, raw in enumerate(_text(data).splitlines(), 1):
        text = raw.strip()
        if not text or text.startswith("#"):
            continue
        line = parse_line("", number, text)
        what = f"{line.fingerprint} {line.comment}".strip()
        if not line.fingerprint:
            left_out.append(LeftOut(number, text[:60], "it is not understood as a key line"))
            continue
        login = owners.get(line.fingerprint, "")
        options = understand(line.options, gate)
        if not login:
            left_out.append(LeftOut(number, what, "the map does not say whose it is"))
        elif options.fault:
            left_out.append(LeftOut(number, what, options.fault))
        else:
            try:
                key = parse_public_key(f"{line.type} {line.blob} {line.comment}")
            except Refusal as refusal:
                left_out.append(LeftOut(number, what, refusal.text))
                continue
            offered = NewKey(key, options.limits, options.verify_required, options.behind)
            offers.append(Offer(number, login, (offered,)))
    return Offered(tuple(offers), tuple(left_out))


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Refusal(
            "usage", text=f"line {line}: the file is not UTF-8", hint="convert it: iconv -t utf-8"
        ) from None
