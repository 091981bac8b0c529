"""When something is: the wall clock, and a clock that nobody can set back.

A moment is read once, at the edge, and passed on as an argument. The boot-time clock goes with it
because a wall clock set back an hour would otherwise revive a session that ended minutes ago.
Plain dialect: the gate loads this file.
"""

import time

_ROUNDING_SECONDS = 1  # both clocks are cut to whole seconds, at different instants
CLOCK_BACK_SECONDS = 60  # further than this behind the store's newest record, the clock was set back
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Moment:
    """`at`: Unix seconds; `boot`: identity of this boot or ""; `boot_seconds`: seconds since it."""

    __slots__ = ("at", "boot", "boot_seconds")

    def __init__(self, at: int, boot: str = "", boot_seconds: int = 0) -> None:
        self.at = at
        self.boot = boot
        self.boot_seconds = boot_seconds

    def age_of(self, verified: "Moment") -> int:
        """Seconds since `verified`, by the clock that says more; negative if it lies in the future.

        MUST: setting the wall clock back never makes a session younger within one boot. Across a
        boot there is only the wall clock.
        """
        age = self.at - verified.at
        if age >= 0 and self.boot and self.boot == verified.boot:
            elapsed = self.boot_seconds - verified.boot_seconds
            if elapsed > age + _ROUNDING_SECONDS:
                return elapsed
        return age


def now() -> Moment:
    """The present moment. Entry points call it once; everything below takes it as an argument."""
    try:
        with open(BOOT_ID, "rb") as file:
            boot = file.read(64).strip().decode("ascii")
    except (OSError, UnicodeDecodeError):
        return Moment(int(time.time()))  # no Linux /proc: the wall clock alone
    return Moment(int(time.time()), boot, int(time.clock_gettime(time.CLOCK_BOOTTIME)))
