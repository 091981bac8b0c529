"""What proving and changing a second factor works with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from gitguard.config.schema import Settings
from gitguard.factor.keyring import Keyring
from gitguard.store.contract import Store


class ProofContext(Struct, frozen=True):
    """What proving and changing a second factor works with: an installation, without its own files.

    `reread` gives the settings as they are now: whoever waited at a prompt continues by today's, not by those
    that held when the prompt appeared.
    """

    store: Store
    keyring: Keyring
    settings: Settings
    reread: Callable[[], Settings] | None = None

    def renewed(self) -> Self:
        """The same with today's settings. Raises Refusal if they cannot be read."""
        return self if self.reread is None else replace(self, settings=self.reread())
