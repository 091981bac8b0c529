"""The web page under load, at 10 000 users: what a request costs the server, and
how many a second it answers.
"""

from __future__ import annotations

import http.client
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lab.page import NAME, Browser, Page, sign_in
from lab.server import Person, Server

BUDGET_SECONDS = 0.06
CLIENTS = 8
PAGES = (
    "/account", "/account/remove", "/repositories", "/repository?name=closed", "/admin", "/admin/people", "/admin/people?q=77&which=not-enrolled",
    "/admin/person?name=user77", "/admin/rules?user=user77&repository=closed&operation=push", "/admin/sessions",
    "/admin/sessions?skip=90000", "/admin/audit", "/admin/audit?user=nobody", "/admin/log", "/admin/doctor", "/set-up",
)  # fmt: skip


class Client:
    """A kept connection of a browser that is signed in."""

    def __init__(self, browser: Browser) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", browser.page.port, timeout=30)
        self._headers = {
            "Host": f"{NAME}:{browser.page.port}",
            "Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items()),
        }

    def get(self, path: str) -> float:
        """Seconds that one request took, answer included."""
        began = time.perf_counter()
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        answer.read()
        if answer.status != 200:
            sys.exit(f"bench: {path} answered {answer.status}")
        return time.perf_counter() - began


def p95(times: list[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(times, n=20)[-1] if len(times) > 1 else times[0]


def measure_page(server: Server, person: Person, *, quick: bool) -> list[tuple[str, float, float, bool, str]]:
    """The rows of the table: the verify page under load, and the slowest of all pages."""
    page = Page(server, tls=False)
    server.configure(git={"admins": [person.name]})
    server.clear_watermark(person)
    page.start()
    try:
        browser = Browser(page)
        sign_in(browser, server.ssh(person, "2fa web", status=0).out.strip())
        browser.get("/verify")
        done = browser.post("/verify", {"request": "", "code": server.fresh_code(person)})
        if done.status != 303:
            sys.exit(f"bench: not verified: {done.text}")
        verify, rate = _load(browser, 25 if quick else 100)
        slowest, worst = _every(browser, 5 if quick else 20)
    finally:
        page.stop()
    return [
        (
            "web: verify page, p95 over 60 ms, at 10 000 users",
            verify / BUDGET_SECONDS,
            1.0,
            False,
            f"{verify * 1000:.1f} ms; {rate:.0f} requests/s with {CLIENTS} clients",
        ),
        (
            "web: slowest page of all, p95 over 60 ms, at 10 000 users",
            worst / BUDGET_SECONDS,
            1.0,
            False,
            f"{worst * 1000:.1f} ms, {slowest}",
        ),
    ]


def _load(browser: Browser, each: int) -> tuple[float, float]:
    """(p95 seconds of one client, requests a second of `CLIENTS` at once) of the verify page."""
    one = Client(browser)
    one.get("/verify")
    alone = [one.get("/verify") for _ in range(each)]
    clients = [Client(browser) for _ in range(CLIENTS)]
    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda client: [client.get("/verify") for _ in range(each)], clients))
    return p95(alone), CLIENTS * each / (time.perf_counter() - began)


def _every(browser: Browser, rounds: int) -> tuple[str, float]:
    """(the slowest page, its p95 seconds)."""
    client = Client(browser)
    times: dict[str, list[float]] = {}
    for number in range(-1, rounds):
        for path in PAGES:
            took = client.get(path)
            if number >= 0:
                times.setdefault(path, []).append(took)
    worst = {path: p95(took) for path, took in times.items()}
    slowest = max(worst, key=lambda path: worst[path])
    return slowest, worst[slowest]
