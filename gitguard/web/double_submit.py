"""What one browser sends twice is answered once: a double click on a slow line, a
password manager that submits too.

An answer that speaks for this request alone ("that code was used") is wrong to anyone who has just done it:
the browser shows the second answer, and the first was a success. So the same form (page token, path, every
field) from the same browser within a minute gets the first one's answer, headers and all, where that did
something; while the first is under way, the second waits for it. Kept in memory, for a minute, and never for
another browser: the key is made of what its cookie holds. MUST: only what passed the checks of host, origin
and form token gets here.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict

from flask import Flask, Response, current_app, g, request, session

from gitguard.web.context import COOKIE_KEY

KEPT_SECONDS = 60
WAIT_SECONDS = 15  # for the first to be answered; then the second is looked at by itself
MOST = 200  # answers, of all browsers
MOST_OF_BROWSER = 6
LONGEST_BYTES = 256 * 1024
USED_UP = ("code", "recovery", "given", "link")  # fields of what counts once


class _Answer:
    """One form that was sent. `response`: (status, headers, body) once
    answered; None for what is not kept.
    """

    def __init__(self, browser: str, at: float) -> None:
        self.browser = browser
        self.at = at
        self.ready = threading.Event()
        self.response: tuple[int, list[tuple[str, str]], bytes] | None = None


class DoubleSubmits:
    """The forms of the last minute, by what tells one from another."""

    def __init__(self) -> None:
        self._answers: OrderedDict[bytes, _Answer] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, key: bytes, browser: str, now: float) -> tuple[_Answer, bool]:
        """(the answer to come, whether this is the first time)."""
        with self._lock:
            there = self._answers.get(key)
            if there is not None and now - there.at < KEPT_SECONDS:
                return there, False
            answer = self._answers[key] = _Answer(browser, now)
            self._answers.move_to_end(key)
            own = [other for other, one in self._answers.items() if one.browser == browser]
            for other in [
                *own[: max(len(own) - MOST_OF_BROWSER, 0)],
                *list(self._answers)[: max(len(self._answers) - MOST, 0)],
            ]:
                self._answers.pop(other, None)
            for other in [k for k, one in self._answers.items() if now - one.at >= KEPT_SECONDS]:
                del self._answers[other]
            return answer, True

    def drop(self, answer: _Answer) -> None:
        """Forget it: what is sent again is looked at again."""
        with self._lock:
            for key in [k for k, one in self._answers.items() if one is answer]:
                del self._answers[key]

    def drop_others(self, answer: _Answer) -> None:
        """Forget the browser's other answers: this form did something, so they may be wrong by now."""
        with self._lock:
            for key in [
                k
                for k, one in self._answers.items()
                if one.browser == answer.browser and one is not answer and one.ready.is_set()
            ]:
                del self._answers[key]


def install(app: Flask) -> None:
    """Look for a repeated form behind the checks of host and form token, before anything is done."""
    app.extensions["double_submits"] = DoubleSubmits()
    app.before_request(_before)
    app.after_request(_after)
    app.teardown_request(_end)


def not_done() -> None:
    """Nothing was done yet by the form of this request: what is sent again is looked at again."""
    g.not_done = True


def _before() -> Response | None:
    if request.method != "POST":
        return None
    browser = session.get(COOKIE_KEY) or session.get("csrf_token")
    if not isinstance(browser, str):
        return None
    fields = [part for pair in request.form.items(multi=True) for part in pair]
    parts = [part.encode("utf-8", "replace") for part in (browser, request.path, *fields)]
    if not any(request.form.get(field) for field in USED_UP):
        not_done()  # nothing is used up, so only what comes while the first is under way is the same
    key = hashlib.sha256(b"".join(b"%d:%s" % (len(part), part) for part in parts)).digest()
    submits: DoubleSubmits = current_app.extensions["double_submits"]
    answer, first = submits.begin(key, browser, time.monotonic())
    if first:
        g.answer = answer
        return None
    if not answer.ready.wait(WAIT_SECONDS) or answer.response is None:
        return None
    status, headers, body = answer.response
    return Response(body, status, headers)


def _after(response: Response) -> Response:
    answer: _Answer | None = g.get("answer")
    if answer is not None and response.status_code < 500 and not response.is_streamed:
        body = response.get_data()
        if len(body) <= LONGEST_BYTES:
            # Its cookie is part of the answer, and would be added only behind this.
            current_app.session_interface.save_session(current_app, session, response)
            session.modified = False
            answer.response = (response.status_code, list(response.headers), body)
        g.succeeded = response.status_code == 303
    return response


def _end(_: BaseException | None) -> None:
    answer: _Answer | None = g.pop("answer", None)
    if answer is None:
        return
    submits: DoubleSubmits = current_app.extensions["double_submits"]
    if g.get("succeeded", False):
        submits.drop_others(answer)
    if answer.response is None or g.get("not_done", False) or not g.get("succeeded", False):
        # Who waits for it already gets it; whoever sends it later types again.
        submits.drop(answer)
    answer.ready.set()
