"""Debian's Chromium, driven over its own protocol: nothing is downloaded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
PHONE = {
    "viewport": {"width": 375, "height": 740},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
DESKTOP = {"viewport": {"width": 1100, "height": 800}}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser. Raises RuntimeError where Chromium is not installed."""
    if CHROMIUM is None:
        raise RuntimeError("chromium is not installed (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield browser
        browser.close()


@contextmanager
def window(
    browser: Browser,
    kind: dict[str, Any] | None = None,
    *,
    dark: bool = False,
    javascript: bool = True,
    **more: Any,
) -> Iterator[BrowserContext]:
    """A fresh profile that trusts the lab's certificate."""
    context = browser.new_context(
        **(kind or DESKTOP),
        color_scheme="dark" if dark else "light",
        java_script_enabled=javascript,
        ignore_https_errors=True,
        **more,
    )
    context.set_default_timeout(15_000)
    yield context
    context.close()


def press(page: Page, button: str) -> None:
    """Press a button that leads to another page, and wait until that and its style sheet have loaded."""
    with page.expect_navigation():
        page.get_by_role("button", name=button).click()


def barriers(page: Page) -> list[str]:
    """What axe finds on the page as it stands: rule and element."""
    options = {"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"]}
    found = Axe().run(page, options=options).response
    return [
        f"{violation['id']}: {node['html'][:120]}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


def is_too_wide(page: Page) -> bool:
    """Whether the page scrolls sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))
