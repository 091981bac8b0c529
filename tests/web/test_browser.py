"""A real browser at one end, a real push over sshd at the other."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Browser, expect

import gitguard.web
from lab.chromium import PHONE, barriers, chromium, is_too_wide, press, window
from tests.web.street import MOST_SECONDS, Push, Street

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with chromium() as running:
        yield running


def test_a_push_that_waits_goes_on_by_itself(street: Street, browser: Browser) -> None:
    """Refused, one link, one code: the page says that it has just continued,
    and the terminal's push is in.
    """
    person = street.person()
    with window(browser) as context:
        tab = street.sign_in(context, person)
        push = Push(street, person)
        tab.goto(push.link())
        expect(tab.get_by_role("heading", level=1)).to_have_text("Verify")
        expect(tab.locator("main")).to_contain_text("push to team/app")
        expect(tab.locator("main")).to_contain_text("continues by itself")
        code = tab.get_by_label("Code from your app")
        expect(code).to_be_focused()
        expect(code).to_have_attribute("autocomplete", "one-time-code")
        code.fill(street.server.fresh_code(person))
        press(tab, "Verify")
        expect(tab.get_by_role("status")).to_contain_text("is continuing in your terminal")
        expect(tab.locator(".padlock")).to_contain_text("Verified")
        assert push.status() == 0, push.said
        assert barriers(tab) == []


def test_a_push_from_elsewhere_is_asked_for_its_number(street: Street, browser: Browser) -> None:
    """The thief's address is not the browser's: only who sees the thief's terminal knows the number."""
    person = street.person()
    with window(browser) as context:
        tab = street.sign_in(context, person)
        push = Push(street, person, "-o", "BindAddress=127.0.0.2")
        tab.goto(push.link())
        expect(tab.locator("main")).to_contain_text("127.0.0.2")
        expect(tab.locator("main")).to_contain_text("another network")
        assert push.number() not in tab.content()
        tab.get_by_label("Number in your terminal").fill("0000")
        code = street.server.fresh_code(person)
        tab.get_by_label("Code from your app").fill(code)
        press(tab, "Verify")
        expect(tab.get_by_role("alert")).to_contain_text("nothing was allowed")
        expect(tab.get_by_label("Number in your terminal")).to_have_attribute("aria-invalid", "true")
        assert barriers(tab) == []
        assert push.process.poll() is None
        tab.get_by_label("Number in your terminal").fill(push.number())
        tab.get_by_label("Code from your app").fill(code)
        press(tab, "Verify")
        expect(tab.get_by_role("status")).to_contain_text("is continuing in your terminal")
        assert push.status() == 0, push.said


def test_not_me_kills_the_push(street: Street, browser: Browser) -> None:
    """The push that waits ends at once, refused; the page says what to do."""
    person = street.person()
    with window(browser, PHONE) as context:
        tab = street.sign_in(context, person)
        push = Push(street, person, "-o", "BindAddress=127.0.0.2")
        tab.goto(push.link())
        press(tab, "This isn't me")
        expect(tab.get_by_role("status")).to_contain_text("Every session of this key has ended")
        began = time.monotonic()
        assert push.status() != 0
        assert time.monotonic() - began < MOST_SECONDS / 2
        assert barriers(tab) == []


@pytest.mark.parametrize("javascript", [True, False])
def test_who_has_never_seen_it_sets_up_on_a_phone(
    street: Street, browser: Browser, *, javascript: bool
) -> None:
    """From the refusal to the push, following what is said; without JavaScript as well."""
    person = street.person(enrolled=False)
    with window(browser, PHONE, javascript=javascript) as context:
        push = Push(street, person, wait=False)
        assert push.status() != 0
        tab = context.new_page()
        tab.goto(push.link())
        expect(tab.locator("main")).to_contain_text("2fa web")
        street.sign_in(context, person).close()
        tab.goto(push.link())
        expect(tab.get_by_role("heading", level=1)).to_have_text("Set up your second factor")
        tab.get_by_label("Invite from your server admin").fill(person.invite)
        press(tab, "Continue")
        expect(tab.get_by_role("heading", level=1)).to_have_text("Recovery codes")
        person.recovery_codes = tab.locator("#codes li").all_inner_texts()
        assert len(person.recovery_codes) == 6
        press(tab, "I've saved them")
        link = tab.get_by_role("link", name="QR code")
        target = link.get_attribute("href") or ""
        assert target.startswith("otpauth://totp/")
        expect(link.locator("svg")).to_be_visible()
        secret = re.search(r"secret=([A-Z2-7]+)", target)
        assert secret is not None
        tab.get_by_label("Code your app shows now").fill(pyotp.TOTP(secret[1]).now())
        press(tab, "Confirm")
        expect(tab.get_by_role("status")).to_contain_text("run your Git command again")
        again = Push(street, person)
        assert again.status() == 0, again.said


def test_with_the_keyboard_alone(street: Street, browser: Browser) -> None:
    """Skip link, padlock, code and button, in the order of reading; the focus is always seen."""
    person = street.person()
    with window(browser) as context:
        tab = street.sign_in(context, person)
        push = Push(street, person)
        tab.goto(push.link())
        tab.keyboard.type(street.server.fresh_code(person))
        tab.keyboard.press("Enter")
        expect(tab.get_by_role("status")).to_contain_text("is continuing in your terminal")
        assert push.status() == 0
        tab.keyboard.press("Tab")
        expect(tab.get_by_role("link", name="Skip to content")).to_be_focused()
        tab.keyboard.press("Enter")
        tab.keyboard.press("Tab")
        focused = tab.evaluate("document.activeElement.closest('main') !== null")
        assert focused, "the skip link leads into the page"
        for _ in range(12):
            tab.keyboard.press("Tab")
            seen = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert seen != "none" or tab.evaluate("document.activeElement === document.body")


def test_back_after_signing_out_shows_nothing(street: Street, browser: Browser) -> None:
    """The browser asks the server again, and is told to sign in."""
    person = street.person()
    with window(browser) as context:
        tab = street.sign_in(context, person)
        tab.goto(f"{street.page.url}/account")
        press(tab, "Sign out")
        expect(tab.get_by_role("heading", level=1)).to_have_text("Sign in")
        tab.go_back()
        expect(tab.get_by_role("heading", level=1)).to_have_text("Sign in")
        assert person.fingerprint not in tab.content()
        assert context.cookies() == [] or not any(
            c["value"] for c in context.cookies() if "browser" in c["name"]
        )


def test_barriers_are_found(browser: Browser) -> None:
    """What looks for barriers finds some: a field without a label, words that are
    hard to read, a page too wide.
    """
    with window(browser) as context:
        tab = context.new_page()
        tab.set_content(
            "<title>x</title><input><p style='color:#ccc'>pale</p><div style='width:3000px'>wide</div>"
        )
        found = " ".join(barriers(tab))
        assert "label" in found
        assert "color-contrast" in found
        assert is_too_wide(tab)


PAGES = ("/account", "/verify", "/set-up", "/account/remove", "/repositories", "/repository?name=team/app", "/admin", "/admin/people",
         "/admin/person?name={name}", "/admin/rules?user={name}&repository=team/app&operation=push", "/admin/sessions",
         "/admin/audit", "/admin/log", "/admin/doctor", "/sign-in", "/nothing", "/verify/none")  # fmt: skip


def test_no_barriers(street: Street, browser: Browser) -> None:
    """Axe finds nothing on any page, light at a phone's size and dark at a desktop's; nothing scrolls
    sideways, not even at 200 %.
    """
    style = (Path(gitguard.web.__file__).parent / "static" / "page.css").read_text()
    assert not re.search(r"@media[^{]*(hover|pointer)", style), (
        "then a desktop needs a window of its own here"
    )
    admin = street.person()
    street.server.configure(git={"admins": [admin.name]})
    found: dict[str, list[str]] = {}

    def look(name: str) -> None:
        found[f"{name}, phone"] = barriers(tab) + ["too wide"] * is_too_wide(tab)
        tab.emulate_media(color_scheme="dark")
        tab.set_viewport_size({"width": 1100, "height": 800})
        found[f"{name}, desktop"] = barriers(tab) + ["too wide"] * is_too_wide(tab)
        tab.set_viewport_size({"width": 550, "height": 400})  # 1100 at 200 %
        found[f"{name}, desktop at 200 %"] = ["too wide"] * is_too_wide(tab)
        tab.emulate_media(color_scheme="light")
        tab.set_viewport_size({"width": 375, "height": 740})

    with window(browser, PHONE) as context:
        tab = street.sign_in(context, admin)
        tab.goto(f"{street.page.url}/verify")
        tab.get_by_label("Code from your app").fill("000000")
        press(tab, "Verify")
        expect(tab.get_by_role("alert")).to_be_visible()
        look("/verify with a wrong code")
        tab.get_by_label("Code from your app").fill(street.server.fresh_code(admin))
        press(tab, "Verify")
        expect(tab.get_by_role("heading", level=1)).to_have_text("Your account")
        for path in PAGES:
            tab.goto(street.page.url + path.format(name=admin.name))
            look(path)
        tab.goto(f"{street.page.url}/account")
        press(tab, "New recovery codes")
        look("a code for this")
    street.server.configure(git={"admins": []})
    assert {path: broken for path, broken in found.items() if broken} == {}


def test_no_barriers_while_setting_up(street: Street, browser: Browser) -> None:
    """The pages that are shown once: codes, secret, a wrong first code; and the sheet on
    paper holds the codes alone.
    """
    person = street.person(enrolled=False)
    with window(browser, PHONE) as context:
        tab = street.sign_in(context, person)
        found = [barriers(tab)]
        tab.get_by_label("Invite").fill(person.invite)
        press(tab, "Continue")
        found.append(barriers(tab))
        tab.emulate_media(media="print")
        expect(tab.get_by_text("Recovery codes for")).to_be_visible()
        expect(tab.get_by_role("button", name="I've saved them")).to_be_hidden()
        tab.emulate_media(media="screen", forced_colors="active", reduced_motion="reduce")
        press(tab, "I've saved them")
        found.append(barriers(tab))
        tab.get_by_label("Code your app shows now").fill("000000")
        press(tab, "Confirm")
        found.append(barriers(tab))
    assert [broken for broken in found if broken] == []


def test_nothing_is_asked_of_anybody_else(street: Street, browser: Browser) -> None:
    """Every request of every page goes to the page's own address; nothing is refused by its own policy."""
    person = street.person()
    with window(browser) as context:
        asked: list[str] = []
        complaints: list[str] = []
        tab = street.sign_in(context, person)
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        for path in ("/account", "/verify", "/set-up", "/repositories", "/account/remove"):
            tab.goto(street.page.url + path)
        assert all(url.startswith(street.page.url) for url in asked), asked
        assert complaints == []
