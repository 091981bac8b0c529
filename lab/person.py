"""Someone with an SSH key."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Person:
    """Someone with an SSH key, and an authenticator app once enrolled."""

    name: str
    key: Path
    fingerprint: str
    invite: str = ""
    secret: str = ""
    recovery_codes: list[str] = field(default_factory=list)
    last_step: int = 0

    @property
    def public_line(self) -> str:
        """The public key, as the line that people send."""
        return Path(f"{self.key}.pub").read_text()
