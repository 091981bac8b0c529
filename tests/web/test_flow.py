"""One person, one flow: refused in a terminal, proved on a phone or a laptop, and the push goes through.
A real push at the other end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyotp
import pytest
from playwright.sync_api import Browser, expect

from lab.chromium import PHONE, barriers, chromium, press, window
from tests.web.street import Push, Street

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with chromium() as running:
        yield running


def link_of(street: Street, push: Push) -> str:
    """What `2fa web` prints on the laptop whose push waits; only the link is on
    stdout, the QR code is on stderr.
    """
    done = street.server.ssh(push.person, "2fa web", status=0)
    assert re.fullmatch(re.escape(street.page.url) + r"/sign-in/[\w-]{43}\n", done.out)
    assert "\u2580" in done.err
    assert "scan it with your phone" in done.err
    return done.out.strip()


def test_a_phone_that_was_not_signed_in(street: Street, browser: Browser) -> None:
    """Refused, scanned, signed in, six digits: the one push that waits has the focus and
    its own field, and continues.
    """
    person = street.person()
    with window(browser, PHONE) as context:
        push = Push(street, person)
        push.number()
        tab = context.new_page()
        tab.goto(link_of(street, push))
        press(tab, f"Sign in as {person.name}")
        expect(tab.get_by_role("heading", level=2, name="Waiting for you to verify")).to_be_visible()
        expect(tab.locator("main")).to_contain_text("push to team/app")
        expect(tab.get_by_label("Code from your app")).to_be_focused()
        expect(tab.locator("main")).not_to_contain_text("This website only")
        tab.keyboard.type(street.server.fresh_code(person))
        tab.keyboard.press("Enter")
        expect(tab.get_by_role("status")).to_contain_text(
            f"Push {push.number()} is continuing in your terminal"
        )
        assert push.status() == 0, push.said
        tab.reload()
        expect(tab.get_by_role("status")).to_contain_text("is continuing in your terminal")
        expect(tab.get_by_role("alert")).to_have_count(0)


def test_a_laptop_that_was_signed_out_comes_back_to_its_request(street: Street, browser: Browser) -> None:
    """The refusal's link, then signing in: one lands on what one came for, with its
    path; nothing else is a target.
    """
    person = street.person()
    with window(browser) as context:
        push = Push(street, person)
        tab = context.new_page()
        tab.goto(push.link())
        expect(tab.locator("main")).to_contain_text("you'll return to the page you came for")
        tab.goto(link_of(street, push))
        press(tab, f"Sign in as {person.name}")
        assert tab.url == push.link()
        expect(tab.get_by_label("Code from your app")).to_be_focused()
        tab.get_by_label("Code from your app").fill(street.server.fresh_code(person))
        press(tab, "Verify")
        expect(tab.get_by_role("status")).to_contain_text("is continuing in your terminal")
        assert push.status() == 0, push.said


def test_from_a_mobile_network_the_number_has_the_focus(street: Street, browser: Browser) -> None:
    """The phone is not in the laptop's network: the number first, then the code, on the one card."""
    person = street.person()
    with window(browser, PHONE) as context:
        push = Push(street, person, "-o", "BindAddress=127.0.0.2")
        number = push.number()
        tab = street.sign_in(context, person)
        expect(tab.get_by_label("Number in your terminal")).to_be_focused()
        tab.keyboard.type(number)
        tab.get_by_label("Code from your app").fill(street.server.fresh_code(person))
        press(tab, "Verify")
        expect(tab.get_by_role("status")).to_contain_text("is continuing in your terminal")
        assert push.status() == 0, push.said


def test_several_are_rows_with_a_button_each(street: Street, browser: Browser) -> None:
    """Two pushes wait: neither is chosen for its person; each row's button leads to its own field;
    this website is folded away.
    """
    person = street.person()
    street.server.new_repository("team/other", "push")
    with window(browser) as context:
        first = Push(street, person)
        first.number()
        second = Push(street, person, repository="team/other")
        second.number()
        tab = street.sign_in(context, person)
        expect(tab.get_by_role("heading", level=2, name="Waiting for you")).to_be_visible()
        expect(tab.get_by_label("Code from your app")).to_be_hidden()
        expect(tab.get_by_role("link", name=re.compile(r"^Verify\W+push to"))).to_have_count(2)
        assert barriers(tab) == []
        tab.get_by_role("link", name=re.compile(r"^Verify\W+push to team.other")).click()
        tab.get_by_label("Code from your app").fill(street.server.fresh_code(person))
        press(tab, "Verify")
        expect(tab.locator("main")).to_contain_text("push to team/other")
        assert second.status() == 0, second.said
        assert first.status() == 0, "the session is this key's from here, so both continue"


def test_a_newcomer_on_a_phone(street: Street, browser: Browser) -> None:
    """Not enrolled, a push waits: it is shown while setting up, and continues with the first code."""
    person = street.person(enrolled=False)
    with window(browser, PHONE) as context:
        push = Push(street, person)
        push.number()
        tab = street.sign_in(context, person)
        expect(tab.get_by_role("heading", level=1)).to_have_text("Set up your second factor")
        expect(tab.locator("main")).to_contain_text("push to team/app")
        tab.get_by_label("Invite from your server admin").fill(person.invite)
        press(tab, "Continue")
        press(tab, "I've saved them")
        secret = re.search(
            r"secret=([A-Z2-7]+)", tab.get_by_role("link", name="QR code").get_attribute("href") or ""
        )
        assert secret
        tab.get_by_label("Code your app shows now").fill(pyotp.TOTP(secret[1]).now())
        press(tab, "Confirm")
        expect(tab.get_by_role("status")).to_contain_text("continu")
        assert push.status() == 0, push.said


def test_a_clock_that_is_hours_ahead(street: Street, browser: Browser) -> None:
    """A browser nine hours ahead: seconds left are counted, not compared; the
    page is loaded once, and stays.
    """
    person = street.person()
    with window(browser) as context:
        context.add_init_script("const real = Date.now; Date.now = () => real() + 9 * 3600e3;")
        tab = street.sign_in(context, person)
        tab.get_by_label("Code from your app").fill(street.server.fresh_code(person))
        press(tab, "Verify")
        loads: list[str] = []
        tab.on(
            "request", lambda request: loads.append(request.url) if request.is_navigation_request() else None
        )
        tab.goto(f"{street.page.url}/account")
        left = tab.locator("[data-left]").first
        expect(left).to_contain_text("hours")
        assert loads == [f"{street.page.url}/account"]


def test_times_are_the_viewers(street: Street, browser: Browser) -> None:
    """In Kathmandu a moment is told in its zone, in the very form of the server."""
    person = street.person()
    with window(browser, timezone_id="Asia/Kathmandu") as context:
        tab = street.sign_in(context, person)
        tab.get_by_label("Code from your app").fill(street.server.fresh_code(person))
        press(tab, "Verify")
        tab.goto(f"{street.page.url}/account")
        times = tab.locator("time").all_inner_texts()
        assert len(times) > 3
        assert all(re.fullmatch(r"(\d{4}-\d\d-\d\d )?\d\d:\d\d UTC\+5:45", text) for text in times), times


def test_names_hold_their_visible_words(street: Street, browser: Browser) -> None:
    """WCAG 2.5.3: who says what they see reaches it, on every page of an account and of the server."""
    person = street.person()
    street.server.configure(git={"admins": [person.name]})
    script = """() => [...document.querySelectorAll('main button, main a, nav a')].filter(e => e.offsetParent !== null).map(e => {
      const seen = [...e.childNodes].filter(n => !(n.classList && n.classList.contains('unseen'))).map(n => n.textContent).join('').trim();
      return [seen, (e.getAttribute('aria-label') || e.textContent).trim()] }).filter(([seen, name]) => seen && !name.toLowerCase().includes(seen.toLowerCase()))"""
    try:
        with window(browser) as context:
            tab = street.sign_in(context, person)
            tab.get_by_label("Code from your app").fill(street.server.fresh_code(person))
            press(tab, "Verify")
            for path in ("/account", "/verify", "/repositories", "/repository?name=team/app", "/admin", "/admin/people",
                         f"/admin/person?name={person.name}", "/admin/sessions", "/admin/doctor", "/set-up"):  # fmt: skip
                tab.goto(street.page.url + path)
                assert tab.evaluate(script) == [], path
    finally:
        street.server.configure(git={"admins": []})


def test_enter_in_the_reason_does_nothing(street: Street, browser: Browser) -> None:
    """On a person's page Enter presses no act: each is chosen by its button."""
    admin, other = street.person(), street.person()
    street.server.configure(git={"admins": [admin.name]})
    try:
        with window(browser) as context:
            tab = street.sign_in(context, admin)
            tab.get_by_label("Code from your app").fill(street.server.fresh_code(admin))
            press(tab, "Verify")
            tab.goto(f"{street.page.url}/admin/person?name={other.name}")
            field = tab.get_by_label("Reason")
            field.fill("phone lost")
            field.press("Enter")
            expect(field).to_have_value("phone lost")
            assert "person.done" not in tab.content()
            assert tab.url.endswith(f"name={other.name}")
            press(tab, "Suspend")
            expect(tab.get_by_role("status")).to_contain_text("Suspended.")
    finally:
        street.server.configure(git={"admins": []})
