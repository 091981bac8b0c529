"""The contract's changes as SQL, on any open transaction; see contract.Writing.

SQL that a second backend can share: no reserved names, `?` for each value; the driver, its errors and its
transactions are sqlite.py's.
"""

from __future__ import annotations

import json
from itertools import groupby
from operator import itemgetter

from gitguard.identity.names import fold
from gitguard.message.reasons import Refusal
from gitguard.session.credential import Credential, credential_of
from gitguard.session.moment import Moment
from gitguard.store.questions import PRUNED, Reader
from gitguard.store.rows import (
    BreakGlass,
    Browser,
    Change,
    Key,
    NearMiss,
    Repository,
    Session,
    SignInLink,
    TotpFactor,
)
from gitguard.store.trail import TrailWriter


class Writer(Reader, TrailWriter):
    """Changes inside one transaction; see contract.Writing."""

    def accept_clock(self, at: int) -> None:
        self._change("UPDATE clock SET latest_at = ?", at)
        # A session of a fast clock would come alive when the right one catches up with it.
        self._change("DELETE FROM sessions WHERE verified_at > ?", at)

    def add_user(self, name: str, at: int) -> None:
        self._change("INSERT INTO users (name, state, created_at) VALUES (?, 'active', ?)", name, at)

    def set_user_state(self, name: str, state: str) -> None:
        self._change("UPDATE users SET state = ? WHERE name = ?", state, name)

    def set_always(self, name: str, *, on: bool) -> None:
        self._change("UPDATE users SET always = ? WHERE name = ?", int(on), name)

    def add_key(self, key: Key) -> None:
        self._change(
            "INSERT INTO keys (fingerprint, user_name, type, blob, comment, verify_required, added_at, limits, behind)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            key.fingerprint, key.user, key.type, key.blob, key.comment, int(key.verify_required), key.added_at,
            key.limits, json.dumps(key.behind) if key.behind else "",
        )  # fmt: skip

    def remove_key(self, fingerprint: str) -> bool:
        self._change("DELETE FROM near_misses WHERE credential = ?", fingerprint)
        return self._change("DELETE FROM keys WHERE fingerprint = ?", fingerprint) > 0

    def add_credential(self, credential: Credential, user: str, at: int) -> None:
        self._change(
            "INSERT INTO credentials (credential, user_name, added_at) VALUES (?, ?, ?)",
            credential.text, user, at,
        )  # fmt: skip

    def remove_credential(self, credential: Credential) -> bool:
        self._change("DELETE FROM sessions WHERE credential = ?", credential.text)
        return self._change("DELETE FROM credentials WHERE credential = ?", credential.text) > 0

    def remove_credentials(self, user: str) -> int:
        return self._change("DELETE FROM credentials WHERE user_name = ?", user)

    def add_browser(self, browser: Browser) -> None:
        self.add_credential(credential_of(browser.credential), browser.user, browser.signed_in.at)
        self._change(
            "INSERT INTO browsers (credential, user_name, origin, address, signed_in_at, boot, boot_seconds, agent, seen_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            browser.credential, browser.user, browser.origin, browser.address, browser.signed_in.at,
            browser.signed_in.boot, browser.signed_in.boot_seconds, browser.agent, browser.seen_at,
        )  # fmt: skip

    def see_browser(self, credential: str, at: int) -> None:
        self._change("UPDATE browsers SET seen_at = ? WHERE credential = ?", at, credential)

    def end_browsers(self, user: str, credential: str | None = None) -> int:
        ended = [one for one in self.browsers(user) if credential in (None, one.credential)]
        for one in ended:
            self._change("DELETE FROM sessions WHERE user_name = ? AND credential = ?", user, one.credential)
            self._change("DELETE FROM credentials WHERE credential = ?", one.credential)
        if credential is None:
            self._change("DELETE FROM sign_in_links WHERE user_name = ?", user)
        return len(ended)

    def end_all_browsers(self) -> int:
        self._change("DELETE FROM sessions WHERE credential IN (SELECT credential FROM browsers)")
        self._change("DELETE FROM sign_in_links")
        return self._change("DELETE FROM credentials WHERE credential IN (SELECT credential FROM browsers)")

    def put_link(self, hash_: bytes, link: SignInLink) -> None:
        self._change(
            "INSERT INTO sign_in_links (hash, user_name, purpose, origin, expires_at) VALUES (?, ?, ?, ?, ?)",
            hash_, link.user, link.purpose, link.origin, link.expires_at,
        )  # fmt: skip

    def forget_links(self, until: int, user: str = "", origin: str = "") -> int:
        gone = self._change("DELETE FROM sign_in_links WHERE expires_at <= ?", until)
        if user:
            gone += self._change("DELETE FROM sign_in_links WHERE user_name = ? AND origin = ?", user, origin)
        return gone

    def take_link(self, hash_: bytes) -> SignInLink | None:
        link = self.link(hash_)
        self._change("DELETE FROM sign_in_links WHERE hash = ?", hash_)
        return link

    def put_totp(self, factor: TotpFactor) -> None:
        self.drop_totp(factor.user)
        self._change(
            "INSERT INTO factors (user_name, enrolment, secret, cipher_key, digits, period_seconds, algorithm,"
            " last_step, enrolled_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            factor.user, factor.enrolment, factor.secret, factor.cipher_key, factor.digits, factor.period_seconds,
            factor.algorithm, factor.last_step, factor.enrolled_at,
        )  # fmt: skip
        self._change("UPDATE users SET enrolled_once = 1 WHERE name = ?", factor.user)

    def replace_secret(self, user: str, secret: bytes, cipher_key: str) -> None:
        self._change(
            "UPDATE factors SET secret = ?, cipher_key = ? WHERE user_name = ?", secret, cipher_key, user
        )

    def drop_totp(self, user: str) -> bool:
        for table in ("burned_steps", "near_misses"):
            self._change(f"DELETE FROM {table} WHERE user_name = ?", user)  # noqa: S608 - one of two words
        return self._change("DELETE FROM factors WHERE user_name = ?", user) > 0

    def advance_step(self, user: str, step: int) -> None:
        self._change(
            "UPDATE factors SET last_step = ? WHERE user_name = ? AND last_step < ?", step, user, step
        )
        self._change("DELETE FROM burned_steps WHERE user_name = ? AND step <= ?", user, step)

    def put_recovery_codes(self, user: str, hashes: list[bytes]) -> None:
        self.drop_recovery_codes(user)
        for digest in hashes:
            self._change("INSERT INTO recovery_codes (hash, user_name) VALUES (?, ?)", digest, user)

    def drop_recovery_codes(self, user: str) -> int:
        return self._change("DELETE FROM recovery_codes WHERE user_name = ?", user)

    def void_recovery_codes(self) -> int:
        return self._change("DELETE FROM recovery_codes")

    def burn_recovery_code(self, user: str, hash_: bytes, at: int) -> bool:
        sql = "UPDATE recovery_codes SET burned_at = ? WHERE user_name = ? AND hash = ? AND burned_at IS NULL"
        return self._change(sql, at, user, hash_) > 0

    def burn_step(self, user: str, step: int) -> None:
        self._change(
            "INSERT INTO burned_steps (user_name, step) VALUES (?, ?) ON CONFLICT DO NOTHING", user, step
        )

    def set_near_miss(self, user: str, credential: str, miss: NearMiss | None) -> None:
        self._change("DELETE FROM near_misses WHERE user_name = ? AND credential = ?", user, credential)
        if miss is not None:
            self._change(
                "INSERT INTO near_misses (user_name, credential, step, difference) VALUES (?, ?, ?, ?)",
                user,
                credential,
                miss.step,
                miss.difference,
            )

    def add_failure(self, user: str, credential: str, at: int) -> None:
        self._change(
            "INSERT INTO failures (user_name, credential, at) VALUES (?, ?, ?)", user, credential, at
        )

    def clear_short_failures(self, user: str, credential: str) -> None:
        self._change(
            "UPDATE failures SET cleared = 1 WHERE user_name = ? AND credential = ?", user, credential
        )

    def forget_failures(self, user: str) -> int:
        return self._change("DELETE FROM failures WHERE user_name = ?", user)

    def count_guess(self, user: str, network: str, address: str, at: int) -> None:
        self._change(
            "INSERT INTO guesses (user_name, network, failures, last_address, last_at) VALUES (?, ?, 1, ?, ?)"
            " ON CONFLICT (user_name, network) DO UPDATE SET failures = guesses.failures + 1,"
            " last_address = excluded.last_address, last_at = excluded.last_at",
            user, network, address, at,
        )  # fmt: skip
        self._change(
            "INSERT INTO rejections (user_name, failures, last_address, last_at) VALUES (?, 1, ?, ?)"
            " ON CONFLICT (user_name) DO UPDATE SET failures = rejections.failures + 1,"
            " last_address = excluded.last_address, last_at = excluded.last_at",
            user, address, at,
        )  # fmt: skip

    def forget_guesses(self, user: str, network: str | None = None) -> None:
        if network is None:
            self._change("DELETE FROM guesses WHERE user_name = ?", user)
        else:
            self._change("DELETE FROM guesses WHERE user_name = ? AND network = ?", user, network)

    def forget_rejections(self, user: str) -> None:
        self._change("DELETE FROM rejections WHERE user_name = ?", user)

    def note_network(self, user: str, network: str, at: int, *, enrolled: bool = False) -> None:
        self._change(
            "INSERT INTO known_networks (user_name, network, verified_at, first_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (user_name, network) DO UPDATE SET verified_at = excluded.verified_at,"
            " first_at = CASE WHEN excluded.first_at < known_networks.first_at"
            " THEN excluded.first_at ELSE known_networks.first_at END",
            user, network, at, 0 if enrolled else at,
        )  # fmt: skip

    def forget_network(self, user: str, network: str) -> int:
        return self._change("DELETE FROM known_networks WHERE user_name = ? AND network = ?", user, network)

    def forget_networks(self, user: str, but: str = "") -> int:
        return self._change("DELETE FROM known_networks WHERE user_name = ? AND network <> ?", user, but)

    def note_change(self, user: str, change: Change, network: str) -> None:
        self._change(
            "INSERT INTO changes (user_name, at, event, subject, credential, network, address) VALUES (?, ?, ?, ?, ?, ?, ?)",
            user, change.at, change.event, change.subject, change.credential, network, change.address,
        )  # fmt: skip

    def mark_told(self, user: str, credential: str, network: str) -> None:
        newest = self._one("SELECT max(id) FROM changes WHERE user_name = ?", user)[0]
        if newest is not None:
            self._change(
                "INSERT INTO told (user_name, credential, network, change_id) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (user_name, credential, network) DO UPDATE SET change_id = excluded.change_id",
                user, credential, network, newest,
            )  # fmt: skip

    def prune(self, before: int, most: int) -> int:
        gone = sum(
            self._change(
                f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {at} < ? LIMIT ?)",  # noqa: S608 - names of our own
                before,
                most,
            )
            for table, key, at in PRUNED
        )
        self._change("DELETE FROM told WHERE user_name NOT IN (SELECT user_name FROM changes)")
        return gone

    def put_first_code(self, user: str, credential: str, at: int) -> None:
        self._change(
            "INSERT INTO first_codes (user_name, credential, at) VALUES (?, ?, ?)"
            " ON CONFLICT (user_name, credential) DO UPDATE SET at = excluded.at",
            user, credential, at,
        )  # fmt: skip

    def drop_first_code(self, user: str, credential: str) -> bool:
        return (
            self._change("DELETE FROM first_codes WHERE user_name = ? AND credential = ?", user, credential)
            > 0
        )

    def begin_break_glass(self, entry: BreakGlass) -> None:
        self._change(
            "INSERT INTO break_glass (decision, actor, pid, started, boot) VALUES (?, ?, ?, ?, ?)",
            entry.decision, entry.actor, entry.pid, entry.started, entry.boot,
        )  # fmt: skip

    def end_break_glass(self, decision: str) -> bool:
        return self._change("DELETE FROM break_glass WHERE decision = ?", decision) > 0

    def put_invite(self, user: str, hash_: bytes, expires_at: int) -> None:
        self.drop_invite(user)
        self._change(
            "INSERT INTO invites (user_name, hash, expires_at) VALUES (?, ?, ?)", user, hash_, expires_at
        )

    def void_invites(self) -> int:
        return self._change("DELETE FROM invites")

    def drop_invite(self, user: str) -> bool:
        return self._change("DELETE FROM invites WHERE user_name = ?", user) > 0

    def put_session(
        self,
        user: str,
        scope: tuple[str, str, str],
        verified: Moment,
        method: str,
        limit_seconds: int | None = None,
    ) -> Session:
        self._change(
            "INSERT INTO sessions (user_name, scope, credential, network, verified_at, boot, boot_seconds, limit_seconds, method)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (user_name, scope, credential, network) DO UPDATE SET"
            " verified_at = excluded.verified_at, boot = excluded.boot, boot_seconds = excluded.boot_seconds,"
            " limit_seconds = excluded.limit_seconds, method = excluded.method",
            user, *scope, verified.at, verified.boot, verified.boot_seconds, limit_seconds, method,
        )  # fmt: skip
        session = self.session(user, scope)
        if session is None:
            raise Refusal("internal-error", "a session just written is not there")
        return session

    def end_sessions(
        self, user: str, credential: str | None = None, session: int | None = None
    ) -> list[Session]:
        ended = [
            s
            for s in self.sessions(user)
            if (credential is None or s.credential in (credential, ""))
            and (session is None or s.id == session)
        ]
        for s in ended:
            self._change("DELETE FROM sessions WHERE id = ?", s.id)
        return ended

    def end_all_sessions(self) -> list[tuple[str, list[int]]]:
        rows = self._each("SELECT user_name, id FROM sessions ORDER BY user_name, id")
        ended = [(user, [row[1] for row in theirs]) for user, theirs in groupby(rows, key=itemgetter(0))]
        self._change("DELETE FROM sessions")
        return ended

    def add_repository(self, repository: Repository) -> None:
        self._change(
            "INSERT INTO repositories (name, directory, require, lifetime_seconds, adopted_at, floor_require,"
            " floor_lifetime_seconds, folded) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            repository.name, repository.directory, repository.require, repository.lifetime_seconds,
            repository.adopted_at, repository.floor_require, repository.floor_lifetime_seconds,
            fold(repository.name),
        )  # fmt: skip

    def rename_repository(self, old: str, new: str, directory: str) -> None:
        self._change(
            "UPDATE repositories SET name = ?, directory = ?, folded = ? WHERE name = ?",
            new, directory, fold(new), old,
        )  # fmt: skip

    def forget_repository(self, name: str) -> bool:
        return self._change("DELETE FROM repositories WHERE name = ?", name) > 0

    def set_toggle(self, name: str, require: str, lifetime_seconds: int | None) -> None:
        self._change(
            "UPDATE repositories SET require = ?, lifetime_seconds = ? WHERE name = ?",
            require,
            lifetime_seconds,
            name,
        )

    def set_floor(self, name: str, require: str, lifetime_seconds: int | None) -> None:
        self._change(
            "UPDATE repositories SET floor_require = ?, floor_lifetime_seconds = ? WHERE name = ?",
            require, lifetime_seconds, name,
        )  # fmt: skip

    def set_borrowings(self, name: str, lenders: list[str]) -> bool:
        before = [row[0] for row in self._all("SELECT lender FROM borrowings WHERE borrower = ?", name)]
        if sorted(before) == sorted(lenders):
            return False
        self._change("DELETE FROM borrowings WHERE borrower = ?", name)
        for lender in lenders:
            self._change("INSERT INTO borrowings (borrower, lender) VALUES (?, ?)", name, lender)
        return True

    def remember_forgotten(self, directory: str, at: int) -> None:
        self.clear_forgotten(directory)
        self._change("INSERT INTO forgotten (directory, forgotten_at) VALUES (?, ?)", directory, at)

    def clear_forgotten(self, directory: str) -> bool:
        return self._change("DELETE FROM forgotten WHERE directory = ?", directory) > 0

    def add_repository_admin(self, name: str, user: str) -> bool:
        return (
            self._change(
                "INSERT INTO repository_admins (repository, user_name) VALUES (?, ?) ON CONFLICT DO NOTHING",
                name,
                user,
            )
            > 0
        )

    def remove_repository_admin(self, name: str, user: str) -> bool:
        return (
            self._change("DELETE FROM repository_admins WHERE repository = ? AND user_name = ?", name, user)
            > 0
        )
