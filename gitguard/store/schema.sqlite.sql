-- The present schema, whole: a new store begins with it, and migrations/ brings an older one to the same.
-- Times are Unix seconds UTC (`_at`), durations seconds (`_seconds`).

CREATE TABLE users (
    name            TEXT PRIMARY KEY,           -- the name of a removed user stays here, reserved
    state           TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'removed')),
    always          INTEGER NOT NULL DEFAULT 0, -- the user's own switch: 2FA for everything I do
    enrolled_once   INTEGER NOT NULL DEFAULT 0, -- from then on, only a fresh factor or an invite enrols again
    created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    fingerprint     TEXT PRIMARY KEY,
    user_name       TEXT NOT NULL REFERENCES users (name),
    type            TEXT NOT NULL,
    blob            TEXT NOT NULL,              -- base64, as in authorized_keys
    comment         TEXT NOT NULL,
    verify_required INTEGER NOT NULL DEFAULT 0, -- the key line demands the hardware key's own PIN or touch
    added_at        INTEGER NOT NULL,
    limits          TEXT NOT NULL DEFAULT '',   -- from="...",expiry-time="...", as sshd reads them
    behind          TEXT NOT NULL DEFAULT ''    -- the program behind the gate: a JSON array, '' for the server's own
) STRICT, WITHOUT ROWID;
CREATE INDEX key_by_user ON keys (user_name);

CREATE TABLE credentials (                      -- whose a credential is that is no SSH key
    credential      TEXT PRIMARY KEY,           -- its kind in front: web:ID, http:ID, uid:ID
    user_name       TEXT NOT NULL REFERENCES users (name),
    added_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX credentials_by_user ON credentials (user_name);

-- The second factor

CREATE TABLE factors (
    user_name       TEXT PRIMARY KEY REFERENCES users (name),
    enrolment       TEXT NOT NULL,              -- random; part of the cipher's associated data
    secret          BLOB NOT NULL,              -- AES-GCM: nonce and ciphertext
    cipher_key      TEXT NOT NULL,              -- which key of the key file
    digits          INTEGER NOT NULL,
    period_seconds  INTEGER NOT NULL,
    algorithm       TEXT NOT NULL,
    last_step       INTEGER NOT NULL,           -- highest matched time step; codes up to it are spent
    enrolled_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE recovery_codes (
    hash            BLOB PRIMARY KEY,           -- keyed hash over user and code
    user_name       TEXT NOT NULL REFERENCES users (name),
    burned_at       INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX recovery_code_by_user ON recovery_codes (user_name);

CREATE TABLE burned_steps (                     -- single steps outside the window that a rejected code fitted
    user_name       TEXT NOT NULL REFERENCES users (name),
    step            INTEGER NOT NULL,
    PRIMARY KEY (user_name, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE near_misses (                      -- the last rejected code that fitted a clock difference
    user_name       TEXT NOT NULL REFERENCES users (name),
    credential      TEXT NOT NULL,
    step            INTEGER NOT NULL,
    difference      INTEGER NOT NULL,           -- steps that the phone is ahead
    PRIMARY KEY (user_name, credential)
) STRICT, WITHOUT ROWID;

CREATE TABLE invites (
    user_name       TEXT PRIMARY KEY REFERENCES users (name),
    hash            BLOB NOT NULL,
    expires_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Guessing

CREATE TABLE failures (
    id              INTEGER PRIMARY KEY,
    user_name       TEXT NOT NULL REFERENCES users (name),
    credential      TEXT NOT NULL,
    at              INTEGER NOT NULL,
    cleared         INTEGER NOT NULL DEFAULT 0  -- by a success: no longer counts in the shortest window
) STRICT;
CREATE INDEX failure_by_user ON failures (user_name, at);

CREATE TABLE guesses (                          -- failures from a network that no success from there followed
    user_name       TEXT NOT NULL REFERENCES users (name),
    network         TEXT NOT NULL,
    failures        INTEGER NOT NULL,
    last_address    TEXT NOT NULL,
    last_at         INTEGER NOT NULL,
    PRIMARY KEY (user_name, network)
) STRICT, WITHOUT ROWID;

CREATE TABLE rejections (                       -- wrong codes that the user was not told of yet
    user_name       TEXT PRIMARY KEY REFERENCES users (name),
    failures        INTEGER NOT NULL,
    last_address    TEXT NOT NULL,
    last_at         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE known_networks (                   -- where a user has verified from
    user_name       TEXT NOT NULL REFERENCES users (name),
    network         TEXT NOT NULL,
    verified_at     INTEGER NOT NULL,
    first_at        INTEGER NOT NULL DEFAULT 0, -- the first time; 0: enrolment came from it, or it was long ago
    PRIMARY KEY (user_name, network)
) STRICT, WITHOUT ROWID;

-- What changed about a person, to be told to them

CREATE TABLE changes (                          -- codes, keys, apps, removals: what outlives a session
    id              INTEGER PRIMARY KEY,
    user_name       TEXT NOT NULL REFERENCES users (name),
    at              INTEGER NOT NULL,
    event           TEXT NOT NULL,              -- as in the trail
    subject         TEXT NOT NULL,              -- the key that came or went, else ''
    credential      TEXT NOT NULL,              -- by which, from which network and address
    network         TEXT NOT NULL,
    address         TEXT NOT NULL
) STRICT;
CREATE INDEX changes_by_user ON changes (user_name, id);

CREATE TABLE told (                             -- up to which change whoever verifies by this, from there, was told
    user_name       TEXT NOT NULL REFERENCES users (name),
    credential      TEXT NOT NULL,
    network         TEXT NOT NULL,
    change_id       INTEGER NOT NULL,
    PRIMARY KEY (user_name, credential, network)
) STRICT, WITHOUT ROWID;

CREATE TABLE first_codes (                      -- the first of two codes was right, just now
    user_name       TEXT NOT NULL REFERENCES users (name),
    credential      TEXT NOT NULL,
    at              INTEGER NOT NULL,
    PRIMARY KEY (user_name, credential)
) STRICT, WITHOUT ROWID;

-- 2FA sessions

CREATE TABLE sessions (
    id              INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice: a grant names it
    user_name       TEXT NOT NULL REFERENCES users (name),
    scope           TEXT NOT NULL CHECK (scope IN ('address', 'key', 'user')),
    credential      TEXT NOT NULL,              -- '' under scope user
    network         TEXT NOT NULL,              -- '' unless scope address
    verified_at     INTEGER NOT NULL,
    boot            TEXT NOT NULL,              -- the boot-time clock, which nobody can set back
    boot_seconds    INTEGER NOT NULL,
    limit_seconds   INTEGER,                    -- opened by an admin for so long, whatever the lifetime
    method          TEXT NOT NULL               -- totp, recovery-code, enrolment, admin
) STRICT;
CREATE UNIQUE INDEX session_in_scope ON sessions (user_name, scope, credential, network);
CREATE INDEX sessions_by_time ON sessions (verified_at);     -- the newest first, a page at a time

-- The web page: who is signed in with which browser, and the links that sign one in. Neither token is stored, only hashes.

CREATE TABLE browsers (
    credential      TEXT PRIMARY KEY REFERENCES credentials (credential) ON DELETE CASCADE, -- web:HASH of what its cookie holds
    user_name       TEXT NOT NULL REFERENCES users (name),
    origin          TEXT NOT NULL,              -- what signed it in: an SSH key's fingerprint, or http:LOGIN of a proxy
    address         TEXT NOT NULL,
    signed_in_at    INTEGER NOT NULL,
    boot            TEXT NOT NULL,
    boot_seconds    INTEGER NOT NULL,
    agent           TEXT NOT NULL DEFAULT '',   -- its system and its name, in two words
    seen_at         INTEGER NOT NULL DEFAULT 0  -- to ten minutes; 0: never since
) STRICT, WITHOUT ROWID;
CREATE INDEX browsers_by_user ON browsers (user_name);

CREATE TABLE sign_in_links (
    hash            BLOB PRIMARY KEY,
    user_name       TEXT NOT NULL REFERENCES users (name),
    purpose         TEXT NOT NULL,
    origin          TEXT NOT NULL,
    expires_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sign_in_links_by_user ON sign_in_links (user_name, expires_at);

-- Repositories

CREATE TABLE repositories (
    name            TEXT PRIMARY KEY,
    directory       TEXT NOT NULL UNIQUE,
    require         TEXT NOT NULL DEFAULT 'none' CHECK (require IN ('none', 'push', 'all')),
    lifetime_seconds INTEGER,
    adopted_at      INTEGER NOT NULL,
    floor_require   TEXT NOT NULL DEFAULT 'none' -- what the server's admin set: the toggle never falls below it
                    CHECK (floor_require IN ('none', 'push', 'all')),
    floor_lifetime_seconds INTEGER,
    folded          TEXT NOT NULL DEFAULT ''    -- the name without case, blanks and suffixes: identity/names.py, fold
) STRICT, WITHOUT ROWID;
CREATE INDEX repository_by_fold ON repositories (folded);

CREATE TABLE repository_admins (
    repository      TEXT NOT NULL REFERENCES repositories (name) ON UPDATE CASCADE ON DELETE CASCADE,
    user_name       TEXT NOT NULL REFERENCES users (name),
    PRIMARY KEY (repository, user_name)
) STRICT, WITHOUT ROWID;

CREATE TABLE borrowings (                       -- whose objects a repository borrows, as adopting found it
    borrower        TEXT NOT NULL REFERENCES repositories (name) ON UPDATE CASCADE ON DELETE CASCADE,
    lender          TEXT NOT NULL,              -- a directory
    PRIMARY KEY (borrower, lender)
) STRICT, WITHOUT ROWID;
CREATE INDEX borrowing_by_lender ON borrowings (lender);

CREATE TABLE forgotten (                        -- what an admin took out stays out of `adopt --all`
    directory       TEXT PRIMARY KEY,
    forgotten_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The server

CREATE TABLE audit (
    seq             INTEGER PRIMARY KEY,
    record          TEXT NOT NULL,              -- JSON with sorted keys: at, event, actor, user, ...
    hash            BLOB NOT NULL               -- over the previous hash and this record
) STRICT;

CREATE TABLE archived (                         -- no row, or one: the last record that was moved out of the trail
    seq             INTEGER NOT NULL,
    hash            BLOB NOT NULL
) STRICT;

CREATE TABLE break_glass (                      -- begun and not ended; a process is known by pid and start
    decision        TEXT PRIMARY KEY,
    actor           TEXT NOT NULL,
    pid             INTEGER NOT NULL,
    started         INTEGER NOT NULL,
    boot            TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE clock (                            -- one row: the latest moment that any record was made at
    latest_at       INTEGER NOT NULL
) STRICT;
INSERT INTO clock VALUES (0);
