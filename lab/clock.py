"""Time, as tests need it: codes that were not used yet, sessions that grow old without anyone waiting."""

from __future__ import annotations

import time

import pyotp

from lab.installation import Installation
from lab.meddling import meddle
from lab.person import Person


def step() -> int:
    """The present time step."""
    return int(time.time()) // 30


class Clock(Installation):
    """An installation whose past can be rewritten."""

    def fresh_code(self, person: Person) -> str:
        """A code that was not used yet: the present step's, or the next one's, which the window allows."""
        wanted = max(step(), person.last_step + 1)
        if wanted > step() + 1:
            raise AssertionError(
                f"no unused code of {person.name} is left in the window; clear_watermark first"
            )
        person.last_step = wanted
        return pyotp.TOTP(person.secret).generate_otp(wanted)

    def clear_watermark(self, person: Person) -> None:
        """Pretend that earlier codes were used long ago, so that a test need not wait half a minute."""
        meddle(self.kept, "UPDATE factors SET last_step = ? WHERE user_name = ?", (step() - 5, person.name))
        person.last_step = 0

    def age_sessions(self, seconds: int) -> None:
        """Make every session `seconds` older, by both clocks."""
        meddle(
            self.kept,
            "UPDATE sessions SET verified_at = verified_at - ?, boot_seconds = boot_seconds - ?",
            (seconds, seconds),
        )

    def end_sessions(self) -> None:
        """Forget every session, as if nobody had verified."""
        meddle(self.kept, "DELETE FROM sessions")
