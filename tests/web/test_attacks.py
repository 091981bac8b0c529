"""Row by row what a page is attacked with: other sites, stolen cookies and links, old forms,
wrong hosts, proxies that lie.
"""

from __future__ import annotations

import http.client
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gitguard.config.parse import parse
from gitguard.web.limit import MOST_TRIES, Limiter
from gitguard.web.peer import peer_of
from gitguard.web.serving import THREADS
from lab.meddling import written_by_another
from lab.page import NAME, Browser, Page, sign_in
from lab.server import Direct
from tests.web.conftest import Hall

pytestmark = pytest.mark.slow  # many begin and end a server

SECRETIVE = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
}


def test_headers_of_every_kind_of_answer(hall: Hall) -> None:
    """Pages, redirections, refusals, what is not there: each is kept by nobody, framed by
    nobody, runs nothing foreign.
    """
    guest = hall.verified()
    for path in ("/account", "/", "/nothing", "/admin", "/sign-in", "/verify", "/healthz"):
        answer = guest.browser.get(path)
        for name, value in SECRETIVE.items():
            assert answer.headers[name] == value, (path, name)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert "python" not in answer.headers.get("server", "").lower()
        inside = re.findall(r"<(?:script|style)\b[^>]*>([^<]+)<", answer.body)
        assert inside == [], "nothing inline"
        assert not re.findall(r'\s(?:style|on\w+)="', answer.body)
        assert not re.findall(r'(?:src|href)="(?:https?:)?//(?!getaegis|2fas|keepassxc)', answer.body)


def test_the_cookie(hall: Hall) -> None:
    """`__Host-`, Secure, HttpOnly, SameSite, no Domain; and only when there is something to keep."""
    browser = Browser(hall.page)
    assert "set-cookie" not in browser.get("/sign-in").headers
    person = hall.server.new_user(hall.name())
    shown = browser.get("/sign-in/" + hall.link(person).rpartition("/")[2])
    done = browser.post("/sign-in/link", {"link": shown.value("link")})
    cookie = done.headers["set-cookie"]
    assert re.match(r"__Host-gitguard-[0-9a-f]{8}=", cookie)
    for word in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert word in cookie
    assert "Domain" not in cookie
    assert person.name not in cookie


def test_session_fixation(hall: Hall) -> None:
    """A cookie that a thief has set before is worth nothing after signing in, and its form token neither."""
    person = hall.server.new_user(hall.name())
    browser = Browser(hall.page)
    shown = browser.get("/sign-in/" + hall.link(person).rpartition("/")[2])
    planted, token = dict(browser.cookies), shown.token
    browser.post("/sign-in/link", {"link": shown.value("link")})
    assert browser.cookies != planted
    thief = Browser(hall.page)
    thief.cookies = planted
    assert thief.get("/account").status == 401
    assert browser.post("/sign-out", token=token).status == 400


def test_a_look_at_a_link_uses_nothing_up(hall: Hall) -> None:
    """Mail scanners, previews, two tabs: GET and HEAD as often as they like; the button works once."""
    person = hall.server.new_user(hall.name())
    path = "/sign-in/" + hall.link(person).rpartition("/")[2]
    for _ in range(3):
        assert Browser(hall.page).get(path).status == 200
    first, second = Browser(hall.page), Browser(hall.page)
    tabs = [(browser, browser.get(path)) for browser in (first, second)]
    statuses = [
        browser.post("/sign-in/link", {"link": shown.value("link")}, token=shown.token).status
        for browser, shown in tabs
    ]
    assert statuses == [303, 403]
    assert Browser(hall.page).get(path).status == 403


def test_after_signing_out_nothing_is_left(hall: Hall) -> None:
    """The copied cookie of a browser that was signed out opens nothing; its pages were kept nowhere."""
    guest = hall.verified()
    copied = dict(guest.browser.cookies)
    page = guest.browser.get("/account")
    assert page.headers["cache-control"] == "no-store"
    assert guest.browser.post("/sign-out").status == 303
    thief = Browser(hall.page)
    thief.cookies = copied
    assert thief.get("/account").status == 401
    assert thief.post("/account/leave", token=page.token).status == 401


def test_a_forged_cookie(hall: Hall) -> None:
    """Cut, changed, empty, of another signature: signed out, and never an error."""
    guest = hall.signed_in()
    (name, value), *_ = guest.browser.cookies.items()
    for forged in (value[:-1], value[:10], "", value + "x", "." + value, "e30.x.y", "\x7f" * 20, "a" * 3000):
        thief = Browser(hall.page)
        thief.cookies = {name: forged}
        assert thief.get("/account").status in (400, 401), forged


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "https://localhost.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": f"http://{NAME}"},
    ],
)
def test_a_form_of_another_site(hall: Hall, headers: dict[str, str]) -> None:
    """Even with the right token: a form comes from our own pages, or does nothing."""
    guest = hall.signed_in()
    guest.browser.get("/account")
    assert guest.browser.post("/sign-out", headers=headers).status == 403
    assert guest.browser.get("/account").status == 200


def test_a_form_of_our_own_under_no_referrer(hall: Hall) -> None:
    """A browser that says `null` for its Origin says in Sec-Fetch-Site that the form is ours."""
    guest = hall.signed_in()
    guest.browser.get("/account")
    own = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
    assert guest.browser.post("/sign-out", headers=own).status == 303


@pytest.mark.parametrize("host", ["evil.example", "localhost", "localhost:1", "127.0.0.1:{port}", ""])
def test_another_host(hall: Hall, host: str) -> None:
    """Under any other name than `web_url`'s there is no page (DNS rebinding, poisoned links)."""
    answer = Browser(hall.page).get("/sign-in", {"Host": host.format(port=hall.page.port) or "x"})
    assert answer.status in (400, 421)
    assert "ssh" not in answer.text


def test_no_open_redirection(hall: Hall) -> None:
    """Where it continues is one of our own words; an address is none."""
    guest = hall.signed_in()
    code = hall.server.fresh_code(guest.person)
    guest.browser.get("/verify?then=https://evil.example")
    done = guest.browser.post("/verify", {"request": "", "then": "//evil.example", "code": code})
    assert done.headers["location"].endswith("/account")
    for path in (
        "//evil.example/",
        "/%2f%2fevil.example",
        "/\\evil.example",
        "/account//",
        "/sign-in/..%2f..",
    ):
        answer = guest.browser.get(path)
        place = answer.headers.get("location", "")
        assert place == "" or (place.startswith("/") and not place.startswith("//")), path


def test_a_form_twice(hall: Hall) -> None:
    """A code replayed, a request answered twice: the very same form is answered as the first
    time, another one is refused.
    """
    guest = hall.signed_in()
    path = hall.refused(guest.person)
    guest.browser.get(path)
    form = {"request": path.rpartition("/")[2], "code": hall.server.fresh_code(guest.person)}
    token = guest.browser.last.token
    assert "run your Git command again" in guest.browser.send("/verify", form, token=token).text
    again = guest.browser.send("/verify", form, token=token)
    assert again.status == 200
    assert "run your Git command again" in again.text
    with hall.server.acting() as site, site.store.reading() as tx:
        assert tx.failures(guest.person.name, 0) == [], "nothing was tried a second time"
    another = guest.browser.get("/verify").token
    again = guest.browser.post("/verify", {**form, "number": "1"}, token=another)
    assert again.status == 400, again.text
    assert "gone" in again.text
    again = guest.browser.post("/verify", {"request": "", "code": form["code"]}, token=token)
    assert again.status == 400


def test_one_budget_with_ssh(hall: Hall) -> None:
    """Five wrong codes in browsers, and SSH with the same key is throttled; a new
    sign-in brings no new budget.
    """
    person = hall.signed_in().person
    for _ in range(5):
        guest = hall.signed_in(person)
        guest.browser.get("/verify")
        assert guest.browser.post("/verify", {"request": "", "code": "000000"}).status == 400
    guest.browser.get("/verify")
    assert guest.browser.post("/verify", {"request": "", "code": "000000"}).status == 429
    assert hall.server.ssh(person, "2fa verify 000000").status == 13


def test_no_secret_in_a_log_or_an_address(hall: Hall) -> None:
    """Sign-in tokens, codes, secrets, invites: nowhere in the page's log, nor in any
    address but the link itself.
    """
    person = hall.server.add_user(hall.name())
    browser = Browser(hall.page)
    link = hall.link(person)
    sign_in(browser, link)
    browser.get("/set-up")
    codes = browser.send("/set-up/begin", {"given": person.invite, "request": ""})
    app = browser.send("/set-up/kept")
    secret = re.search(r"secret=([A-Z2-7]+)", app.body)
    assert secret is not None
    said = hall.page.log() + "".join(
        path.read_text(errors="replace")
        for path in (hall.server.access_log, hall.server.home / "log" / "audit.head")
        if path.exists()
    )
    said += hall.server.admin("audit", "show", "--json").out
    for word in (
        link.rpartition("/")[2],
        secret[1],
        person.invite,
        *re.findall(r"<code>([A-Z2-9-]{19})</code>", codes.body),
    ):
        assert word not in said
    assert "secret" not in app.headers.get("location", "")


def test_what_breaks_shows_nothing(own_hall: Hall) -> None:
    """Store gone, keys gone, configuration broken: 503 with a plain page, no path in it;
    and it comes back by itself.
    """
    guest = own_hall.signed_in()
    state = own_hall.server.home / "state"
    config = own_hall.server.config.read_text()
    for name in ("gitguard.db", "secret.keys"):
        (state / name).rename(state / "away")
        answer = guest.browser.get("/account")
        assert answer.status == 503, name
        assert str(own_hall.server.folder) not in answer.body
        assert guest.browser.get("/healthz").status == 503
        (state / "away").rename(state / name)
        assert guest.browser.get("/account").status == 200
        assert guest.browser.get("/healthz").status == 200
    own_hall.server.config.write_text(config + "\n[nonsense]\n")
    assert guest.browser.get("/account").status == 503
    own_hall.server.write(config)
    assert guest.browser.get("/account").status == 200


def test_a_store_that_is_locked(own_hall: Hall) -> None:
    """Someone holds the store: 503 within seconds, and no thread waits for ever."""
    guest = own_hall.signed_in()
    guest.browser.get("/verify")
    with written_by_another(own_hall.server.store):
        answer = guest.browser.post("/verify", {"request": "", "code": "123456"})
        assert answer.status == 503


def test_a_flood_of_sign_ins() -> None:
    """So many tries a minute from one network; another network is not held up, and memory has an end."""
    limiter = Limiter()
    assert [limiter.retry_at("a", 100) for _ in range(MOST_TRIES)] == [None] * MOST_TRIES
    assert limiter.retry_at("a", 159) == 160
    assert limiter.retry_at("b", 159) is None
    assert limiter.retry_at("a", 160) is None
    assert limiter.retry_at("a", 50) is None, "a clock that was set back locks nobody out"
    for number in range(20_000):
        limiter.retry_at(str(number), 200)
    assert len(limiter._tries) <= 10_000


def test_a_flood_of_sign_ins_at_the_page(own_hall: Hall) -> None:
    """Made-up links: 403, then 429, whatever they are."""
    browser = Browser(own_hall.page)
    statuses = {browser.get(f"/sign-in/made-up-{number}").status for number in range(MOST_TRIES + 3)}
    assert statuses == {403, 429}


def test_it_stops_gracefully(own_hall: Hall) -> None:
    """SIGTERM while requests run: they are answered, and it exits 0."""
    guest = own_hall.signed_in()
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(Browser(own_hall.page).get("/sign-in").status))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert guest.browser.get("/account").status == 200
    assert own_hall.page.stop() == 0
    assert answers == [200] * 8


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--bind", "0.0.0.0:1"), "codes would travel unencrypted"),
        (("--bind", "192.0.2.1:8000"), "codes would travel unencrypted"),
        (("--bind", "[::]:8000"), "codes would travel unencrypted"),
        (("--bind", "example.com:8000"), "codes would travel unencrypted"),
        (("--bind", "127.0.0.1"), "HOST:PORT"),
        (("--bind", "127.0.0.1:0"), "HOST:PORT"),
        (("--socket", "web.socket"), "absolute"),
        (("--socket", "/x", "--bind", "127.0.0.1:1"), "not both"),
        (("--tls-cert", "/etc/passwd"), "belong together"),
        (("--tls-cert", "/none", "--tls-key", "/none"), "cannot be read"),
    ],
)
def test_where_it_does_not_listen(hall: Hall, words: tuple[str, ...], said: str) -> None:
    """Codes never go over a network in clear, unless the admin says that a proxy is there."""
    done = hall.server.admin("serve", *words, status=2)
    assert said in done.err


def test_without_an_address_it_does_not_start(tmp_path: Path) -> None:
    """No `web_url`: no page, and the reason."""
    server = Direct(tmp_path / "server")
    server.install()
    assert "web_url" in server.admin("serve", status=2).err
    person = server.add_user("alice")
    assert server.ssh(person, "2fa web").status == 14


def test_a_proxy_that_is_believed_and_one_that_is_not(tmp_path: Path) -> None:
    """Single sign-on: the header counts from a trusted proxy alone, under its own name
    alone, and only while it is said.
    """
    server = Direct(tmp_path / "server")
    server.install()
    alice = server.new_user("alice")
    page = Page(server)
    server.configure(web={"trusted_header": "X-Forwarded-User", "trusted_proxies": []})
    page.start()
    try:
        login = {"X-Forwarded-User": "alice"}
        browser = Browser(page)
        assert "alice" not in browser.get("/sign-in", login).text, "a stranger says so"
        assert browser.post("/sign-in/login", headers=login).status in (400, 403)
        server.configure(web={"trusted_proxies": ["127.0.0.1"]})
        assert "alice" not in browser.get("/sign-in", {"X_Forwarded_User": "alice"}).text
        assert "alice" in browser.get("/sign-in", login).text
        assert browser.post("/sign-in/login", headers={"X-Forwarded-User": "nobody"}).status == 403
        browser.get("/sign-in", login)
        assert browser.post("/sign-in/login", headers=login).status == 303
        assert browser.get("/account", login).status == 200
        assert browser.get("/account").status == 401, "the proxy says it no more"
        assert browser.get("/account", {"X-Forwarded-User": "bob"}).status == 401, "it says another"
        mapped = {**login, "X-Forwarded-For": "198.51.100.1, 203.0.113.9"}
        said = server.ssh(alice, "2fa leave", host="203.0.113.9")
        assert said.status == 0
        assert "203.0.113.9" not in browser.get("/account", login).text
        browser.get("/verify", mapped)
        code = server.fresh_code(alice)
        browser.post("/verify", {"request": "", "code": code}, headers=mapped)
        trail = server.admin("audit", "show", "--json").out
        assert "203.0.113.9" in trail
        assert "198.51.100.1" not in trail, "what lies before the proxy's own word, anybody can have written"
    finally:
        page.stop()


def test_on_a_socket_the_kernel_says_who_connects(tmp_path: Path) -> None:
    """`unix:ACCOUNT`: the peer's account, not what it writes; and the page below a path of the web server."""
    server = Direct(tmp_path / "server")
    server.install()
    server.new_user("alice")
    page = Page(server, prefix="/2fa")
    me = pwd.getpwuid(os.geteuid()).pw_name
    path = str(tmp_path / "web.socket")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gitguard",
            "--config",
            str(server.config),
            "admin",
            "serve",
            "--socket",
            path,
        ],
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    assert b"serving" in process.stderr.readline()

    def ask(headers: dict[str, str], target: str = "/2fa/sign-in") -> str:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(path)
        connection.request("GET", target, headers={"Host": f"localhost:{page.port}", **headers})
        answer = connection.getresponse()
        said = f"{answer.status} {answer.read().decode()}"
        connection.close()
        return said

    try:
        login = {"X-Forwarded-User": "alice"}
        server.configure(
            web={"trusted_header": "X-Forwarded-User", "trusted_proxies": ["unix:nobody", "0.0.0.0/0"]}
        )
        assert "alice" not in ask(login)
        server.configure(web={"trusted_proxies": [f"unix:{me}"]})
        assert "Sign in as alice" in ask(login)
        assert ask({}, "/sign-in").startswith("404")
        assert ask({}, "/2fax/sign-in").startswith("404")
        assert ask({"Script-Name": "/evil", "Path-Info": "/x"}).startswith("200")
        assert 'href="/2fa/static/page.css?v=' in ask({})
    finally:
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait(30) == 0
        process.stderr.close()


def test_a_name_that_a_client_of_the_socket_chose(tmp_path: Path) -> None:
    """ATTACK: anyone who may connect to the Unix socket binds its own end to a path named `127.0.0.1`.
    EXPECTED: no address, no trust.
    """
    settings = parse(
        b'[git]\nenforcement = "opt-in"\n[web]\ntrusted_header = "X-User"\ntrusted_proxies = ["unix:www-data", "127.0.0.1"]\n'
    )
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        environ = {
            "gunicorn.socket": ours,
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_X_USER": "alice",
            "HTTP_X_FORWARDED_FOR": "192.0.2.1",
        }
        found = peer_of(environ, settings)
    assert (found.address, found.login) == ("", "")


def test_clients_that_say_nothing_stop_nobody(own_hall: Hall) -> None:
    """ATTACK: as many connections as there are threads, each half way through its head. EXPECTED:
    it lets them go, and answers.
    """
    page = own_hall.page
    page.stop()
    page.start("--bind", f"127.0.0.1:{page.port}")
    held = []
    for _ in range(THREADS):
        one = socket.create_connection(("127.0.0.1", page.port))
        one.sendall(b"POST /sign-in/link HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n")
        held.append(one)
    plain = Browser(page)
    page.scheme = "http"
    assert plain.get("/healthz").status == 200
    for one in held:
        one.close()


def test_log_lines_of_any_kind(own_hall: Hall) -> None:
    """What stands in the log breaks no page and no sweep."""
    guest = own_hall.signed_in()
    own_hall.server.configure(git={"admins": [guest.person.name]})
    guest.browser.get("/verify")
    guest.browser.post("/verify", {"request": "", "code": own_hall.server.fresh_code(guest.person)})
    for line in (
        b'{"at":99999999999999999,"verdict":"refused","user":"x"}', b"[]", b"{}", b'{"at":-5,"verdict":"allowed"}',
        b"\xff\xfe", b'{"at":true}', b"",
    ):  # fmt: skip
        with open(own_hall.server.access_log, "ab") as log:
            log.write(line + b"\n")
        for path in ("/admin", "/admin/log", "/admin/log?q=x"):
            assert guest.browser.get(path).status == 200, line
    own_hall.server.admin("session", "sweep")


def test_what_is_not_allowed_is_not_offered_and_not_done(own_hall: Hall) -> None:
    """No always, no removing, no keys of one's own, no recovery codes: nowhere on the
    account, and refused if posted.
    """
    server = own_hall.server
    guest = own_hall.verified()
    server.add_key(guest.person, "second")
    offered = {
        "/account/always": "Always require 2FA",
        "/account/remove": "Remove the second factor",
        "/account/remove-key": f"Remove {guest.person.name}",
        "/account/recovery-codes": "New recovery codes",
    }
    shown = guest.browser.get("/account")
    assert all(words in shown.text for words in offered.values())
    server.configure(
        account={"allow_always": False, "allow_remove": False, "allow_keys": False},
        second_factor={"recovery_codes": 0},
    )
    shown = guest.browser.get("/account")
    form = {"switch": "on", "key": guest.person.fingerprint, "code": "123456"}
    for path, words in offered.items():
        assert words not in shown.text
        assert guest.browser.post(path, form).status == 403, path
    assert guest.browser.get("/account/remove").status == 403


@pytest.mark.parametrize("enforcement", ["enforced", "rules", "off"])
def test_a_toggle_that_is_not_offered_says_why(own_hall: Hall, enforcement: str) -> None:
    """Under `enforced` and `rules` the reason stands there instead of the form, and a form
    that is posted does nothing.
    """
    server = own_hall.server
    guest = own_hall.verified()
    server.admin("repo", "admin", "app", "add", guest.person.name)
    server.configure(git={"enforcement": enforcement})
    shown = guest.browser.get("/repository?name=app")
    assert ('name="require"' in shown.body) == (enforcement == "off")
    if enforcement != "off":
        assert enforcement in shown.text
        done = guest.browser.post("/repository/require", {"name": "app", "require": "all"})
        assert done.status == 403
        assert "require all" not in server.admin("repo", "show", "app").out


def test_a_change_that_stands_is_said_although_not_all_could_follow(own_hall: Hall) -> None:
    """The key file cannot be written, or the state folder is odd: the reset
    stands, and its invite is shown.
    """
    server = own_hall.server
    victim = server.new_user("victim")
    guest = own_hall.signed_in()
    server.configure(git={"admins": [guest.person.name]})
    guest.browser.get("/verify")
    guest.browser.post("/verify", {"request": "", "code": server.fresh_code(guest.person)})
    guest.browser.get(f"/admin/person?name={victim.name}")
    (server.home / "state" / "config.compiled").unlink(missing_ok=True)
    hook = server.home / "hooks" / "pre-receive"
    kept = hook.read_bytes()
    hook.unlink()  # without it the configuration does not compile, so no connection can be judged
    done = guest.browser.post("/admin/person/reset", {"name": victim.name, "reason": "lost"})
    hook.write_bytes(kept)
    hook.chmod(0o755)
    done = guest.browser.follow(done)
    assert done.status == 200
    assert "INV-" in done.text


def test_socket_activation(tmp_path: Path) -> None:
    """What systemd hands over is served: descriptor 3, named by LISTEN_FDS and
    LISTEN_PID; --bind is not needed.
    """
    server = Direct(tmp_path / "server")
    server.install()
    page = Page(server)
    listener = socket.socket()
    listener.bind(("127.0.0.1", page.port))
    listener.listen()
    code = (
        "import os, sys\n"
        f"os.dup2({listener.fileno()}, 3)\n"
        "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n"
        f"os.execv(sys.executable, [sys.executable, '-m', 'gitguard', '--config', {str(server.config)!r}, 'admin', 'serve'])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        pass_fds=[listener.fileno()],
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    listener.close()
    try:
        assert process.stderr is not None
        assert b"serving" in process.stderr.readline()
        connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok\n"
        connection.close()
    finally:
        process.terminate()
        assert process.stderr is not None
        process.stderr.read()
        assert process.wait(30) == 0
        process.stderr.close()
    assert os.path.exists(server.config)
