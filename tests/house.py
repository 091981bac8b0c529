"""An installation that is open in the test's own process, with people in it: for what actions do."""

from __future__ import annotations

from collections.abc import Callable

from gitguard.action import repositories, second_factor, users
from gitguard.action.installation import Installation, open_installation
from gitguard.factor.person import Person
from gitguard.host.key_options import NewKey
from gitguard.identity.public_key import PublicKey
from gitguard.session.credential import ssh_key
from gitguard.session.moment import Moment, now
from lab.server import Direct
from tests.conftest import key_of

ACTOR = "admin:test"


class House:
    """An installation that is open, and people in it; each test takes people and repositories of its own."""

    def __init__(self, server: Direct) -> None:
        self.server = server
        self.site: Installation = open_installation(str(server.config), now(), ACTOR)
        self.moment = now()
        self.count = 0

    def key(self) -> PublicKey:
        """A key that nobody has."""
        self.count += 1
        return key_of(self.count)

    def invited(self) -> tuple[Person, str]:
        """Someone with a key and an invite."""
        key = self.key()
        name = f"person{self.count}"
        token = users.add(self.site, name, [NewKey(key)], self.moment, ACTOR).token
        return Person(name, ssh_key(key.fingerprint), "192.0.2.1"), token

    def enrolled(self) -> tuple[Person, Callable[[], bytes]]:
        """Someone with a second factor and a session, and how their app makes the next code."""
        person, token = self.invited()
        pending = second_factor.begin_enrolment(self.site, person, token.encode(), self.moment)
        app = pending.parameters

        def code() -> bytes:
            self.moment = Moment(
                self.moment.at + 30, self.moment.boot, self.moment.boot_seconds + 30
            )  # each code is good once
            return app.code(app.step(self.moment.at)).encode()

        typed = code()
        second_factor.confirm(self.site, person, pending, typed, self.moment)
        return person, code

    def repository(self, admin: Person | None = None) -> str:
        """A new repository."""
        self.count += 1
        admins = (admin.user,) if admin is not None else ()
        return repositories.create(self.site, f"r{self.count}", admins, self.moment, ACTOR).name

    def events(self, after: int) -> list[object]:
        """What the trail says since record `after`."""
        with self.site.store.reading() as tx:
            return [record.record["event"] for record in tx.audit(after)]

    @property
    def newest(self) -> int:
        """The newest record's number."""
        with self.site.store.reading() as tx:
            return max((record.seq for record in tx.audit()), default=0)

    def close(self) -> None:
        """Let go of the store."""
        self.site.store.close()
