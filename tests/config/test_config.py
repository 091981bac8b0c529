"""The configuration: strict, every fault at once, compiled, and believed only when it is ours and current."""

from __future__ import annotations

import datetime as dt
import os
import pwd
import time
import tomllib
from pathlib import Path

import msgspec
import pytest

from gitguard.config.compile import compile_file
from gitguard.config.compiled import read
from gitguard.config.faults import ConfigurationError
from gitguard.config.load import load
from gitguard.config.parse import parse
from gitguard.config.schema import Settings
from gitguard.config.types import Since, decode, format_duration, seconds_of
from gitguard.machine.ownership import GRAIN_NS
from gitguard.message.reasons import Refusal

ROOT = Path(__file__).resolve().parents[2]


def faults(text: str) -> list[tuple[int, str]]:
    """(line, what) of every fault, but for an `enforcement` that these snippets do not care to say."""
    with pytest.raises(ConfigurationError) as caught:
        parse(text.encode())
    assert caught.value.reason == "config-invalid"
    return [
        (fault.line, f"{fault.where}: {fault.what}") for fault in caught.value.faults if fault.what != MISSING
    ]


EXAMPLE = (ROOT / "etc" / "gitguard.toml").read_text()
MISSING = "it is missing; say off, rules, opt-in or enforced"


def test_the_shipped_file_documents_every_key_with_its_default() -> None:
    """etc/gitguard.toml loads, names every key, and says the very defaults of the code."""
    data = (ROOT / "etc" / "gitguard.toml").read_bytes()
    assert parse(data) == Settings()
    tables = tomllib.loads(data.decode())
    for field in msgspec.structs.fields(Settings):
        if field.name in ("apps", "groups", "aliases", "rules"):
            continue
        named = set(tables[field.name])
        assert named == {key.name for key in msgspec.structs.fields(field.type)}, field.name


def test_what_a_file_must_say() -> None:
    """The base answer, and nothing else: so that a file which was emptied or cut off
    before it is no configuration.
    """
    assert parse(b"[git]\nenforcement = 'opt-in'\n") == Settings()
    for text, line in (("", 0), ("# only this\n", 0), ("[git]\n", 1), ("[host]\n[git]\nadmins = []\n", 2)):
        with pytest.raises(ConfigurationError) as caught:
            parse(text.encode())
        assert [(f.line, f.where, f.what) for f in caught.value.faults] == [
            (line, "[git] enforcement", MISSING)
        ]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[git]\nenforcement = 'optin'\n", 2, ["'optin'", "did you mean 'opt-in'?"]),
        ("[git]\n\nenforcment = 'off'\n", 3, ["unknown key", "did you mean 'enforcement'?"]),
        ("[sessions]\n", 1, ["unknown table", "did you mean 'session'?"]),
        ("[session]\nlifetime = '8'\n", 2, ["not a duration", "8h"]),
        ("[session]\nlifetime = 8\n", 2, ["text in quotes"]),
        ("[session]\nlifetime = '31d'\n", 2, ["out of range"]),
        ("[session]\nlifetime = '0s'\n", 2, ["out of range"]),
        ("[session]\nlifetime = '-5m'\n", 2, ["not a duration"]),
        ("[session]\nlifetime = '\u0665m'\n", 2, ["not a duration"]),
        ("[host]\nport = '22'\n", 2, ["int"]),
        ("[host]\nport = 70000\n", 2, ["out of range"]),
        ("[host]\nport = true\n", 2, ["int"]),
        ("[host]\nname = 'a b'\n", 2, ["without spaces"]),
        ("[host]\naccount = 'Git'\n", 2, ["not be a user's name"]),
        ("[git]\nadmins = ['@ops']\n", 2, ["no group @ops"]),
        ("[git]\nadmins = ['@opps']\n[groups]\nops = ['alice']\n", 2, ["did you mean 'ops'?"]),
        ("[groups]\nops = []\n", 2, ["empty group"]),
        ("[groups]\nops = ['Alice']\n", 2, ["not be a user's name"]),
        ("[[rules]]\nname = 'x'\n", 1, ["one of: require = true, require = false, exempt = true"]),
        ("[[rules]]\nname = 'x'\nrequire = true\nexempt = true\n", 1, ["one of"]),
        ("[[rules]]\nrequire = true\n", 1, ["needs a name"]),
        ("[[rules]]\nname = 'a b'\nrequire = true\n", 2, ["needs a name of letters"]),
        ("[[rules]]\nname = 'x'\nrequire = true\n[[rules]]\nname = 'x'\nrequire = true\n", 5, ["a second rule"]),
        ("[[rules]]\nname = 'x'\nexempt = true\nusers = ['ci']\n", 3, ["names its users and its end (until)"]),
        ("[[rules]]\nname = 'x'\nexempt = true\nuntil = 2027-01-31\n", 3, ["names its users"]),
        ("[[rules]]\nname = 'x'\nrequire = true\nuntil = '2027-01-31'\n", 4, ["without quotes"]),
        ("[[rules]]\nname = 'x'\nrequire = true\nsince = 2027-02-01\nuntil = 2027-01-31\n", 5, ["before it begins"]),
        ("[[rules]]\nname = 'x'\nrequire = true\nusers = ['@ops']\n[groups]\nopts = ['a']\n", 4, ["@ops", "opts"]),
        ("[[rules]]\nname = 'x'\nrequire = true\nusers = []\n", 4, ["an empty list matches nothing"]),
        ("[[rules]]\nname = 'x'\nrequire = true\noperations = ['pull']\n", 4, ["pull"]),
        ("[[rules]]\nname = 'x'\nrequire = true\noperations = ['read']\nrefs = ['main']\n", 5, ["pushes alone"]),
        ("[[rules]]\nname = 'x'\nrequire = true\nrepositories = ['team/app.git']\n", 4, ["without"]),
        ("[[rules]]\nname = 'x'\nrequire = true\nrepositories = ['team/**x']\n", 4, ["stands alone"]),
        ("[[rules]]\nname = 'x'\nrequire = true\nrepositories = ['/team']\n", 4, ["empty part"]),
        ("[[rules]]\nname = 'x'\nrequire = true\nrefs = ['v[0-9]']\n", 4, ["only * and **"]),
        ("[[rules]]\nname = 'x'\nrequire = true\nfrom = ['10.0.0.1/8']\n", 4, ["host bits"]),
        ("[[rules]]\nname = 'x'\nrequire = false\nlifetime = '1h'\n", 4, ["belongs to a rule with require = true"]),
        ("[[rules]]\nname = 'x'\nrequire = true\nrepository = ['a']\n", 4, ["repositories"]),
        ("[rules]\nname = 'x'\n", 1, ["[[rules]]"]),
        ("[session]\nwait = '11m'\n", 2, ["out of range"]),
        ("[session]\nwait = 'on'\n", 2, ["is not a duration"]),
        ("[account]\nallow_key = true\n", 2, ["allow_keys"]),
        ("[second_factor]\ndigits = 5\n", 2, ["not one of 6, 7, 8"]),
        ("[second_factor]\nrecovery_codes = -1\n", 2, ["out of range"]),
        ("[throttle]\nper_key = []\n", 2, ["at least one limit"]),
        ("[throttle]\nper_key = ['5']\n", 2, ["not a limit"]),
        ("[throttle]\nper_key = ['0/5m']\n", 2, ["not a limit"]),
        ("[paths]\nrepositories = 'srv/git'\n", 2, ["not an absolute path"]),
        ("[store]\nurl = 'sqlite:///relative.db'\n", 2, ["absolute path"]),
        ("[store]\nurl = 'postgresql://x'\n", 2, ["the user is missing", "postgresql://USER@HOST/DATABASE"]),
        ("[store]\nurl = 'postgresql://g@/d'\n", 2, ["host is missing"]),
        ("[store]\nurl = 'postgresql://g@db'\n", 2, ["database is missing"]),
        ("[store]\nurl = 'postgresql://g:secret@db/d'\n", 2, ["password_file"]),
        ("[store]\nurl = 'postgresql://g@db/d?sslmode=require'\n", 2, ["sslmode=verify-full"]),
        ("[store]\nurl = 'postgresql://g@db:0/d'\n", 2, ["not a port"]),
        ("[store]\nurl = 'postgresql://g@a,,b/d'\n", 2, ["host is missing between"]),
        ("[store]\nurl = 'postgresql://g@db/d?connect_timeout=9'\n", 2, ["no option of a store"]),
        ("[store]\nurl = 'postgresql://g@db/d?host=/run'\n", 2, ["not both"]),
        ("[store]\nurl = 'postgresql://g@db/d'\n", 2, ["through the agent", "[agent] socket"]),
        ("[store]\nurl = 'postgresql://g@db/d'\npassword_file = 'x'\n[agent]\nsocket = '/run/a/s'\n", 3, ["not an absolute path"]),
        ("[store]\npassword_file = '/x'\n", 2, ["SQLite takes no password"]),
        ("[git]\npass_commands = ['git-upload-pack']\n", 2, ["gitguard's own"]),
        ("[git]\npass_commands = ['a b']\n", 2, ["not be a command's name"]),
        ("host = { prot = 22 }\n", 1, ["unknown key", "did you mean 'port'?"]),
        ("\nsession.lifetime = '8'\n", 2, ["not a duration"]),
        ('[help]\nline = """\n[session]\nlifetime = 1\n"""\n[session]\nlifetime = 1\n', 7, ["text in quotes"]),
        ("[help]\nline = 'x\n", 2, ["syntax"]),
        ("[host]\nweb_url = 'javascript:x'\n", 2, ["https://"]),
        ("[second_factor]\nissuer = 'a:b'\n", 2, ["colon"]),
        ("[paths]\nextra_roots = ['/srv/git/inside']\n", 2, ["inside another root"]),
        ("[throttle]\nper_key = ['5/5m', '20/1h', '50/1y']\n", 2, ["not a duration"]),
        ("git = 3\n", 1, ["expected a table"]),
        ("[git\n", 1, ["syntax"]),
        ("[git]\nadmins = []\nadmins = []\n", 3, ["syntax"]),
        ("[git]\n[git]\n", 2, ["syntax"]),
        ("[[apps]]\nname = 'a'\n[[apps]]\nplatform = 'x'\n", 4, ["unknown key", "did you mean 'platforms'?"]),
    ],
)  # fmt: skip
def test_every_fault_has_its_line_and_the_way_out(text: str, line: int, words: list[str]) -> None:
    """Syntax errors, unknown and duplicate keys, wrong types, bad durations, groups nobody defined."""
    found = faults(text)
    assert [number for number, _ in found] == [line]
    assert all(word in found[0][1] for word in words), found


def test_all_faults_at_once() -> None:
    """Nobody wants to learn of them one by one."""
    text = "[git]\nenforcement = 'x'\nadmin = []\n[session]\nlifetime = '1y'\n[nope]\n"
    assert [number for number, _ in faults(text)] == [2, 3, 5, 6]


def test_not_utf8() -> None:
    """A file in another encoding is a fault, not a traceback."""
    with pytest.raises(ConfigurationError):
        parse(b"[host]\nname = '\xff'\n")


@pytest.mark.parametrize("seconds", [1, 59, 60, 90, 3600, 28800, 86400, 604800])
def test_durations_round_trip(seconds: int) -> None:
    """What is shown can be typed."""
    assert seconds_of(format_duration(seconds)) == seconds


class Installation:
    """A configuration file, the place of its compiled form, and a hook."""

    def __init__(self, folder: Path) -> None:
        self.account = pwd.getpwuid(os.geteuid()).pw_name
        (folder / "state").mkdir(mode=0o700)
        self.folder = folder
        self.hook = folder / "hook"
        self.hook.write_text("hook")
        self.compiled = folder / "config.compiled"
        self.config = folder / "gitguard.toml"
        self.write("8h")

    def write(self, lifetime: str, *, age_seconds: int = 10) -> None:
        """Write the configuration and make it `age_seconds` old."""
        self.config.write_text(
            f"[git]\nenforcement = 'opt-in'\n[host]\naccount = '{self.account}'\n[paths]\nstate = '{self.folder}/state'\n[session]\nlifetime = '{lifetime}'\n"
        )
        self.age(age_seconds)

    def age(self, seconds: int) -> None:
        """Set the file's modification time back."""
        then = self.config.stat().st_ctime_ns - seconds * 10**9
        os.utime(self.config, ns=(then, then))

    def places(self) -> tuple[str, str, str]:
        """What a launcher hands over."""
        return str(self.config), str(self.compiled), str(self.hook)

    def lifetime(self) -> int:
        """The lifetime that the gate sees."""
        return load(*self.places()).lifetime_seconds


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """A small installation of this account."""
    tmp_path.chmod(0o700)
    return Installation(tmp_path)


def settle(installation: Installation) -> None:
    """Put the compiled form's time beyond the clock's grain, as any later request finds it."""
    later = installation.config.stat().st_ctime_ns + 2 * GRAIN_NS
    os.utime(installation.compiled, ns=(later, later))


def test_the_compiled_form_is_used_and_renewed(installation: Installation) -> None:
    """Parsed once; a changed file is compiled again at the next request."""
    assert installation.lifetime() == 28800
    settle(installation)
    made = installation.compiled.stat().st_ino
    assert installation.lifetime() == 28800
    assert installation.compiled.stat().st_ino == made, "it was compiled again without need"
    installation.write("1h")
    assert installation.lifetime() == 3600


def test_a_change_within_the_clocks_grain_is_seen(installation: Installation) -> None:
    """ATTACK on freshness: same size, same times, same inode, changed right
    after compiling. EXPECTED: seen.
    """
    load(*installation.places())
    with open(installation.config, "r+") as file:
        text = file.read().replace("8h", "7h")
        file.seek(0)
        file.write(text)
    assert installation.lifetime() == 7 * 3600


@pytest.mark.parametrize("damage", ["truncate", "garbage", "empty", "folder", "writable", "other-file"])
def test_a_compiled_form_that_is_not_ours_is_made_anew(installation: Installation, damage: str) -> None:
    """What cannot be believed costs time, never the answer."""
    load(*installation.places())
    settle(installation)
    data = installation.compiled.read_bytes()
    if damage == "folder":
        installation.compiled.unlink()
        installation.compiled.mkdir()
    else:
        installation.compiled.write_bytes(
            {
                "truncate": data[: len(data) // 2],
                "garbage": b"x" * 100,
                "empty": b"",
                "writable": data,
                "other-file": data,
            }[damage]
        )
    if damage == "writable":
        installation.compiled.chmod(0o666)
    if damage == "other-file":
        text = installation.config.read_text().replace("8h", "8h")
        installation.config.unlink()
        installation.config.write_text(text)
    assert installation.lifetime() == 28800


def refusal(installation: Installation) -> Refusal:
    """Load and expect a refusal."""
    with pytest.raises(Refusal) as caught:
        load(*installation.places())
    assert caught.value.reason == "config-invalid"
    return caught.value


def test_a_broken_file_refuses_everything(installation: Installation) -> None:
    """The old compiled form does not keep a broken configuration alive."""
    load(*installation.places())
    settle(installation)
    installation.config.write_text("[git]\nenforcement = off\n")
    assert "line 2" in refusal(installation).detail


def test_a_missing_file_refuses(installation: Installation) -> None:
    """No file, no defaults."""
    load(*installation.places())
    installation.config.unlink()
    assert str(installation.config) in refusal(installation).detail


@pytest.mark.parametrize("which", ["config", "folder", "state"])
def test_what_others_may_write_is_refused_by_name(installation: Installation, which: str) -> None:
    """Configuration, its folder, and the state folder."""
    path = {
        "config": installation.config,
        "folder": installation.folder,
        "state": installation.folder / "state",
    }[which]
    path.chmod(path.stat().st_mode | 0o022)
    assert str(path) in refusal(installation).detail


def test_an_unknown_account_is_refused(installation: Installation) -> None:
    """The account must be on this machine."""
    installation.config.write_text("[git]\nenforcement = 'opt-in'\n[host]\naccount = 'nobody-at-all'\n")
    assert "nobody-at-all" in refusal(installation).detail


def test_compiling_writes_a_private_file(installation: Installation) -> None:
    """0600, whatever the umask."""
    before = os.umask(0)
    try:
        compile_file(*installation.places())
    finally:
        os.umask(before)
    assert installation.compiled.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[git]\n  enforcment = 'off'\n",
            "line 2: [git] enforcment: unknown key; did you mean 'enforcement'? (column 3)",
        ),
        ("[[rules]]\nname = 'a'\nrequire = true\nuser = ['b']\n", "did you mean 'users'? (column 1)"),
        ("session = { lifetime = '8', scope = 'key' }\n", "(column 13)"),
    ],
)
def test_a_fault_says_its_column(text: str, said: str) -> None:
    """The line first, as it always was; where in the line at the end."""
    with pytest.raises(ConfigurationError) as caught:
        parse(text.encode())
    assert said in "; ".join(str(fault) for fault in caught.value.faults)


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        ("Asia/Beirut", "2027-03-28", "2027-03-28 01:00:00"),  # clocks go from 23:59:59 to 01:00
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04 01:00:00"),
        ("Pacific/Apia", "2011-12-30", "2011-12-31 00:00:00"),  # a day that never was
        ("Europe/Berlin", "2027-10-31", "2027-10-31 00:00:00"),
    ],
)
def test_a_date_begins_with_its_first_second(
    zone: str, day: str, begins: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever clocks do at midnight: the first second whose local date is that
    day, and not the one before it.
    """
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        at = int(decode(Since, dt.date.fromisoformat(day)))  # type: ignore[call-overload]
        assert time.strftime("%F %T", time.localtime(at)) == begins
        assert time.strftime("%F", time.localtime(at - 1)) < day
    finally:
        monkeypatch.undo()
        time.tzset()


def test_no_part_of_a_compiled_form_is_one(installation: Installation) -> None:
    """A prefix of a file is a file: of the compiled form no beginning is believed, and it is made again."""
    load(*installation.places())
    settle(installation)
    whole = installation.compiled.read_bytes()
    later = installation.config.stat().st_ctime_ns + 2 * GRAIN_NS
    for length in range(0, len(whole), 7):
        installation.compiled.write_bytes(whole[:length])
        os.utime(installation.compiled, ns=(later, later))
        entry = os.stat(installation.config)
        assert read(str(installation.compiled), str(installation.config), entry, os.geteuid()) is None, length


def test_a_file_as_other_systems_save_it() -> None:
    """A mark of its encoding in front, and lines that end in two characters:
    read as if they were not there.
    """
    plain = parse(EXAMPLE.encode())
    assert parse(b"\xef\xbb\xbf" + EXAMPLE.encode()) == plain
    assert parse(b"\xef\xbb\xbf" + EXAMPLE.replace("\n", "\r\n").encode()) == plain


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (b"# caf\xe9\n", "not UTF-8; convert it"),
        (b"[rules]\nrequire = true\n", "with two brackets: [[rules]]"),
        (b"[[rules]]\nuntil = 30.06.2027\n", "a date is written 2027-06-30"),
        (b"[[rules]]\nuntil = 3.6.2027\n", "a date is written 2027-06-03"),
    ],
)
def test_what_was_meant_is_said(more: bytes, said: str) -> None:
    """What people write by habit: the fault has its line, and says how it is written."""
    with pytest.raises(ConfigurationError) as caught:
        parse(EXAMPLE.encode() + more)
    lines = EXAMPLE.count("\n")
    assert any(said in str(fault) and fault.line in (lines + 1, lines + 2) for fault in caught.value.faults)
