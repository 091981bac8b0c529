"""A configuration is believed only whole: emptied, cut, half written or half saved, it opens nothing."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import resource
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from gitguard.config.faults import ConfigurationError
from gitguard.config.in_force import InForce, in_force, vouch
from gitguard.config.load import load
from gitguard.config.parse import parse
from gitguard.config.rules import policy_of
from gitguard.config.schema import Settings
from gitguard.config.strictness import demands_less
from gitguard.doctor import files
from gitguard.host.places import places_of
from gitguard.policy.situation import Policy, Situation
from lab.faults import CAN_MOUNT
from lab.server import Direct

SETTLED = 3.0  # seconds after a change, at which a file is whole or will never be

ME = pwd.getpwuid(os.geteuid()).pw_name
RULE = '[[rules]]\nname = "{0}"\nrepositories = ["{0}/**"]\nrequire = true\n'


class Place:
    """A configuration and its compiled form in a folder of this account's."""

    def __init__(self, folder: Path) -> None:
        (folder / "state").mkdir(mode=0o700)
        folder.chmod(0o700)
        (folder / "hook").write_text("hook")
        self.folder = folder
        self.config = folder / "gitguard.toml"
        self.compiled = folder / "state" / "config.compiled"

    def text(self, git: str, rest: str = "") -> str:
        """A whole configuration of this place."""
        head = f'[host]\naccount = "{ME}"\n[paths]\nstate = "{self.folder}/state"\n'
        return f"{head}[git]\n{git}\n[session]\nlifetime = '4h'\n{rest}"

    def put(self, text: str | bytes) -> None:
        """Save it, as an editor does: the same file, emptied first."""
        self.config.write_bytes(text if isinstance(text, bytes) else text.encode())

    def found(self, after: float = 0.0) -> InForce:
        """What counts, so many seconds after the last change. Raises ConfigurationError."""
        return in_force(str(self.config), str(self.compiled), self.config.stat().st_ctime + after)

    def gate(self) -> Policy:
        """What the gate decides by, now. Raises ConfigurationError."""
        return load(str(self.config), str(self.compiled), str(self.folder / "hook")).policy


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Nothing in it yet."""
    return Place(tmp_path)


SITUATIONS = [
    Situation(user, operation, repository=(f"{team}/app", "none", None), at=1_900_000_000)
    for user, operation, team in itertools.product(("alice", "ci"), ("read", "push"), ("ops", "web", "x"))
]


def refused(policy: Policy) -> set[int]:
    """Which of the situations it requires 2FA in."""
    return {number for number, one in enumerate(SITUATIONS) if policy.demands(one).required}


def whole(place: Place, kind: str) -> tuple[str, str]:
    """Two whole configurations, the one in force and the one that takes its place."""
    if kind == "enforced":
        return place.text('enforcement = "enforced"'), place.text(
            'enforcement = "enforced"', '[help]\nline = "x"\n'
        )
    before = place.text('enforcement = "rules"', RULE.format("ops") + RULE.format("web"))
    return before, place.text(
        'enforcement = "rules"', '[help]\nline = "x"\n' + RULE.format("web") + RULE.format("ops")
    )


@pytest.mark.parametrize("kind", ["enforced", "rules"])
def test_a_file_that_is_written_byte_by_byte_opens_nothing(place: Place, kind: str) -> None:
    """ATTACK: a stolen key asks at each instant in which an admin saves. EXPECTED: what both
    whole versions refuse is refused.

    The bytes that `init` wrote were vouched for, and are the beginning of what is saved now: that
    counts for nothing any more.
    """
    first = place.text('enforcement = "opt-in"')
    vouch(str(place.compiled), first.encode())
    place.put(first)
    place.gate()
    before, after = whole(place, kind)
    place.put(before)
    both = refused(place.gate()) & refused(policy_of(parse(after.encode())))
    assert both
    data = after.encode()
    answers = set()
    with open(place.config, "wb", buffering=0) as file:
        for number in range(len(data)):
            try:
                answer = "closed" if both <= refused(place.gate()) else f"open at byte {number}"
            except ConfigurationError:
                answer = "invalid"
            answers.add(answer)
            file.write(data[number : number + 1])
    assert answers <= {"closed", "invalid"}
    assert place.found(SETTLED).settings == parse(data), "three seconds later the whole file counts"


def test_requests_while_a_file_is_saved_again_and_again(site: Direct) -> None:
    """The same with the real gate: saved in pieces all the while, twenty reads of someone
    without a factor are refused.
    """
    alice = site.add_user("alice")
    site.admin("repo", "create", "app")
    site.configure(git={"enforcement": "enforced"})
    site.ssh(alice, "git-upload-pack 'app'", stdin="0000")
    text = site.config.read_bytes()
    done = threading.Event()

    def save() -> None:
        while not done.is_set():
            with open(site.config, "wb", buffering=0) as file:
                file.writelines(text[at : at + 7] for at in range(0, len(text), 7))

    saver = threading.Thread(target=save)
    saver.start()
    try:
        answers = [site.ssh(alice, "git-upload-pack 'app'", stdin="0000") for _ in range(20)]
    finally:
        done.set()
        saver.join()
    assert all(answer.status for answer in answers)
    assert {"[enrolment-required]" in one.text or "[config-invalid]" in one.text for one in answers} == {True}


def test_what_demands_more_counts_at_once_and_what_demands_less_when_it_has_settled(place: Place) -> None:
    """Two seconds stand between a laxer file and its effect, unless someone vouched
    for it; closing never waits.
    """
    lax, strict = place.text('enforcement = "opt-in"'), place.text('enforcement = "enforced"')
    place.put(lax)
    assert place.found().doubt == "", "of the first file nothing is known that was stricter"
    place.put(strict)
    assert place.found().settings.git.enforcement == "enforced"
    place.put(lax)
    doubted = place.found(1.9)
    assert (doubted.settings.git.enforcement, doubted.entry) == ("enforced", None)
    assert "less than 2 seconds ago and requires less in [git] enforcement" in doubted.doubt
    assert place.found(2.1).settings.git.enforcement == "opt-in"
    place.put(strict)
    place.found()
    vouch(str(place.compiled), lax.encode())
    place.put(lax)
    assert place.found().settings.git.enforcement == "opt-in"
    place.put(strict)
    place.found()
    place.put(lax)
    assert place.found().doubt, "a vouch is for one change"


def test_a_vouch_is_for_these_bytes_and_an_hour(place: Place) -> None:
    """Neither another file nor a vouch that nobody made use of in time."""
    lax, strict = place.text('enforcement = "off"'), place.text('enforcement = "enforced"')
    place.put(strict)
    place.found()
    vouch(str(place.compiled), lax.encode())
    place.put(lax + "# and a byte more\n")
    assert place.found().doubt
    vouched = place.folder / "state" / "config.vouched"
    os.utime(vouched, (1, 1))
    place.put(lax)
    assert place.found().doubt
    vouch(str(place.compiled), lax.encode())
    vouched.chmod(0o666)
    assert place.found().doubt, "a vouch that others may write is none"


@pytest.mark.parametrize("cut", ["block", "line"])
def test_a_file_that_was_cut_for_good_stays_closed(place: Place, cut: str) -> None:
    """A full disk ends a file where a block ends, an editor that dies where its
    buffer does: long after that, too.
    """
    rules = RULE.format("ops")
    head = place.text('enforcement = "rules"')
    place.put(head + rules)
    place.found()
    filler = "# " + "x" * (1022 - len(head)) + "\n"
    left = {"block": (head + filler)[:1023] + "\n", "line": head + "# a comment that has no e"}[cut]
    place.put(left)
    assert place.found(1.0).doubt
    with pytest.raises(ConfigurationError, match="looks cut off"):
        place.found(1e6)
    vouch(str(place.compiled), left.encode())
    assert not place.found().settings.rules, "whoever looked may say that it is whole"


def test_after_a_full_disk_a_cut_file_is_compared_with_nothing_old(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ATTACK: the form that counts could not be noted; the next save is cut, and requires no less than the
    one before that. EXPECTED: closed.
    """
    place.put(place.text("enforcement = 'rules'"))
    place.found(SETTLED)
    monkeypatch.setattr("gitguard.config.in_force.put_quietly", lambda path, data: False)
    whole = place.text("enforcement = 'rules'", RULE.format("ops") + "#" * 2990 + "\n" + RULE.format("web"))
    place.put(whole)
    with pytest.raises(ConfigurationError, match="disk"):
        place.found(0.5)
    assert refused(policy_of(place.found(SETTLED).settings)), "whole and settled, it counts all the same"
    place.put((whole + "#" * 4096)[:4096])
    for after in (0.5, SETTLED, 86400.0):
        with pytest.raises(ConfigurationError, match="cut off"):
            place.found(after)
    monkeypatch.undo()
    with pytest.raises(ConfigurationError, match="cut off"):
        place.found(SETTLED)  # there is room again, and it is still cut
    vouch(str(place.compiled), place.config.read_bytes())
    assert place.found(SETTLED).doubt == ""


def test_the_beginning_of_a_file_is_not_the_form_to_compare_with(place: Place) -> None:
    """A request sees a strict prefix of a whole file that has no last line end: the whole
    file counts once it is there.
    """
    hardware = "[second_factor]\nhardware_keys = true\n"
    place.put(place.text("enforcement = 'enforced'", hardware))
    place.found(SETTLED)
    whole = place.text("enforcement = 'enforced'", "# a remark\n" + hardware).rstrip("\n")
    vouch(str(place.compiled), whole.encode())
    place.put(whole.partition("[second_factor]")[0].rstrip("\n"))
    assert not place.found(0.1).settings.second_factor.hardware_keys, "it demands no less, so it counts"
    place.put(whole)
    assert place.found(0.2).settings.second_factor.hardware_keys
    place.put(whole.partition("[second_factor]")[0])
    assert not place.found(0.1).settings.second_factor.hardware_keys
    vouch(str(place.compiled), whole.encode())
    place.put(whole.partition("[second_factor]")[0] + "# b\n")
    place.found(0.1)
    place.put(whole)
    assert place.found(0.2).settings.second_factor.hardware_keys, (
        "a vouch for it is not used up by its beginning"
    )


def test_who_checks_is_told_what_demands_less(site: Direct) -> None:
    """`config check` lets it count, and says what that gives away: a monitor that
    runs it opens nothing unsaid.
    """
    site.write(site.config.read_text().replace('"opt-in"', '"enforced"'))
    site.admin("config", "check")
    site.admin("user", "list")
    site.config.write_text(site.config.read_text().replace('"enforced"', '"opt-in"').rstrip("\n"))
    said = site.admin("config", "check").out
    assert "requires less than what was in force before, in [git] enforcement" in said
    assert "looks cut off: its last line has no end" in said
    assert "from now on it may" in said


def test_an_emptied_file_is_closed(place: Place) -> None:
    """`: > gitguard.toml`, and what an editor leaves for an instant."""
    place.put(place.text('enforcement = "enforced"'))
    place.gate()
    for text in ("", "\n", "# nothing\n", f'[host]\naccount = "{ME}"\n'):
        place.put(text)
        with pytest.raises(ConfigurationError, match="enforcement"):
            place.gate()


def test_a_write_while_it_is_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """ATTACK on the joint: the file is old when we look, and emptied and half written before we
    read. EXPECTED: it is young.
    """
    strict = place.text('enforcement = "rules"', RULE.format("ops"))
    place.put(strict)
    place.found()
    half = place.text('enforcement = "rules"').encode()
    looked: list[os.stat_result] = []
    stat = os.fstat

    def fstat(handle: int) -> os.stat_result:
        found = stat(handle)
        if os.path.samestat(found, os.stat(place.config)) and len(looked) < 9:
            looked.append(found)
            if len(looked) % 2:
                place.put(half)  # right behind the first look of each try
        return found

    monkeypatch.setattr(os, "fstat", fstat)
    found = in_force(str(place.config), str(place.compiled), place.config.stat().st_ctime + 1)
    assert found.doubt


def test_a_last_good_form_that_is_not_ours_is_none(place: Place) -> None:
    """It only ever closes; one that others may write, or a link in its place, is not asked."""
    strict, lax = place.text('enforcement = "enforced"'), place.text('enforcement = "off"')
    place.put(strict)
    place.found()
    good = place.folder / "state" / "config.good"
    assert good.stat().st_mode & 0o777 == 0o600
    good.chmod(0o666)
    place.put(lax)
    assert not place.found().doubt
    assert good.stat().st_mode & 0o777 == 0o600, "and it is made anew"


ORDER = [  # (stricter, laxer): the way back is in doubt
    ("enforcement = 'rules'\n[notify]\ncommand = ['/n']", "enforcement = 'rules'"),
    (
        "enforcement = 'rules'\n[notify]\ncommand = ['/n']\nevents = ['reset', 'not-me']",
        "enforcement = 'rules'\n[notify]\ncommand = ['/n']\nevents = ['reset']",
    ),
    ("enforcement = 'enforced'", "enforcement = 'opt-in'"),
    ("enforcement = 'rules'", "enforcement = 'off'"),
    ("enforcement = 'rules'\nadmins = ['a']", "enforcement = 'rules'\nadmins = ['a', 'b']"),
    ("enforcement = 'rules'", "enforcement = 'rules'\npass_commands = ['perms']"),
    ("enforcement = 'rules'\n[session]\nlifetime = '1h'", "enforcement = 'rules'"),
    ("enforcement = 'rules'", "enforcement = 'rules'\n[session]\nscope = 'key'"),
    ("enforcement = 'rules'", "enforcement = 'rules'\n[second_factor]\nself_enrolment = 'open'"),
    ("enforcement = 'rules'", "enforcement = 'rules'\n[second_factor]\nhardware_keys = true"),
    ("enforcement = 'rules'\n[second_factor]\nrecovery_codes = 0", "enforcement = 'rules'"),
    ("enforcement = 'rules'\n[account]\nallow_remove = false", "enforcement = 'rules'"),
    ("enforcement = 'rules'\n[account]\nallow_keys = false", "enforcement = 'rules'"),
    ("enforcement = 'rules'", "enforcement = 'rules'\n[account]\nallow_always = false"),
    ("enforcement = 'rules'", "enforcement = 'rules'\n[web]\ntrusted_header = 'X-User'"),
    ("enforcement = 'rules'", "enforcement = 'rules'\n[web]\ntrusted_proxies = ['10.0.0.1']"),
    ("enforcement = 'rules'", "enforcement = 'rules'\n[web]\nlogin_domains = ['example.com']"),
    ("enforcement = 'rules'\n" + RULE.format("a") + RULE.format("b"), "enforcement = 'rules'\n" + RULE.format("b")),
]  # fmt: skip
NEITHER = [  # not to be compared, so both ways are in doubt
    ("enforcement = 'rules'\n[groups]\na = ['x', 'y']", "enforcement = 'rules'\n[groups]\na = ['x']"),
    ("enforcement = 'rules'\n[aliases]\nbob = 'rob'", "enforcement = 'rules'"),
    ("enforcement = 'rules'\n[throttle]\nper_key = ['3/5m']", "enforcement = 'rules'"),
    ("enforcement = 'rules'\n[paths]\nrepositories = '/srv/a'", "enforcement = 'rules'"),
    ("enforcement = 'rules'\nbehind = ['/bin/x']", "enforcement = 'rules'"),
    ("enforcement = 'rules'\n" + RULE.format("a") + RULE.format("b"), "enforcement = 'rules'\n" + RULE.format("b") + RULE.format("a")),
    ("enforcement = 'rules'\n" + RULE.format("a") + "lifetime = '1h'", "enforcement = 'rules'\n" + RULE.format("b") + RULE.format("a") + "lifetime = '1h'"),
]  # fmt: skip
ALIKE = [
    ("enforcement = 'rules'", "enforcement = 'opt-in'"),
    (
        "enforcement = 'rules'",
        "enforcement = 'rules'\n[help]\nline = 'x'\n[host]\nname = 'y'\n[[apps]]\nname = 'z'",
    ),
]


def settings(text: str) -> Settings:
    """Of a `[git]` table and what stands behind it."""
    return parse(f"[git]\n{text}\n".encode())


def test_what_demands_less_than_what() -> None:
    """Each key that decides anything, in both directions; what cannot be compared is less."""
    for strict, lax in ORDER:
        assert demands_less(settings(strict), settings(lax)) == "", (strict, lax)
        assert demands_less(settings(lax), settings(strict)), (strict, lax)
    for one, other in NEITHER:
        assert demands_less(settings(one), settings(other)) or demands_less(settings(other), settings(one)), (
            one
        )
        assert demands_less(settings(other), settings(one)), (one, other)
    for one, other in ALIKE:
        assert (
            demands_less(settings(one), settings(other)) == demands_less(settings(other), settings(one)) == ""
        )


@pytest.mark.parametrize("how", ["limit", *(["full-disk"] if CAN_MOUNT else [])])
def test_saved_on_a_full_disk_nobody_gets_in(place: Place, how: str) -> None:
    """The editor empties the file and the disk takes only a part of it: then, and a day
    later, what was closed is closed.
    """
    before = place.text('enforcement = "rules"', RULE.format("ops") + RULE.format("web"))
    place.put(before)
    both = refused(place.gate())
    pad = "# why\n" * 1500
    after = place.text('enforcement = "rules"', pad + RULE.format("ops") + RULE.format("web"))
    copy = place.folder / "new.toml"
    copy.write_text(after)
    if how == "limit":
        _save_limited(copy, place.config)
    else:
        _save_on_full_disk(copy, place)
    assert 0 < place.config.stat().st_size < len(after)
    for later in (0.0, 1.0, 3.0, 86400.0):
        with contextlib.suppress(ConfigurationError):
            assert both <= refused(policy_of(place.found(later).settings))
    place.put(after)
    assert place.found(SETTLED).settings == parse(after.encode())


def _save_limited(source: Path, target: Path) -> None:
    """Copy as `cat source > target` does where no file may grow beyond 4096 bytes."""
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # noqa: E731
    done = subprocess.run(
        [sys.executable, "-c", "import sys; open(sys.argv[2], 'wb', 0).write(open(sys.argv[1], 'rb').read())",
         str(source), str(target)], preexec_fn=limit, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1)


def _save_on_full_disk(source: Path, place: Place) -> None:
    """The same on a disk of which a page is free: the real file is then what was left there."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", folder], check=True)
        try:
            there = Path(folder) / "gitguard.toml"
            there.write_bytes(place.config.read_bytes())
            fill = open(Path(folder) / "fill", "wb", buffering=0)  # noqa: SIM115
            with fill, pytest.raises(OSError, match="No space"):
                while fill.write(b"x" * 4096):
                    pass
            subprocess.run(
                ["sh", "-c", 'cat "$1" > "$2"', "sh", str(source), str(there)],
                check=False,
                stderr=subprocess.DEVNULL,
            )
            place.put(there.read_bytes())
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def test_init_takes_a_file_of_before_along_and_opens_none_that_was_cut(site: Direct) -> None:
    """A file of 0.1.0 need not say `enforcement`: init writes the default of then and says so.
    One that lost it is not opened.
    """
    whole = site.config.read_text()
    before = whole.replace('enforcement = "opt-in"\n', "")
    good = site.home / "state" / "config.good"
    site.config.write_text(before)
    refused = site.admin("repo", "list", status=30)
    assert "[git] enforcement: it is missing; say off, rules, opt-in or enforced" in refused.err
    lost = site.admin("init", "--home", str(site.home), status=30)
    assert "says no [git] enforcement; it was 'opt-in'; was it emptied or cut off?" in lost.err
    assert site.config.read_text() == before
    good.unlink()  # as 0.1.0 leaves it
    said = site.admin("init", "--home", str(site.home)).out
    assert f'added enforcement = "opt-in" under [git] of {site.config}' in said
    assert site.config.read_text() == whole
    assert "added" not in site.admin("init", "--home", str(site.home)).out
    good.unlink()
    site.config.write_text(before.replace("[git]\n", ""))
    assert "added" in site.admin("init", "--home", str(site.home)).out
    assert parse(site.config.read_bytes()) == parse(whole.encode())
    good.unlink()
    site.config.write_text("")
    emptied = site.admin("init", "--home", str(site.home), status=30)
    assert "was it emptied or cut off?" in emptied.err
    assert "gitguard admin config edit" in emptied.err


def test_who_checks_or_edits_vouches_and_doctor_says_what_counts(
    site: Direct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `config check` or `config edit` the file counts at once; until then doctor
    names the form that continues.
    """
    alice = site.add_user("alice")
    site.admin("repo", "create", "app")
    site.configure(git={"enforcement": "enforced"})

    def reads() -> bool:
        return site.ssh(alice, "git-upload-pack 'app'", stdin="0000").status == 0

    assert not reads()
    lax = site.config.read_text().replace('"enforced"', '"off"')
    site.config.write_text(lax)
    assert not reads(), "it was saved a moment ago"
    site.config.write_text(lax)  # anew: all of doctor may take longer than a file is young
    (told,) = files.configuration_findings(places_of(str(site.config)))
    assert "does not count yet" in told.what
    assert "requires less in [git] enforcement" in told.what
    assert site.admin("config", "check").out.endswith(f"{site.config} is in order\n")
    assert reads()
    assert "does not count yet" not in site.admin("doctor", status=None).out
    for word, other, opens in (("off", "enforced", False), ("enforced", "off", True)):
        monkeypatch.setenv("VISUAL", "")
        monkeypatch.setenv("EDITOR", f"sed -i s/{word}/{other}/")
        site.admin("config", "edit")
        assert reads() is opens
    draft = tmp_path / "next.toml"
    draft.write_text(lax.replace('"off"', '"opt-in"'))
    site.admin("config", "check", str(draft))
    site.configure(git={"enforcement": "enforced"})
    assert not reads()
