"""`admin user import` and `admin apply`: coming from elsewhere, and configuration management's door."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pyotp
import pytest
import tomli_w

from gitguard.host.key_file import key_line
from gitguard.message.reasons import Refusal
from gitguard.store.rows import Key
from lab.clock import step
from lab.server import Direct, Server


def typed(site: Direct, text: str, name: str = "list") -> str:
    """A file with `text`."""
    path = site.folder / name
    path.write_text(text)
    return str(path)


def export(site: Direct) -> str:
    """What the installation is."""
    return site.admin("export").out


def test_a_list_of_people_is_taken_once(site: Direct) -> None:
    """The dry run says the same and changes nothing; a second time finds all there; what
    is not taken is said by line.
    """
    ann = site.new_key("ann")
    site.configure(aliases={"Robert Smith": "rob"}, web={"login_domains": ["example.com"]})
    text = f"login,email,key\nAnn@EXAMPLE.com,,{ann.public_line.strip()}\nRobert Smith,,\n,Ann@other.org,\nünal,,\n"
    file, before = typed(site, text), export(site)
    dry = site.admin("user", "import", "csv", file, "--dry-run")
    assert export(site) == before
    assert "line 2, Ann@EXAMPLE.com: would add the user ann" in dry.out
    assert "2 people would be taken over, 0 there already, 2 lines not taken" in dry.out
    done = site.admin("user", "import", "csv", file)
    assert "line 4: not taken: Ann@other.org: Ann@EXAMPLE.com is ann already" in done.err
    assert "line 5: not taken: ünal: it gives no user's name" in done.err
    assert "gitguard admin user invite --all" in done.out
    names = [user["name"] for user in tomllib.loads(export(site))["users"]]
    assert names == ["ann", "rob"]
    assert ann.fingerprint in site.key_file.read_text()
    again = json.loads(site.admin("user", "import", "csv", file, "--json").out)
    assert again["changed"] is False
    assert [one["done"] for one in again["taken"]] == [[], []]


def test_a_removed_user_does_not_come_back_by_a_list(site: Direct) -> None:
    """Nor does a key change hands."""
    ann = site.add_user("ann")
    site.admin("user", "add", "gone")
    site.admin("user", "remove", "gone", "--yes")
    done = site.admin(
        "user", "import", "csv", typed(site, f"login,key\ngone,\nben,{ann.public_line.strip()}\n")
    )
    assert "gone was removed; if they are back: gitguard admin user restore gone" in done.err
    assert "it is a key of ann" in done.err


def test_an_address_alone_gives_nobody_a_key(site: Direct) -> None:
    """Adversary: signed up elsewhere as bob@evil.example. Our bob gets no key of theirs by that;
    a login or an alias would do.
    """
    site.add_user("bob")
    evil = site.new_key("evil")
    text = f"email,key\nbob@evil.example,{evil.public_line.strip()}\n"
    done = site.admin("user", "import", "csv", typed(site, text))
    assert "an address alone does not say that it is the same person" in done.err
    assert evil.fingerprint not in site.key_file.read_text()
    named = f"name,key\nbob,{evil.public_line.strip()}\n"
    done = site.admin("user", "import", "csv", typed(site, named))
    assert "what people call themselves does not say that it is the same person" in done.err
    site.configure(git={"admins": ["root-of-all"]}, groups={"core": ["mallory-to-be"]})
    for head, login in (
        ("nickname", "root-of-all"),
        ("email", "root-of-all@x.org"),
        ("name", "mallory-to-be"),
    ):
        done = site.admin("user", "import", "csv", typed(site, f"{head}\n{login}\n"))
        assert "stands in the configuration" in done.err
    assert evil.fingerprint not in site.key_file.read_text()
    site.configure(aliases={"bob@evil.example": "bob"})
    site.admin("user", "import", "csv", typed(site, text))
    assert evil.fingerprint in site.key_file.read_text()


def test_a_key_with_other_limits_is_not_there_already(site: Direct) -> None:
    """What limits it in the list is not passed over in silence."""
    ann = site.add_user("ann")
    keys = typed(site, f'from="192.0.2.0/24" {ann.public_line}', "old_keys")
    chosen = typed(site, f"{ann.fingerprint} ann\n", "map")
    done = site.admin("user", "import", "authorized-keys", keys, "--map", chosen)
    assert "it is stored with other limits" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("csv", "list", "--user", "x"), "--user"),
        (("google-authenticator", "list"), "--user"),
        (("authorized-keys", "list"), "--map"),
        (("csv", "list", "--map", "list"), "--map"),
        (("cvs", "list"), "csv"),
        (("csv", "nowhere"), "cannot read"),
        (("csv", "list"), "line 1"),
    ],
)
def test_what_is_asked_wrongly(words: tuple[str, ...], said: str, site: Direct) -> None:
    """Exit 2 with the right word, and nothing changed."""
    (site.folder / "list").write_text("nobody\n")
    before = export(site)
    form, file, *rest = words
    rest = [str(site.folder / word) if word == "list" else word for word in rest]
    refused = site.admin("user", "import", form, str(site.folder / file), *rest, status=2)
    assert said in refused.err
    assert export(site) == before


@pytest.mark.e2e
def test_an_authenticator_comes_along(server: Server) -> None:
    """A person keeps the app of pam_google_authenticator: its next code opens a session
    here, one it has shown does not.
    """
    alice = server.add_user("alice")
    secret = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    file = server.folder / "google"
    file.write_text(f'{secret}\n" TOTP_AUTH\n12345678\n')
    stranger = server.admin(
        "user", "import", "google-authenticator", str(file), "--user", "Alice@EXAMPLE.com"
    )
    assert "EXAMPLE.com is not one of [web] login_domains" in stranger.err
    assert "0 people taken over" in stranger.out
    server.configure(web={"login_domains": ["example.com"]})
    done = server.admin("user", "import", "google-authenticator", str(file), "--user", "Alice@EXAMPLE.com")
    assert "took the second factor over" in done.out
    assert "eight digits are too few" in done.err
    assert secret not in done.text
    shown = pyotp.TOTP(secret).generate_otp(step())
    assert server.ssh(alice, "2fa verify", stdin=shown + "\n").status == 12, "pam may have seen it"
    server.clear_watermark(alice)
    alice.secret = secret
    server.verify(alice)
    again = server.admin("user", "import", "google-authenticator", str(file), "--user", "alice")
    assert "0 people taken over, 1 there already" in again.out
    file.write_text(f'{secret[::-1]}\n" TOTP_AUTH\n')
    other = server.admin("user", "import", "google-authenticator", str(file), "--user", "alice")
    assert "alice has another second factor; reset it first" in other.err
    server.verify(alice)


def test_apply_brings_a_server_to_what_another_was(site: Direct, tmp_path: Path) -> None:
    """Export, apply on an empty server, export: the same text but for what is people's
    own. Twice: nothing to change.
    """
    ann = site.add_user("ann")
    site.admin("key", "add", "ann", f"{site.new_key('ann2').key}.pub", "--behind", "/usr/bin/env {user}")
    site.admin("user", "add", "ben")
    site.admin("user", "suspend", "ben")
    site.new_repository("team/app", "push", "ann")
    site.admin("repo", "lifetime", "team/app", "1h")
    wanted = export(site)
    other = Direct(tmp_path / "other")
    other.install()
    file = typed(other, wanted)
    dry = other.admin("apply", file, "--dry-run")
    assert "would add the user ann" in dry.out
    assert dry.out.endswith("changed: true\n")
    assert tomllib.loads(export(other)) == {"users": [], "repositories": []}
    done = other.admin("apply", file)
    assert "add the user ann\n" in done.out
    assert "suspend ben\n" in done.out
    assert "team/app: require 2FA for push within 1h\n" in done.out
    assert done.out.endswith("changed: true\n")
    assert ann.fingerprint in other.key_file.read_text()
    got = export(other).replace(str(other.repositories), str(site.repositories))
    assert got == wanted
    assert other.admin("apply", file).out == "changed: false\n"
    assert json.loads(other.admin("apply", "-", "--json", stdin=wanted).out) == {
        "changed": False,
        "steps": [],
        "unnamed": [],
        "withheld": [],
    }


def test_apply_takes_nothing_away_unless_told(site: Direct) -> None:
    """What the file does not name stays; with --prune keys and admins of those whom it names
    go, and users it calls removed.
    """
    site.add_user("ann")
    site.add_user("ben")
    site.admin("repo", "create", "app", "--admin", "ben")
    text = '[[users]]\nname = "ann"\nkeys = []\n\n[[users]]\nname = "ben"\nstate = "removed"\n\n[[repositories]]\nname = "app"\nadmins = []\n'
    file, before = typed(site, text), export(site)
    site.admin("user", "add", "cay")
    done = site.admin("apply", file)
    assert done.out == "changed: false\n"
    assert "not in the file, and left alone: the user cay" in done.err
    pruned = site.admin("apply", file, "--prune").out
    assert "remove the key SHA256:" in pruned
    assert "remove the user ben" in pruned
    assert before != export(site)
    now = {user["name"]: user for user in tomllib.loads(export(site))["users"]}
    assert now["ann"]["keys"] == []
    assert now["ben"]["state"] == "removed"
    assert now["cay"]["state"] == "active"


def test_apply_lets_nobody_in_again_by_itself(site: Direct) -> None:
    """Configuration management runs every half hour: it must not undo an emergency,
    neither by silence nor by `active`.
    """
    site.admin("user", "add", "bob")
    site.admin("user", "suspend", "bob")
    silent = site.admin("apply", typed(site, '[[users]]\nname = "bob"\n'))
    assert silent.out == "changed: false\n"
    active = typed(site, '[[users]]\nname = "bob"\nstate = "active"\n')
    named = site.admin("apply", active)
    assert named.out == "changed: false\n"
    assert "not done: bob is suspended here, and active in the file: --resume lets them in again" in named.err
    assert "resume bob" in site.admin("apply", active, "--resume").out
    gone = site.admin("apply", typed(site, '[[users]]\nname = "bob"\nstate = "removed"\n'))
    assert "not done: bob is to be removed, which takes --prune" in gone.err


def test_apply_widens_no_key_by_silence(site: Direct) -> None:
    """A key's line says nothing of what limits it, so that stays; a table says all of
    it, and what is wider is named.
    """
    line = site.new_key("ann").public_line.strip()
    limited = f'{{ key = "{line}", limits = \'from="192.0.2.0/24"\', behind = ["/bin/true"] }}'
    head = '[[users]]\nname = "ann"\n'
    site.admin("apply", typed(site, f"{head}keys = [{limited}]\n"))
    assert 'from="192.0.2.0/24"' in site.key_file.read_text()
    assert site.admin("apply", typed(site, f'{head}keys = ["{line}"]\n')).out == "changed: false\n"
    assert 'from="192.0.2.0/24"' in site.key_file.read_text()
    said = site.admin("apply", typed(site, f'{head}keys = [{{ key = "{line}" }}]\n')).out
    assert "by: nothing (WIDER than before)" in said
    assert "from=" not in site.key_file.read_text()


def test_what_limits_a_key_is_one_line(site: Direct) -> None:
    """Adversary: sends a change to the file. A line break in `limits` would begin a key
    line of their own, with a shell.
    """
    line = site.new_key("ann").public_line.strip()
    evil = site.new_key("evil").public_line.strip()
    limits = f'from=\\"10.0.0.1\\n{evil}\\"'
    text = f'[[users]]\nname = "ann"\nkeys = [{{ key = "{line}", limits = "{limits}" }}]\n'
    refused = site.admin("apply", typed(site, text), status=2)
    assert "limits" in refused.text
    assert evil.split()[1] not in site.key_file.read_text()
    row = Key("SHA256:x", "ann", "ssh-ed25519", "AAAA", "", False, 0, f'from="10.0.0.1\n{evil}"')
    with pytest.raises(Refusal, match="control characters"):
        key_line(row, "/gate")


def test_apply_keeps_the_floor(site: Direct) -> None:
    """What a repository's own admins have tightened is told from what the server's admin
    requires, and both are applied.
    """
    site.admin("repo", "create", "app")
    text = '[[repositories]]\nname = "app"\nrequire = "all"\nlifetime = "30m"\nfloor = "push"\nfloor_lifetime = "1h"\n'
    done = site.admin("apply", typed(site, text)).out
    assert "app: require 2FA for push within 1h, tightened to all within 30m" in done
    (row,) = tomllib.loads(export(site))["repositories"]
    assert (row["require"], row["lifetime"], row["floor"], row["floor_lifetime"]) == (
        "all",
        "30m",
        "push",
        "1h",
    )
    assert site.admin("apply", typed(site, text)).out == "changed: false\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[user]]\nname = 'a'\n", ["unknown table; did you mean 'users'?"]),
        (
            "[[users]]\nname = 'a'\n\n[[users]]\nnam = 'b'\n",
            ["line 4", "line 5", "(column 1)", "did you mean 'name'?", "cannot be a user's name"],
        ),
        ("[[users]]\nname = 'a'\nstate = 'suspend'\n", ["line 3", "(column 1)", "did you mean 'suspended'?"]),
        ("[[users]]\nname = 'a'\nkeys = ['ssh-rsa x']\n", ["line 1", "keys:"]),
        ("[[users]]\nname = 'a'\nkeys = 'x'\n", ["expected a list"]),
        ("[[users]]\nname = 'a'\n[[users]]\nname = 'a'\n", ["stands there twice"]),
        ("[[repositories]]\nname = '../x'\n", ["cannot be a repository's name"]),
        ("[[repositories]]\nname = 'x'\nrequire = 'pushes'\n", ["did you mean 'push'?"]),
        ("[[repositories]]\nname = 'x'\nrequire = 'all'\nlifetime = '1 hour'\n", ["not a duration"]),
        ("[[repositories]]\nname = 'x'\nrequire = 'none'\nfloor = 'all'\n", ["below the floor"]),
        ("[[repositories]]\nname = 'x'\nadmins = ['nobody']\n", ["nobody is to be an admin of x"]),
        ("[[repositories]]\nname = 'x'\nrequire = 'all'\nlifetime = '30d'\n", ["may only be shorter"]),
        ("[[users]\n", ["line 1"]),
        ("x = " + "[" * 5000 + "\n", ["syntax"]),
        ("[[repositories]]\nname = 'x'\nlifetime = '1h'\n", ["lifetime without require"]),
        ("[[repositories]]\nname = 'x'\nfloor = 'all'\n", ["floor without require"]),
    ],
)
def test_a_file_with_a_fault_changes_nothing(text: str, said: list[str], site: Direct) -> None:
    """Exit 2, each fault with its line and the nearest right word; what stands
    before it is not applied either.
    """
    before = export(site)
    good = tomli_w.dumps({"users": [{"name": "first"}]}) if text.startswith("[[repo") else ""
    refused = site.admin("apply", typed(site, good + text), status=2)
    for words in said:
        assert words in refused.text
    assert export(site) == before


def test_a_login_of_another_domain_is_nobody(site: Direct) -> None:
    """ATTACK: signed up as alice at a guest's domain. EXPECTED: no key and no factor of theirs
    comes to our alice, by any list.
    """
    site.add_user("alice")
    evil = site.new_key("evil")
    before = export(site)
    csv = f"login,key\nalice@guest.example,{evil.public_line.strip()}\n"
    done = site.admin("user", "import", "csv", typed(site, csv))
    assert "guest.example is not one of [web] login_domains" in done.err
    oath = "HOTP/T30 alice@guest.example - 00112233445566778899aabbccddeeff\n"
    assert "login_domains" in site.admin("user", "import", "users.oath", typed(site, oath)).err
    assert export(site) == before
    site.configure(web={"login_domains": ["Example.com"]})
    ours = csv.replace("guest.example", "EXAMPLE.com")
    assert "login_domains" in site.admin("user", "import", "csv", typed(site, csv)).err
    assert "added the key" in site.admin("user", "import", "csv", typed(site, ours)).out


def test_who_is_blocked_elsewhere_gets_in_nowhere(site: Direct) -> None:
    """A forge's export with its column `state`: the blocked person is named and left out, with their key."""
    ann, bob = site.new_key("ann"), site.new_key("bob")
    text = (
        f"username,state,key\nann,active,{ann.public_line.strip()}\nbob,blocked,{bob.public_line.strip()}\n"
    )
    done = site.admin("user", "import", "csv", typed(site, text))
    assert "line 3: not taken: bob: not plainly active: its state is blocked" in done.err
    assert bob.fingerprint not in site.key_file.read_text()
    assert ann.fingerprint in site.key_file.read_text()


@pytest.mark.parametrize("words", [("apply",), ("user", "import", "csv")])
def test_a_bound_refuses_and_never_cuts(site: Direct, words: tuple[str, ...]) -> None:
    """A file that is too long is not done in part: whoever stands at its end would never be looked at."""
    site.add_user("alice")
    before = export(site)
    long = site.folder / "long"
    with open(long, "wb") as file:
        file.write(b"login\n" if words[0] == "user" else b"")
        file.truncate(64 * 1024 * 1024 + 1)
    refused = site.admin(*words, str(long), status=2)
    assert "is longer than 64 MiB; nothing was done" in refused.err
    assert export(site) == before


def test_a_list_of_more_than_four_megabytes_is_whole(site: Direct) -> None:
    """The person at the very end of an export of many is suspended as it says."""
    site.add_user("zoe")
    filler = "".join(f"# {number:060d}\n" for number in range(80_000))
    text = filler + '[[users]]\nname = "zoe"\nstate = "suspended"\n'
    assert len(text) > 5_000_000
    assert "suspend zoe" in site.admin("apply", typed(site, text)).out


@pytest.mark.parametrize("name", ["apply", "expectations"])
def test_a_list_whose_last_line_has_no_end(site: Direct, name: str) -> None:
    """What is cut off there may be what limits: `lifetime`, `floor`, the row that would have failed."""
    site.new_repository("app", "all")
    before = export(site)
    if name == "apply":
        refused = site.admin(
            "apply", typed(site, '[[repositories]]\nname = "app"\nrequire = "none"'), status=2
        )
    else:
        text = '[[expect]]\nuser = "a"\nrepository = "app"\nverdict = "not-required"'
        refused = site.admin("policy", "test", typed(site, text), status=2)
    assert "its last line has no end" in refused.err
    assert export(site) == before
