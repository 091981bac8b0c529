"""What comes out of a store: one value a row. Times are Unix seconds."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from msgspec import Struct

from gitguard.policy.verdict import Freshness
from gitguard.session.methods import Method, method_of
from gitguard.session.moment import Moment

Recorded = dict[str, object]  # one record of the trail: `event`, `at`, `actor` and its details


class User(Struct, frozen=True):
    """A person. `state` is active, suspended or removed."""

    name: str
    state: str
    always: bool
    enrolled_once: bool
    created_at: int


class Key(Struct, frozen=True):
    """An SSH public key of one user. `blob` is base64 as in authorized_keys.

    `limits`: the options that limit it, as they stand in the key line; `behind`: the program behind the gate
    with its arguments, empty for the server's own.
    """

    fingerprint: str
    user: str
    type: str
    blob: str
    comment: str
    verify_required: bool
    added_at: int
    limits: str = ""
    behind: tuple[str, ...] = ()

    @property
    def is_hardware(self) -> bool:
        """Whether its private half lives in a security key. sshd asks no other key for user verification."""
        return self.type.startswith("sk-")

    @property
    def limited_by(self) -> tuple[str, bool, tuple[str, ...]]:
        """What its line adds to the bare key."""
        return (self.limits, self.verify_required, self.behind)

    @property
    def counts_by_itself(self) -> bool:
        """Whether it verifies its person at each login: a second factor where the server allows it."""
        return self.is_hardware and self.verify_required


def key_of(row: Any) -> Key:
    """The key in a row of the table, its columns in the order of `gate_query.KEYS`."""
    behind = tuple(str(word) for word in json.loads(row[8])) if row[8] else ()
    return Key(row[0], row[1], row[2], row[3], row[4], bool(row[5]), row[6], row[7], behind)


class TotpFactor(Struct, frozen=True):
    """One enrolled authenticator. `secret` is encrypted; `last_step` is the replay watermark."""

    user: str
    enrolment: str
    secret: bytes
    cipher_key: str
    digits: int
    period_seconds: int
    algorithm: str
    last_step: int
    enrolled_at: int


class Session(Struct, frozen=True):
    """A 2FA session. `limit_seconds` is an admin's own limit to its age, or None. `credential` and `network`
    are empty where the scope does not bind them.
    """

    id: int
    user: str
    scope: str
    credential: str
    network: str
    verified_at: int
    boot: str
    boot_seconds: int
    limit_seconds: int | None
    method: str

    @property
    def verified(self) -> Moment:
        """When it was verified, by both clocks."""
        return Moment(self.verified_at, self.boot, self.boot_seconds)

    def freshness(self, moment: Moment) -> Freshness:
        """How recently it was verified, at `moment`."""
        return Freshness(self.id, moment.age_of(self.verified), self.limit_seconds)

    def counts_under(self, scope: str) -> bool:
        """Whether it is of the scope in force; a browser's own session is its own under each."""
        return self.scope == scope or self.is_browsers

    @property
    def how(self) -> Method:
        """What its method says of it."""
        return method_of(self.method)

    @property
    def is_browsers(self) -> bool:
        """Whether it is a browser's own: it closes the padlock there, and covers no key."""
        return self.credential.startswith("web:")


class Browser(Struct, frozen=True):
    """A browser that is signed in. `credential` is `web:` and a hash of what its cookie holds.

    `origin` is the credential that signed it in; what is guessed in the browser counts on that one's account.
    `agent`: its name and system in two words, "" if it does not say; `seen_at`: Unix seconds, to ten minutes.
    """

    credential: str
    user: str
    origin: str
    address: str
    signed_in: Moment
    agent: str = ""
    seen_at: int = 0


class SignInLink(Struct, frozen=True):
    """A link that signs a browser in, once. `expires_at`: Unix seconds."""

    user: str
    purpose: str
    origin: str
    expires_at: int


class Repository(Struct, frozen=True):
    """A repository that the server admin created or adopted, with its toggle.

    The floor is what the server's admin required; the toggle never falls below it.
    """

    name: str
    directory: str
    require: str
    lifetime_seconds: int | None
    adopted_at: int
    floor_require: str = "none"
    floor_lifetime_seconds: int | None = None


class Failure(Struct, frozen=True):
    """One failed verification with `credential`. `cleared`: a success came after it."""

    credential: str
    at: int
    cleared: bool


class NearMiss(Struct, frozen=True):
    """The last rejected code of a key that fitted a clock `difference` (steps) outside the window."""

    step: int
    difference: int


class Guessing(Struct, frozen=True):
    """Failures of one user from one network that no success from there has followed."""

    network: str
    failures: int
    last_address: str
    last_at: int


class Change(Struct, frozen=True):
    """What changed about a person that outlives a session. `event` as in the trail; `subject`: the
    key that came or went, or "".

    `credential` and `address`: by which, from where.
    """

    at: int
    event: str
    subject: str
    credential: str
    address: str


class Counts(NamedTuple):
    """How much a store holds."""

    users: int
    keys: int
    repositories: int
    sessions: int
    records: int


class BreakGlass(Struct, frozen=True):
    """Maintenance that was begun and not ended: the process that holds the grant."""

    decision: str
    actor: str
    pid: int
    started: int
    boot: str


class AuditRecord(NamedTuple):
    """One change: who did what to whom, as the chain hashes it, and its link. There may be
    millions, so it is read when asked.
    """

    seq: int
    text: str
    hash: bytes

    @property
    def record(self) -> Recorded:
        """What the text says; {} for one that says nothing."""
        try:
            said = json.loads(self.text)
        except ValueError:
            return {}
        return said if isinstance(said, dict) else {}

    @property
    def at(self) -> int:
        """When it was made, 0 where it does not say."""
        begins = (
            self.text.find('"at":') + 5
        )  # no string in JSON holds an unescaped quote, so this is the name itself
        number = self.text[begins : self.text.find(",", begins)]
        return int(number) if begins > 4 and number.isdecimal() else 0

    def is_about(self, event: str) -> bool:
        """Whether it records this event: without reading the rest."""
        return f'"event":"{event}"' in self.text


class Shortcoming(NamedTuple):
    """What is not as it should be, what to do; whether a server answers nobody because of it."""

    what: str
    remedy: str
    closes: bool = False


class Health(NamedTuple):
    """What a database says of itself, by name; empty for a file."""

    facts: dict[str, object]
    shortcomings: list[Shortcoming]
