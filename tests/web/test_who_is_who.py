"""Who is who and what is what: the account's keys and browsers, effects of a repository, what
needs a look, whose page it is.
"""

from __future__ import annotations

import re
from pathlib import Path

import pyotp
import pytest

from gitguard.action.browsers import agent_in_words
from gitguard.config.faults import ConfigurationError
from gitguard.config.parse import parse
from gitguard.doctor.page import page_findings
from gitguard.web.app import cookie_name, create_app
from gitguard.web.peer import peer_of
from gitguard.web.results import AGAIN_SECONDS, KEPT_SECONDS, Results
from gitguard.web.return_to import own_page
from lab.page import Browser, Page, sign_in
from lab.server import Direct
from tests.web.conftest import Hall

pytestmark = pytest.mark.slow
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (FIREFOX, "Firefox, Linux"), (IPHONE, "Safari, iPhone"), ("", ""), ("curl/8", ""), ("x" * 5000 + "Firefox", ""),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36 Edg/126.0", "Edge, Windows"),
        ("Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36", "Chrome, Android"),
        ("<script>Firefox</script>", "Firefox"),
    ],
)  # fmt: skip
def test_a_browser_in_two_words(agent: str, words: str) -> None:
    """From a list of our own, whatever it says of itself."""
    assert agent_in_words(agent) == words


def test_keys_and_browsers_can_be_told_apart(hall: Hall) -> None:
    """Two keys, two browsers: which is this one, what signed it in, when it was last
    used; no forty digits anywhere.
    """
    guest = hall.verified()
    laptop = hall.server.add_key(guest.person, f"{guest.person.name}-laptop")
    hall.refused(laptop)
    phone = Browser(hall.page)
    link = hall.link(laptop)
    shown = phone.get(f"/sign-in/{link.rpartition('/')[2]}", {"User-Agent": IPHONE})
    phone.post("/sign-in/link", {"link": shown.value("link")}, headers={"User-Agent": IPHONE})
    page = guest.browser.get("/account")
    assert "Safari, iPhone" in page.text
    assert f"with {guest.person.name}" in page.text
    assert "this browser" in page.text
    assert "signed you in here" in page.text
    assert "last used" in page.text
    assert f"Remove {guest.person.name}-laptop" in page.text
    assert not re.search(r"\b[0-9a-f]{40}\b", page.text)


def test_a_lost_phone_takes_one_recovery_code(hall: Hall) -> None:
    """A recovery code verifies, and leads to the new app without another one: five are
    left of six until the new set.
    """
    guest = hall.signed_in()
    guest.browser.get("/verify")
    dashed = guest.person.recovery_codes[0].replace("-", "\u2013").lower()
    shown = guest.browser.send("/verify", {"request": "", "code": "", "recovery": dashed})
    assert shown.title == "Set up your second factor", shown.text
    assert "Recovery codes left: 5" in shown.text
    assert 'name="given"' not in shown.body
    codes = guest.browser.send("/set-up/begin", {})
    assert codes.title == "Recovery codes", codes.text
    app = guest.browser.send("/set-up/kept")
    secret = re.search(r"secret=([A-Z2-7]+)", app.body)
    assert secret
    done = guest.browser.send(
        "/set-up/confirm", {"name": app.value("name"), "code": pyotp.TOTP(secret[1]).now()}
    )
    assert "Your new app is set up" in done.text, done.text
    other = hall.signed_in()
    other.browser.get("/set-up")
    assert other.browser.post("/set-up/begin", {}).status == 400, "without it a code is asked for"


@pytest.mark.parametrize("end", ["leave", "revoke", "elsewhere"])
def test_a_lost_phone_ends_with_its_session(hall: Hall, end: str) -> None:
    """ATTACK: a cookie copied from whoever typed a recovery code. EXPECTED: what it allows
    goes with the session, at once.
    """
    guest = hall.signed_in()
    guest.browser.get("/verify")
    guest.browser.send("/verify", {"request": "", "recovery": guest.person.recovery_codes[0]})
    begun = guest.browser.send("/set-up/begin", {})
    assert begun.title == "Recovery codes"
    app = guest.browser.send("/set-up/kept")
    secret = re.search(r"secret=([A-Z2-7]+)", app.body)
    assert secret
    headers: dict[str, str] = {}
    if end == "leave":
        guest.browser.post("/account/leave")
    elif end == "revoke":
        with hall.server.acting() as site, site.store.reading() as tx:
            sessions = [one.id for one in tx.sessions(guest.person.name)]
        for number in sessions:
            hall.server.admin("session", "revoke", "--id", str(number), "--reason", "x")
    else:
        hall.server.configure(web={"trusted_proxies": ["127.0.0.1"]})
        headers = {"X-Forwarded-For": "203.0.113.66"}
    try:
        shown = guest.browser.get("/set-up", headers)
        assert 'name="given"' in shown.body
        assert guest.browser.post("/set-up/begin", {}, headers=headers).status in (400, 403)
        form = {"name": app.value("name"), "code": pyotp.TOTP(secret[1]).now()}
        assert guest.browser.post("/set-up/confirm", form, headers=headers).status in (409, 410)
    finally:
        hall.server.configure(web={"trusted_proxies": []})


def test_a_thief_with_the_key_alone_changes_no_networks(hall: Hall) -> None:
    """ATTACK: "This isn't me" by the stolen key itself, to make the owner's home strange.
    EXPECTED: their networks stand.
    """
    person = hall.server.new_user(hall.name())
    with hall.server.acting() as site, site.store.reading() as tx:
        assert tx.has_verified_from(person.name, "127.0.0.1")
    hall.server.ssh(person, "2fa leave")
    thief = hall.signed_in(person)
    hall.server.configure(web={"trusted_proxies": ["127.0.0.1"]})
    try:
        hall.refused(person, host="203.0.113.66")
        thief.browser.get("/verify", {"X-Forwarded-For": "203.0.113.66"})
        form = {"key": person.fingerprint}
        assert (
            thief.browser.post("/verify/not-me", form, headers={"X-Forwarded-For": "203.0.113.66"}).status
            == 303
        )
    finally:
        hall.server.configure(web={"trusted_proxies": []})
    with hall.server.acting() as site, site.store.reading() as tx:
        assert tx.has_verified_from(person.name, "127.0.0.1"), "the owner's home is what it was"


def test_who_has_verified_forgets_all_other_networks(hall: Hall) -> None:
    """The owner, verified in the browser that this very key signed in, says "not me": no other
    network is theirs from then on.
    """
    guest = hall.verified()
    with hall.server.acting() as site, site.store.writing() as tx:
        tx.note_network(guest.person.name, "203.0.113.66", 1)
    path = hall.refused(guest.person, host="198.51.100.9")
    guest.browser.get(path)
    assert guest.browser.post("/verify/not-me", {"request": path.rpartition("/")[2]}).status == 303
    with hall.server.acting() as site, site.store.reading() as tx:
        assert not tx.has_verified_from(guest.person.name, "203.0.113.66")
        assert tx.has_verified_from(guest.person.name, "127.0.0.1")


def test_a_secret_that_was_shown_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds after it was given out it is gone from memory, anyone who asks next; unread, after ten
    minutes; with its browser, at once.
    """
    at = [100.0]
    monkeypatch.setattr("gitguard.web.results.time.monotonic", lambda: at[0])
    once = Results()
    shown = once.put("a", "secret", is_secret=True)
    unread = once.put("a", "other", is_secret=True)
    assert once.take("b", shown, str) is None
    assert once.take("a", shown, tuple) is None
    assert once.take("a", shown, str) == "secret"
    assert once.take("a", shown, str) == "secret", "a double click's second request"
    at[0] += AGAIN_SECONDS
    assert once.take("a", shown, str) is None
    assert list(once._kept) == [unread]
    at[0] += KEPT_SECONDS
    once.put("b", "x")
    assert unread not in once._kept
    once.forget("b")
    assert list(once._kept) == []


def test_a_flood_of_reports_hides_nobodys(own_hall: Hall) -> None:
    """ATTACK: a key alone reports again and again. EXPECTED: one line for it, and what someone
    else reported stays in sight.
    """
    olga, vic = own_hall.signed_in(), own_hall.signed_in()
    for guest, times in ((olga, 1), (vic, 40)):
        for _ in range(times):
            with own_hall.server.acting() as site:
                pending = site.settings.paths.state + "/pending"
                for name in sorted(one.name for one in Path(pending).glob("*")):
                    (Path(pending) / name).unlink()
            path = own_hall.refused(guest.person, host="203.0.113.9")
            guest.browser.get(path)
            guest.browser.post("/verify/not-me", {"request": path.rpartition("/")[2]})
    admin = own_hall.verified()
    own_hall.server.configure(git={"admins": [admin.person.name]})
    shown = admin.browser.get("/admin")
    assert f"{olga.person.name} says a request" in shown.text
    assert shown.text.count(f"{vic.person.name} says a request") == 1
    assert "(Reported 30 times.)" in shown.text, "what a key alone records in an hour has an end"
    assert "Nothing needs a look" in admin.browser.send("/admin/seen", {"upto": "999999999"}).text
    late = own_hall.refused(olga.person, "app", host="203.0.113.10")
    olga.browser.get(late)
    olga.browser.post("/verify/not-me", {"request": late.rpartition("/")[2]})
    assert f"{olga.person.name} says a request" in admin.browser.get("/admin").text, (
        "a number of the future marks nothing"
    )


def test_an_admin_is_told_of_wrong_codes_at_a_form(own_hall: Hall) -> None:
    """A code that a form of the server's pages asks for tells what every code tells: wrong
    ones since the last, from where.
    """
    server = own_hall.server
    admin = own_hall.verified()
    victim = server.new_user("victim")
    server.configure(git={"admins": [admin.person.name]})
    admin.browser.get(f"/admin/person?name={victim.name}")
    server.age_sessions(3700)
    for _ in range(4):
        server.ssh(admin.person, "2fa verify 000000", host="203.0.113.66")
    server.clear_watermark(admin.person)
    form = {"name": victim.name, "reason": "x", "code": server.fresh_code(admin.person)}
    done = admin.browser.send("/admin/person/suspend", form)
    assert "Wrong codes since you last verified: 4" in done.text, done.text


def test_what_is_kept_is_of_one_kind(hall: Hall) -> None:
    """The name of one page's result in another page's address shows nothing, uses
    nothing up and breaks nothing.
    """
    guest = hall.signed_in()
    path = hall.refused(guest.person)
    guest.browser.get(path)
    done = guest.browser.post(
        "/verify", {"request": path.rpartition("/")[2], "code": hall.server.fresh_code(guest.person)}
    )
    name = done.headers["location"].rpartition("/")[2]
    for other in (f"/account/recovery-codes/{name}", f"/verify/stopped/{name}", f"/set-up/codes/{name}"):
        assert guest.browser.get(other).status in (200, 303, 410), other
    assert "run your Git command again" in guest.browser.get(f"/verify/done/{name}").text


def test_a_lost_phone_at_a_held_request(hall: Hall) -> None:
    """The same where a request waits: it continues, and the page offers the new app."""
    guest = hall.signed_in()
    path = hall.refused(guest.person)
    guest.browser.get(path)
    done = guest.browser.send(
        "/verify", {"request": path.rpartition("/")[2], "recovery": guest.person.recovery_codes[0]}
    )
    assert "run your Git command again" in done.text
    assert "Lost your phone?" in done.text
    assert 'name="given"' not in guest.browser.get("/set-up").body


def test_set_up_in_a_second_tab_is_said(hall: Hall) -> None:
    """Begun twice: the first tab's code is refused with the reason, and the second one's counts."""
    guest = hall.signed_in()
    guest.browser.get("/set-up")
    apps = []
    for recovery in guest.person.recovery_codes[:2]:
        guest.browser.send("/set-up/begin", {"given": recovery})
        app = guest.browser.send("/set-up/kept")
        secret = re.search(r"secret=([A-Z2-7]+)", app.body)
        assert secret
        apps.append((app.value("name"), secret[1]))
    old = guest.browser.post("/set-up/confirm", {"name": apps[0][0], "code": pyotp.TOTP(apps[0][1]).now()})
    assert old.status == 409
    assert "another tab" in old.text
    done = guest.browser.send("/set-up/confirm", {"name": apps[1][0], "code": pyotp.TOTP(apps[1][1]).now()})
    assert "Your new app is set up" in done.text


def test_back_after_a_set_up_takes_nothing_away(hall: Hall) -> None:
    """Anyone who comes back to a step of a set-up that is done is told to keep
    the entry, not to delete it.
    """
    guest = hall.signed_in()
    guest.browser.get("/set-up")
    guest.browser.send("/set-up/begin", {"given": guest.person.recovery_codes[0]})
    app = guest.browser.send("/set-up/kept")
    secret = re.search(r"secret=([A-Z2-7]+)", app.body)
    assert secret
    guest.browser.send("/set-up/confirm", {"name": app.value("name"), "code": pyotp.TOTP(secret[1]).now()})
    for path in ("/set-up/app/shown", "/set-up/codes/x"):
        back = guest.browser.get(path)
        assert "Keep the entry in your app" in back.text
        assert "delete" not in back.text


def test_a_whole_line_is_pasted_for_an_invite(hall: Hall) -> None:
    """What the admin sends is a line with the invite in it; a wrong recovery code is told as what it is."""
    person = hall.server.add_user(hall.name())
    browser = Browser(hall.page)
    sign_in(browser, hall.link(person))
    browser.get("/set-up")
    codes = browser.send("/set-up/begin", {"given": f"ssh -T git@git.example.com 2fa enroll {person.invite}"})
    assert codes.title == "Recovery codes", codes.text
    guest = hall.signed_in()
    guest.browser.get("/verify")
    wrong = guest.browser.post("/verify", {"request": "", "code": "", "recovery": "AAAA-AAAA-AAAA-AAAA"})
    assert "That recovery code is wrong or already used" in wrong.text
    assert "<details open>" in wrong.body


def test_what_needs_a_look(own_hall: Hall) -> None:
    """Someone blocks their key: the overview begins with it, stats and the quick look count
    it, until it is marked as seen.
    """
    server = own_hall.server
    victim = own_hall.signed_in()
    path = own_hall.refused(victim.person, host="203.0.113.9")
    victim.browser.get(path)
    steps = victim.browser.send("/verify/not-me", {"request": path.rpartition("/")[2]})
    assert steps.body.count("<li>") >= 3, "three things to do now"
    admin = own_hall.verified()
    server.configure(git={"admins": [admin.person.name]})
    shown = admin.browser.get("/admin")
    assert shown.text.index("Needs a look") < shown.text.index("With a second factor")
    assert f"{victim.person.name} says a request for app" in shown.text
    assert "203.0.113.9" in shown.text
    assert "needs a look  1 thing" in server.admin("stats").out
    assert '"concerns": 1' in server.admin("stats", "--json").out
    assert "note  attention: 1 reports" in server.admin("doctor", "--quick", status=None).out
    seen = admin.browser.send("/admin/seen", {"upto": shown.value("upto")})
    assert "Nothing needs a look" in seen.text
    assert "needs a look" not in server.admin("stats").out
    assert "attention-seen" in server.admin("audit", "show", "--json").out
    assert "note  notify: no one is told" in server.admin("doctor", status=None).out


@pytest.mark.parametrize("enforcement", ["opt-in", "enforced", "off", "rules"])
def test_a_repository_says_the_same_everywhere(own_hall: Hall, enforcement: str) -> None:
    """The page shows the very lines of `repo show`: the setting, its effect, what it requires of me."""
    server = own_hall.server
    guest = own_hall.verified()
    server.admin("repo", "admin", "app", "add", guest.person.name)
    server.configure(git={"enforcement": enforcement})
    lines = server.ssh(guest.person, "2fa repo show app", status=0).out.splitlines()
    assert len(lines) >= 5
    text = guest.browser.get("/repository?name=app").text
    for line in lines:
        assert line in text, (line, text)


def test_the_filters_of_people_and_log(own_hall: Hall) -> None:
    """Suspended, throttled, without a factor; refused decisions alone; and how many there are."""
    server = own_hall.server
    admin = own_hall.verified()
    server.configure(git={"admins": [admin.person.name]})
    suspended, guesser = server.new_user("sue"), server.new_user("gus")
    server.add_user("newcomer")
    server.admin("user", "suspend", "sue", "--reason", "x")
    for _ in range(6):
        server.ssh(guesser, "2fa verify 000000")
    for which, there in {"suspended": "sue", "throttled": "gus", "not-enrolled": "newcomer"}.items():
        shown = admin.browser.get(f"/admin/people?which={which}").text
        assert there in shown, which
        assert {"sue", "gus", "newcomer"} & set(shown.split()) == {there}, (which, shown)
    assert "Shown: 4 of 4 people" in admin.browser.get("/admin/people").text
    assert server.ssh(suspended, "git-upload-pack 'app.git'").status == 14
    log = admin.browser.get("/admin/log?refused=1").text
    assert "user-suspended" in log
    assert "allowed" not in log.replace("not allowed", "")


def test_a_sheet_can_be_read_years_later(hall: Hall) -> None:
    """Whose codes, of which server, made when: an ISO date in UTC, on the sheet and in the file's name."""
    guest = hall.signed_in()
    guest.browser.get("/account")
    shown = guest.browser.send("/account/recovery-codes", {"code": hall.server.fresh_code(guest.person)})
    assert re.search(
        rf"Recovery codes for {guest.person.name} on \S+, made on \d{{4}}-\d\d-\d\d \d\d:\d\d UTC\.",
        shown.text,
    )
    assert re.search(
        rf'data-name="recovery-codes-{guest.person.name}-\S+-\d{{4}}-\d\d-\d\d\.txt"', shown.body
    )


def test_whose_page_it_is(own_hall: Hall) -> None:
    """The organisation's name, host and picture stand in the bar and in titles; another language is a
    file beside the configuration.
    """
    server, page = own_hall.server, own_hall.page
    logo = server.folder / "logo.svg"
    logo.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    texts = server.config.parent / "texts"
    texts.mkdir()
    (texts / "de.toml").write_text('[sign_in]\ntitle = "Anmelden"\n')
    server.configure(
        second_factor={"issuer": "Example Works"},
        host={"name": "git.example.com"},
        web={"logo": str(logo), "language": "de"},
    )
    page.stop()
    page.start()
    shown = Browser(page).get("/sign-in")
    assert '<html lang="de">' in shown.body
    assert "<title>Anmelden · Example Works (git.example.com)</title>" in shown.body
    assert "Anmelden" in shown.title
    assert "No password needed" in shown.text, "what is not translated is English"
    picture = Browser(page).get("/logo")
    assert (picture.status, picture.headers["content-type"].partition(";")[0]) == (200, "image/svg+xml")
    logo.write_bytes(b"x" * 300_000)
    assert Browser(page).get("/logo").status == 403
    (texts / "de.toml").write_text('[sign_in]\nas = "{password} {user}"\n')
    page.stop()
    refused = server.admin("serve", status=2).err
    assert "sign_in.as fills in other words" in refused


@pytest.mark.parametrize("value", ["xx_YY", "../en", "", "e"])
def test_a_language_is_a_tag(value: str) -> None:
    """Not a path."""
    with pytest.raises(ConfigurationError):
        parse(f"[git]\nenforcement = 'off'\n[web]\nlanguage = '{value}'\n".encode())


@pytest.mark.parametrize(
    ("web_url", "host", "good"),
    [
        ("https://git.example.com:443/2fa", "git.example.com", True), ("https://git.example.com/2fa", "git.example.com:443", True),
        ("https://git.example.com./2fa", "git.example.com", True), ("https://git.example.com/2fa", "GIT.example.com.", True),
        ("https://git.example.com/2fa", "git.example.com.:443", True), ("https://git.example.com:8443/2fa", "git.example.com:8443", True),
        ("https://git.example.com:8443/2fa", "git.example.com", False), ("https://git.example.com/2fa", "git.example.com:80", False),
        ("https://git.example.com/2fa", "git.example.com.evil", False), ("https://git.example.com/2fa", "git.example.com..", False),
        ("http://localhost:80/2fa", "localhost", True),
    ],
)  # fmt: skip
def test_default_ports_and_final_dots(hall: Hall, web_url: str, host: str, *, good: bool) -> None:
    """What browsers take for one address is one; whatever else leads here is 421, and the log
    says which name was asked for.
    """
    hall.server.configure(host={"web_url": web_url})
    try:
        app = create_app(str(hall.server.config))
        answer = app.test_client().get("/2fa/sign-in", headers={"Host": host})
        assert answer.status_code == (200 if good else 421), answer.data
    finally:
        hall.server.configure(host={"web_url": hall.page.url})


@pytest.mark.parametrize("path", ["/a//b", "/a/../b", "/./a", "/%2e%2e", "/a%2fb"])
def test_an_odd_path_is_a_fault(path: str) -> None:
    """Named when the configuration is checked, not by a page that is never found."""
    with pytest.raises(ConfigurationError, match="without escapes"):
        parse(f"[git]\nenforcement = 'off'\n[host]\nweb_url = 'https://git.example.com{path}'\n".encode())


def test_a_misdirected_request_is_logged_once_a_minute(own_hall: Hall) -> None:
    """One line however often it is asked."""
    for _ in range(5):
        assert Browser(own_hall.page).get("/sign-in", {"Host": "evil.example"}).status == 421
    assert own_hall.page.log().count("421: asked for under the name 'evil.example'") == 1


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("203.0.113.9:51234", "203.0.113.9"), ("[2001:db8::9]:51234", "2001:db8::9"), ("[2001:db8::9]", "2001:db8::9"),
        ("198.51.100.1, 203.0.113.9:1", "203.0.113.9"), ("2001:db8::9", "2001:db8::9"), ("203.0.113.9:99999", ""),
        ("203.0.113.9:", ""), ("[2001:db8::9", ""), ("10.0.0.7", "10.0.0.7"), ("203.0.113.9, 10.0.0.8", "203.0.113.9"),
    ],
)  # fmt: skip
def test_forwarded_addresses_as_proxies_write_them(said: str, address: str) -> None:
    """With ports and brackets; and people who sit in the proxies' own network have the address
    that the nearest proxy added.
    """
    settings = parse(b"[git]\nenforcement = 'off'\n[web]\ntrusted_proxies = ['10.0.0.0/8']\n")
    peer = peer_of({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": said}, settings)
    assert peer.address == address
    assert bool(peer.unknown) == (not address)
    assert (said.rsplit(",", maxsplit=1)[-1].strip()[:5] in peer.unknown) or address


def test_an_unknown_address_is_said_before_a_code_is_asked_for(own_hall: Hall) -> None:
    """A proxy that says no address: the page and the log tell why; doctor calls a page without any
    proxy a gap, and notes wide ones.
    """
    guest = own_hall.signed_in()
    own_hall.server.configure(web={"trusted_proxies": ["127.0.0.1"]})
    shown = guest.browser.get("/verify", {"X-Forwarded-For": "unknown"})
    assert "doesn't know your browser's address" in shown.text
    assert "'unknown' in it is no address" in own_hall.page.log()

    def found(*proxies: str) -> set[tuple[str, str]]:
        settings = parse(
            f"[git]\nenforcement = 'off'\n[host]\nweb_url = 'https://git.example.com'\n[web]\ntrusted_proxies = {list(proxies)}\n".encode()
        )
        return {(one.level, one.name) for one in page_findings(settings)}

    assert ("gap", "web-proxies") in found()
    assert ("note", "web-proxies") in found("10.0.0.0/8")
    assert found("10.0.0.1", "unix:www-data") == {("ok", "web-login")}


def test_two_installations_on_one_host_name() -> None:
    """Each has a cookie of its own: signing in to one signs nobody out of the other."""
    names = {cookie_name(f"https://git.example.com{path}") for path in ("/2fa", "/other", ":8443/2fa", "")}
    assert len(names) == 4
    assert cookie_name("https://git.example.com/2fa/") == cookie_name("https://git.example.com/2fa")


ATTACKS = ("//evil.example", "//evil.example/account", "/\\evil.example/account", "//evil.example/admin?x=1", "https://evil.example/account", "/\\evil.example", "/nothing", "/sign-in/x", "account", "/account\n", "",
           "/static/page.css", "/admin/person/reset", "/" + "x" * 600, "/healthz")  # fmt: skip


@pytest.mark.parametrize("address", ATTACKS)
def test_one_comes_back_to_our_own_pages_alone(hall: Hall, address: str) -> None:
    """ATTACK: a link that signs in or verifies, and leads elsewhere. EXPECTED: only
    addresses of pages of ours count.
    """
    app = create_app(str(hall.server.config))
    with app.test_request_context("/"):
        assert own_page(address) == ""
        assert own_page("/admin/people?q=a&which=enrolled") == "/admin/people?q=a&which=enrolled"


def test_small_things(hall: Hall) -> None:
    """A slash too many, the static files' own names, a way on from 404, and a browser that
    does not say Sec-Fetch-Site.
    """
    guest = hall.signed_in()
    doubled = guest.browser.get("//account")
    assert (doubled.status, doubled.headers["location"]) == (308, "/account")
    page = guest.browser.get("/account")
    sheet = re.search(r'href="(/static/page\.css\?v=[0-9a-f]{10})"', page.body)
    assert sheet
    assert "immutable" in guest.browser.get(sheet[1]).headers["cache-control"]
    missing = guest.browser.get("/none")
    assert missing.status == 404
    assert "Start page" in missing.text
    assert 'rel="icon"' in missing.body
    assert "--from" not in page.body
    guest.browser.get("/account")
    assert guest.browser.post("/account/leave-all", headers={"Origin": "null"}).status in (200, 303), (
        "its token is good"
    )
    guest.browser.get("/account")
    assert guest.browser.post("/account/leave-all", headers={"Origin": "null"}, token="x").status == 400


def test_without_an_organisation(tmp_path: Path) -> None:
    """A server without a name of its own is called gitguard."""
    server = Direct(tmp_path / "server")
    server.install()
    server.configure(host={"name": ""})
    page = Page(server)
    page.start()
    try:
        assert "<title>Sign in · gitguard</title>" in Browser(page).get("/sign-in").body
    finally:
        page.stop()
