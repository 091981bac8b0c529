"""Steps and seconds from a refused push to one that continues, for each way there is: `make
flow`. docs/web.md has the table.

A step is something that a person does: a line typed, a code typed and sent, a scan, a press. Seconds are what
the machine took, from the refusal on, plus what people take, by a model that is named here: 0.2 s a letter,
1.2 s a press, 4 s a scan, 3 s to read a code from the app. sshd, git, the page and Chromium are real.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyotp

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lab.chromium import PHONE, chromium, press, window
from lab.page import Page
from lab.person import Person
from lab.server import Server
from tests.web.street import Push, Street

LETTER, PRESS, SCAN, READ = 0.2, 1.2, 4.0, 3.0


class Doing:
    """Counts what a person does, and how long that takes them."""

    def __init__(self) -> None:
        self.steps = 0
        self.seconds = 0.0
        self.began = 0.0

    def sees(self, push: Push) -> None:
        """The refusal stands in the terminal: from here on it is counted."""
        push.number()
        self.began = time.monotonic()

    def types(self, text: str) -> None:
        """A line, and Enter."""
        self.steps += 1
        self.seconds += LETTER * (len(text) + 1)

    def reads_and_types(self, code: str) -> str:
        """A code from the app, and Enter, or the button below it."""
        self.steps += 1
        self.seconds += READ + LETTER * len(code) + PRESS
        return code

    def scans(self) -> None:
        """A QR code, with the phone's camera."""
        self.steps += 1
        self.seconds += SCAN

    def presses(self) -> None:
        """A button, a link or Enter."""
        self.steps += 1
        self.seconds += PRESS


def terminal(street: Street, _: object, me: Doing) -> None:
    """A second terminal: `git guard verify`, the code."""
    person = street.person()
    push = Push(street, person)
    me.sees(push)
    me.types("git guard verify")
    code = me.reads_and_types(street.server.fresh_code(person))
    street.server.ssh(person, "2fa verify", stdin=code + "\n", status=0)
    assert push.status() == 0, push.said


def laptop_signed_in(street: Street, browser: object, me: Doing) -> None:
    """The refusal's link in a browser that is signed in; the code; Enter."""
    person = street.person()
    with window(browser) as context:  # type: ignore[arg-type]
        tab = street.sign_in(context, person)
        push = Push(street, person)
        me.sees(push)
        me.presses()
        tab.goto(push.link())
        tab.get_by_label("Code from your app").fill(me.reads_and_types(street.server.fresh_code(person)))
        press(tab, "Verify")
        assert push.status() == 0, push.said


def laptop_signed_out(street: Street, browser: object, me: Doing) -> None:
    """`git guard web --open` in a second terminal; sign in; the code on the one card; Enter."""
    person = street.person()
    with window(browser) as context:  # type: ignore[arg-type]
        push = Push(street, person)
        me.sees(push)
        me.types("git guard web --open")
        me.presses()
        tab = street.sign_in(context, person)
        tab.get_by_label("Code from your app").fill(me.reads_and_types(street.server.fresh_code(person)))
        press(tab, "Verify")
        assert push.status() == 0, push.said


def phone_signed_out(street: Street, browser: object, me: Doing) -> None:
    """`git guard web` in a second terminal; scan; sign in; the code on the one card."""
    person = street.person()
    with window(browser, PHONE) as context:  # type: ignore[arg-type]
        push = Push(street, person)
        me.sees(push)
        me.types("git guard web")
        me.scans()
        me.presses()
        tab = street.sign_in(context, person)
        tab.get_by_label("Code from your app").fill(me.reads_and_types(street.server.fresh_code(person)))
        press(tab, "Verify")
        assert push.status() == 0, push.said


def newcomer_on_a_phone(street: Street, browser: object, me: Doing) -> None:
    """The same, with the invite pasted, the recovery codes saved and the app's first code."""
    person: Person = street.person(enrolled=False)
    with window(browser, PHONE) as context:  # type: ignore[arg-type]
        push = Push(street, person)
        me.sees(push)
        me.types("git guard web")
        me.scans()
        me.presses()
        tab = street.sign_in(context, person)
        me.presses()  # paste
        tab.get_by_label("Invite from your server admin").fill(person.invite)
        me.presses()
        press(tab, "Continue")
        me.presses()  # save or copy
        me.presses()
        press(tab, "I've saved them")
        me.presses()  # tap the code: the app opens
        href = tab.get_by_role("link", name="QR code").get_attribute("href") or ""
        secret = re.search(r"secret=([A-Z2-7]+)", href)
        assert secret
        tab.get_by_label("Code your app shows now").fill(me.reads_and_types(pyotp.TOTP(secret[1]).now()))
        press(tab, "Confirm")
        assert push.status() == 0, push.said


PATHS: tuple[Callable[[Street, object, Doing], None], ...] = (
    terminal, laptop_signed_in, laptop_signed_out, phone_signed_out, newcomer_on_a_phone,
)  # fmt: skip


def main() -> None:
    """Walk each way once and print the table."""
    print("| from a refused push | steps | seconds, a person's | the machine's of it |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="gitguard-flow-") as folder, chromium() as browser:
        server = Server(Path(folder, "server"))
        server.install()
        server.configure(session={"wait": "1m"})
        server.start()
        server.new_repository("team/app", "push")
        page = Page(server)
        page.start()
        try:
            street = Street(server, page)
            for path in PATHS:
                me = Doing()
                path(street, browser, me)
                machine = time.monotonic() - me.began
                name = path.__name__.replace("_", " ")
                print(f"| {name} | {me.steps} | {me.seconds + machine:.0f} | {machine:.1f} |", flush=True)
        finally:
            page.stop()
            server.stop()


if __name__ == "__main__":
    main()
