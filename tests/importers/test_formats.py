"""Other programs' lists: what is read, and what of each is not taken, by line and with the reason."""

from __future__ import annotations

import pytest

from gitguard.importers.authenticators import read_google_authenticator, read_oath
from gitguard.importers.imported import name_of_login
from gitguard.importers.people import read_authorized_keys, read_csv, read_map
from gitguard.message.reasons import Refusal
from tests.conftest import NOW, key_of

GATE = "/usr/local/lib/gitguard/gitguard-shell"
KEYS = [key_of(number) for number in range(5)]
LINES = [f"{key.type} {key.blob} k{number}@x" for number, key in enumerate(KEYS)]


@pytest.mark.parametrize(
    ("login", "name"),
    [
        ("alice", "alice"),
        ("Alice@EXAMPLE.com", "alice"),
        ("Alice Doe", "alice.doe"),
        ("  BOB  ", "bob"),
        ("DOMAIN\\bob", ""),
        ("ünal", ""),
        ("@example.com", ""),
        ("alice@guest.example", ""),
        ("alice@example.com.evil", ""),
        ("alice@x@example.com", ""),
        ("\u212aim@example.com", ""),  # a Kelvin sign, which folds to k
        ("bo\u017f", ""),
        ("", ""),
        ("-rf", ""),
        ("alias@corp", "carol"),
        ("ALIAS@CORP", "carol"),
        ("Robert  Smith", "rsmith"),
        ("x" * 65, ""),
    ],
)
def test_logins_become_names(login: str, name: str) -> None:
    """An alias first, else the part before the @ of a domain that is ours, in small letters; what cannot be a
    name is none, never something near.
    """
    aliases = {"Alias@Corp": "carol", "Robert Smith": "rsmith"}
    assert name_of_login(login, aliases, ["example.com"]) == name


def test_csv() -> None:
    """Heads in any order and spelling, commas or semicolons; a bad key costs the key
    alone; an empty line nothing.
    """
    text = f"Name,E-Mail,Team,SSH Key\nann,ann@x.org,a,{LINES[0]}\n,Ben.B@x.org,b,\n\ncay,,c,ssh-rsa broken\n,,d,\n"
    found = read_csv(text.encode(), NOW)
    assert [(person.line, person.login, len(person.keys)) for person in found.people] == [
        (2, "ann", 1),
        (3, "Ben.B@x.org", 0),
        (5, "cay", 0),
    ]
    assert [(left.line, left.what) for left in found.skipped] == [
        (1, "the column Team"),
        (5, "the key of cay"),
        (6, ",,d,"),
    ]
    semicolons = read_csv("\ufeffEmail;Username\nx@y.org;dan\n".encode(), NOW)
    assert [person.login for person in semicolons.people] == ["dan"]
    quoted = read_csv(b'user,note\n"eve","two\nlines"\nfay,x\n', NOW)
    assert [(person.line, person.login) for person in quoted.people] == [(3, "eve"), (4, "fay")]


def test_csv_takes_the_surest_column() -> None:
    """A forge's export has a user name and a full name: the first is who they
    are here, wherever it stands.
    """
    for heads, cells in (
        ("username,name,email", "asmith,Alice Smith,a@x"),
        ("name,email,login", "Alice Smith,a@x,asmith"),
    ):
        assert [person.login for person in read_csv(f"{heads}\n{cells}\n".encode(), NOW).people] == ["asmith"]
    assert read_csv(b"email\na@x\n", NOW).people[0].unsure
    assert [person.login for person in read_csv(b"login\rann\rben\r", NOW).people] == ["ann", "ben"]


@pytest.mark.parametrize("text", ['login,note\nann,"open\nben,x\ncay,y\n', "login\n" + "x" * 200_000 + "\n"])
def test_csv_that_is_damaged_is_refused_whole(text: str) -> None:
    """A quote that is never closed would swallow everyone after it."""
    with pytest.raises(Refusal, match="line"):
        read_csv(text.encode(), NOW)


@pytest.mark.parametrize("data", [b"", b"ann\nben\n", b"a,b\n1,2\n", b"\xff\xfe\n"])
def test_csv_without_a_head_is_refused(data: bytes) -> None:
    """Nothing is guessed from columns: the line and the way out are said."""
    with pytest.raises(Refusal, match="line 1"):
        read_csv(data, NOW)


def test_authorized_keys_with_a_map() -> None:
    """Options are kept as `key adopt` keeps them, or the line is left out by name; who
    is not in the map is left out.
    """
    text = "\n".join(
        [
            "# a comment",
            LINES[0],
            f'from="10.0.0.0/8",no-pty {LINES[1]}',
            f'command="/usr/bin/gl carol" {LINES[2]}',
            f"cert-authority {LINES[3]}",
            LINES[4],
            "not a key",
        ]
    )
    owners = {key.fingerprint: f"user{number}" for number, key in enumerate(KEYS[:4])}
    found = read_authorized_keys(text.encode(), owners, GATE)
    assert [(person.line, person.login) for person in found.people] == [
        (2, "user0"),
        (3, "user1"),
        (4, "user2"),
    ]
    assert found.people[1].keys[0].limits == 'from="10.0.0.0/8"'
    assert found.people[2].keys[0].behind == ("/usr/bin/gl", "carol")
    assert [left.line for left in found.skipped] == [5, 6, 7]
    assert "cert-authority" in found.skipped[0].why
    assert "map" in found.skipped[1].why


def test_a_map_says_where_it_is_wrong() -> None:
    """Every fault with its line and column, and nothing else happens."""
    good = KEYS[0].fingerprint
    assert read_map(f"# x\n{good} Alice Doe\n".encode()) == {good: "Alice Doe"}
    with pytest.raises(Refusal) as refused:
        read_map(f"  sha256:x bob\n{good}\n".encode())
    assert "line 1, column 3: sha256:x is not a fingerprint" in refused.value.text
    assert "line 2, column 51: whose key it is is missing" in refused.value.text
    with pytest.raises(Refusal, match="stands there twice"):
        read_map(f"{good} ann\n{good} ben\n".encode())


GOOGLE = b'ABCDEFGHIJKLMNOPQRSTUVWXYZ\n" RATE_LIMIT 3 30 1700000000\n" WINDOW_SIZE 17\n" DISALLOW_REUSE\n" TOTP_AUTH\n12345678\n87654321\n'


def test_google_authenticator() -> None:
    """The secret and its step; scratch codes and what ours is stricter in are said, one by one."""
    found = read_google_authenticator(GOOGLE, "ann")
    (person,) = found.people
    assert person.factor is not None
    assert (person.factor.secret, person.factor.digits, person.factor.period_seconds) == (
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        6,
        30,
    )
    assert "ABCDEF" not in repr(person)
    assert [left.what for left in found.skipped] == [
        "RATE_LIMIT",
        "WINDOW_SIZE",
        "DISALLOW_REUSE",
        "a scratch code",
        "a scratch code",
    ]
    minute = read_google_authenticator(GOOGLE + b'" STEP_SIZE 60\n', "ann")
    assert minute.people[0].factor is not None
    assert minute.people[0].factor.period_seconds == 60


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b'ABCDEFGHIJKLMNOPQRSTUVWXYZ\n" HOTP_COUNTER 1\n', "counter-based"),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ\n", "counter-based"),
        (b'ABCDEFGH\n" TOTP_AUTH\n', "40 bits"),
        (b'ABCDEFGHIJKLMNOP\n" TOTP_AUTH\n" STEP_SIZE 5\n', "5 seconds"),
    ],
)
def test_what_google_authenticator_has_and_we_do_not_take(data: bytes, why: str) -> None:
    """A counter, a short secret, a strange step: not taken, and said."""
    found = read_google_authenticator(data, "ann")
    assert not found.people
    assert why in found.skipped[-1].why


def test_another_file_is_no_google_authenticator() -> None:
    """A shell script, an empty file, a public key."""
    for data in (b"", b"#!/bin/sh\n", LINES[0].encode(), b"\0" * 30):
        with pytest.raises(Refusal, match="line 1, column 1"):
            read_google_authenticator(data, "ann")


def test_oath() -> None:
    """Time-based lines with their digits and step; counters, PINs and damaged
    secrets are left out by line.
    """
    secret = "00112233445566778899aabbccddeeff00112233"
    text = f"# users\nHOTP/T30 ann - {secret}\nHOTP/T60/8 ben + {secret.upper()} 3 1 2020-01-01\nHOTP cay - {secret}\nHOTP/E/6 dan - {secret}\nHOTP/T30 eve 1234 {secret}\nHOTP/T30 fay - xyz\nHOTP/T30 gus - 0011\nHOTP/T30/9 hal - {secret}\nHOTP/T30\n"
    found = read_oath(text.encode())
    assert [
        (o.line, o.login, o.factor.digits, o.factor.period_seconds) for o in found.people if o.factor
    ] == [(2, "ann", 6, 30), (3, "ben", 8, 60)]
    assert [left.line for left in found.skipped] == [4, 5, 6, 7, 8, 9, 10]
    assert secret not in str(found.skipped)


@pytest.mark.parametrize(
    ("head", "good", "bad"),
    [
        ("state", ["active", "Active"], ["blocked", "", "ldap_blocked", "deactivated", "CA"]),
        ("Status", ["enabled"], ["pending"]),
        ("active", ["true", "1", "Yes"], ["false", "0", "", "maybe"]),
        ("Is Active", ["t"], ["f"]),
        ("blocked", ["", "false", "0"], ["true", "1", "x"]),
        ("prohibit_login", ["false"], ["true"]),
        ("disabled", ["no"], ["yes"]),
        ("locked", ["0"], ["1"]),
        ("expires", ["", "never", "2027-01-15", "2999-01-01T00:00:00Z"], ["2026-12-31", "soon", "1"]),
        ("accountExpires", ["0", "9223372036854775807"], ["132223104000000000"]),
        ("userAccountControl", ["512", "66048"], ["514", "", "x"]),
    ],
)
def test_who_is_not_plainly_active_is_left_out(head: str, good: list[str], bad: list[str]) -> None:
    """A column that limits is not passed over like one that decorates: whoever it stops
    there is nobody here, by name.
    """
    for value in good:
        assert [one.login for one in read_csv(f"login,{head}\nann,{value}\n".encode(), NOW).people] == [
            "ann"
        ], value
    for value in bad:
        found = read_csv(f"login,{head}\nann,{value}\n".encode(), NOW)
        assert found.people == (), value
        assert [(left.line, left.what) for left in found.skipped] == [(2, "ann")]
        assert "not plainly active" in found.skipped[0].why


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ("account_lock", "who is blocked"),
        ("Valid From", "who is blocked"),
        ("deploy_key", "a key"),
        ("ssh fingerprint", "a key"),
        ("second_login", "whose a line is"),
        ("account_name", "whose a line is"),
    ],
)
def test_a_column_that_may_matter_is_no_decoration(head: str, says: str) -> None:
    """What may say who, which key or whether blocked, and is not known, is a fault with
    its line; others are said once.
    """
    with pytest.raises(Refusal, match="line 1") as refused:
        read_csv(f"login,{head}\nann,x\n".encode(), NOW)
    assert says in refused.value.text
    found = read_csv(b"login,team,Full Name\nann,a,Ann\nben,b,Ben\n", NOW)
    assert [left.what for left in found.skipped] == ["the columns team, Full Name"]


def test_heads_of_directories_and_cells_with_several_keys() -> None:
    """uid, sAMAccountName, sshPublicKey and mail; every key of a cell, a line
    each or one behind the other.
    """
    cell = f'"{LINES[0]}\n{LINES[1]}"'
    found = read_csv(f"uid,sshPublicKey,mail\nann,{cell},a@x\n".encode(), NOW)
    assert [(one.login, [key.key.blob for key in one.keys]) for one in found.people] == [
        ("ann", [KEYS[0].blob, KEYS[1].blob])
    ]
    for joined in (f"{LINES[0]} {LINES[1]}", f"{LINES[0]}; {LINES[1]}"):
        (one,) = read_csv(f'sAMAccountName,key\nann,"{joined}"\n'.encode(), NOW).people
        assert [key.key.blob for key in one.keys] == [KEYS[0].blob, KEYS[1].blob]
    (one,) = read_csv(f"login,key1,key2\nann,{LINES[0]},{LINES[1]}\n".encode(), NOW).people
    assert len(one.keys) == 2
    (one,) = read_csv(b"mail,cn\nann@x.org,Ann\n", NOW).people
    assert (one.login, one.unsure) == ("ann@x.org", True)
    for before in ("\n", "sep=;\r\n", "\ufeffsep=;\n\n"):
        got = read_csv(f"{before}login;note\nann;a,b,c\n".encode(), NOW)
        assert [(one.login, one.line) for one in got.people] == [("ann", before.count("\n") + 2)]


def test_secrets_in_groups_and_types_nobody_knows() -> None:
    """Blanks are dropped; a type that is not known is not called counter-based; numbers have an end."""
    grouped = GOOGLE.replace(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcd efgh ijkl mnop qrst uvwx yz")
    (person,) = read_google_authenticator(grouped, "ann").people
    assert person.factor is not None
    assert person.factor.secret == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    found = read_oath(
        b"TOTP alice - 00112233445566778899aabbccddeeff\nHOTP bob - 00112233445566778899aabbccddeeff\n"
    )
    assert "its type is not known here" in found.skipped[0].why
    assert "counter-based" in found.skipped[1].why
    for step in (b"9" * 5000, "\u00b2".encode(), b"-5"):
        odd = read_google_authenticator(GOOGLE + b'" STEP_SIZE ' + step + b"\n", "ann")
        assert "STEP_SIZE" in odd.skipped[-1].why
    read_oath(b"HOTP/T" + b"9" * 5000 + b" alice - 00112233445566778899aabbccddeeff\n")


# -- what a list may not say ----------------------------------------------------------------------

ONE, TWO = LINES[0].rpartition(" ")[0], LINES[1].rpartition(" ")[0]


@pytest.mark.parametrize(
    ("cell", "taken", "why"),
    [
        (f"{ONE}\n{TWO}", 2, ""),
        (f"{ONE} ann@x, {TWO} ann@y", 2, ""),
        (f"{ONE}; {TWO}", 2, ""),
        (f"{ONE} ann@x {TWO}", 2, ""),
        (f'{ONE}; from="192.0.2.1" {TWO}', 0, "more than one key"),
        (f"{ONE} c {TWO}", 0, "more than one key"),
        (f"{ONE} @revoked {TWO}", 0, "more than one key"),
        (f"{ONE} restrict {TWO}", 0, "more than one key"),
        (f'{ONE}\nfrom="192.0.2.1" {TWO}', 1, "options"),
        (f"@revoked {ONE}", 0, ""),
        (f'command="x" {ONE}', 0, ""),
    ],
)  # fmt: skip
def test_what_stands_before_a_key_of_a_cell_is_not_lost(cell: str, taken: int, why: str) -> None:
    """An option or `@revoked` limits a key: with it the key is left out and named, never taken without it."""
    quoted = '"' + cell.replace('"', '""') + '"'
    found = read_csv(f"login,key\nann,{quoted}\n".encode(), NOW)
    assert sum(len(one.keys) for one in found.people) == taken
    assert (taken == 2) == (not found.skipped)
    if why == "more than one key":
        assert why in found.skipped[0].why


def test_rows_that_do_not_fit_the_head_are_left_out() -> None:
    """A cell too many, or none that says whether someone is blocked: `blocked` may be under another head."""
    found = read_csv(b"login,blocked,team\nann,true\nben,false,x,y\ncay,false,z\n", NOW)
    assert [one.login for one in found.people] == ["cay"]
    assert [left.line for left in found.skipped if "cells" in left.why] == [3]
    early = read_csv(b"login,email,blocked,team\nann\nben,b@x,false\n", NOW)
    assert [one.login for one in early.people] == ["ben"], "whether ann is blocked is not said"
    assert [one.login for one in read_csv(b"login,email,key\nann\n", NOW).people] == ["ann"]
    assert read_csv(b"login,urban area\nann,x\n", NOW).people


def test_whom_one_line_blocks_no_other_line_lets_in() -> None:
    """A list that was joined from two: blocked once is blocked."""
    found = read_csv(b"login,state\nann,active\nAnn,blocked\nben,active\n", NOW)
    assert [one.login for one in found.people] == ["ben"]
    assert [left.line for left in found.skipped] == [3, 2]


@pytest.mark.parametrize(
    ("head", "value", "active"),
    [
        ("shadowExpire", "0", False),
        ("shadowExpire", "-1", True),
        ("shadowExpire", "", True),
        ("shadowExpire", str(NOW // 86400 + 2), True),
        ("shadowExpire", str(NOW // 86400 - 2), False),
        ("accountExpires", "0", True),
        ("accountExpires", "9223372036854775807", True),
        ("expires_at", "0", False),
        ("valid_until", "9223372036854775807", False),
    ],
)
def test_a_nought_means_never_only_where_it_does(head: str, value: str, active: bool) -> None:
    """0 is long ago for shadow(5), and never for Active Directory's accountExpires alone."""
    assert bool(read_csv(f"login,{head}\nann,{value}\n".encode(), NOW).people) == active


@pytest.mark.parametrize(
    "head",
    ["terminated", "termination_date", "end date", "revoked", "removed", "frozen", "closed", "denied", "gesperrt", "aktiv",
     "bloqueado", "deprovisioned", "ban_reason", "login_allowed"],
)  # fmt: skip
def test_more_words_for_not_any_more(head: str) -> None:
    """A column that may say who has left is a fault, until the admin says what it is."""
    with pytest.raises(Refusal, match=r"who is blocked|whose a line is"):
        read_csv(f"login,{head}\nann,x\n".encode(), NOW)


def test_a_name_that_anybody_may_choose_is_not_sure() -> None:
    """`name` and `nickname` say what someone calls themselves; `handle` is what a forge signs them in by."""
    for head, unsure in (("name", True), ("Nickname", True), ("handle", False), ("login", False)):
        assert read_csv(f"{head}\nalice\n".encode(), NOW).people[0].unsure == unsure


def test_letters_that_only_look_the_same_are_no_alias() -> None:
    """ATTACK: sign up with the Kelvin sign, a long s, a blank of another kind. EXPECTED: it is nobody."""
    aliases = {"K Smith@Corp": "carol"}
    assert name_of_login("k  smith@corp", aliases, []) == "carol"
    for login in ("\u212a Smith@corp", "K \u017fmith@corp", "K\u00a0Smith@corp", "K Smith@corp\u200b"):
        assert name_of_login(login, aliases, []) == ""
    assert name_of_login("alice@exam\u212ale.com", {}, ["examkle.com"]) == ""


def test_a_period_that_cannot_be_read_takes_no_secret() -> None:
    """Or its codes would be computed for half a minute, and nobody could ever verify."""
    found = read_google_authenticator(GOOGLE + b'" STEP_SIZE many\n', "ann")
    assert found.people == ()
    assert "STEP_SIZE" in found.skipped[-1].why
