"""Asking for one line: bounded in bytes and in time, so that no client can hold or fill us."""

from __future__ import annotations

import os
import select
import time

import click

from gitguard.factor.code import LONGEST_BYTES
from gitguard.message.reasons import Refusal

VERIFY_SECONDS = 120


def ask(question: str, seconds: int = VERIFY_SECONDS) -> bytes:
    """One line from stdin, without its end, at most `LONGEST_BYTES`; the question goes to stderr.

    Raises Refusal("not-a-code") when nothing is typed: end of input, or `seconds` passed.
    """
    click.echo(question, err=True, nl=False)
    typed = b""
    ends = time.monotonic() + seconds
    # What was there before anyone could have read the question was piped in, and nobody's Enter ends the line.
    piped = bool(select.select([0], [], [], 0)[0])
    try:
        while len(typed) <= LONGEST_BYTES:
            left = ends - time.monotonic()
            if left <= 0 or not select.select([0], [], [], left)[0]:
                piped = True
                raise Refusal("not-a-code", text=f"no code within {seconds} seconds")
            byte = os.read(0, 1)
            if not byte:
                piped = True
                if not typed.strip():
                    raise Refusal("not-a-code", text="no code was given, because the input ended")
            if byte in (b"", b"\n"):
                break
            typed += byte
    finally:
        if piped:
            click.echo(err=True)
    return typed
