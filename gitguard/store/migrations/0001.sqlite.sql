-- The first schema. Times are Unix seconds UTC (`_at`), durations seconds (`_seconds`).

CREATE TABLE user (
    name            TEXT PRIMARY KEY,           -- the name of a removed user stays here, reserved
    state           TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'removed')),
    always          INTEGER NOT NULL DEFAULT 0, -- the user's own switch: 2FA for everything I do
    enrolled_once   INTEGER NOT NULL DEFAULT 0, -- from then on, only a fresh factor or an invite enrols again
    created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE key (
    fingerprint     TEXT PRIMARY KEY,
    user            TEXT NOT NULL REFERENCES user (name),
    type            TEXT NOT NULL,
    blob            TEXT NOT NULL,              -- base64, as in authorized_keys
    comment         TEXT NOT NULL,
    verify_required INTEGER NOT NULL DEFAULT 0, -- the key line demands the hardware key's own PIN or touch
    added_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX key_by_user ON key (user);

CREATE TABLE factor (
    user            TEXT PRIMARY KEY REFERENCES user (name),
    enrolment       TEXT NOT NULL,              -- random; part of the cipher's associated data
    secret          BLOB NOT NULL,              -- AES-GCM: nonce and ciphertext
    cipher_key      TEXT NOT NULL,              -- which key of the key file
    digits          INTEGER NOT NULL,
    period_seconds  INTEGER NOT NULL,
    algorithm       TEXT NOT NULL,
    last_step       INTEGER NOT NULL,           -- highest matched time step; codes up to it are spent
    enrolled_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE recovery_code (
    hash            BLOB PRIMARY KEY,           -- keyed hash over user and code
    user            TEXT NOT NULL REFERENCES user (name),
    burned_at       INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX recovery_code_by_user ON recovery_code (user);

CREATE TABLE burned_step (                      -- single steps outside the window that a rejected code fitted
    user            TEXT NOT NULL REFERENCES user (name),
    step            INTEGER NOT NULL,
    PRIMARY KEY (user, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE near_miss (                        -- the last rejected code that fitted a clock difference
    user            TEXT NOT NULL REFERENCES user (name),
    key             TEXT NOT NULL,
    step            INTEGER NOT NULL,
    difference      INTEGER NOT NULL,           -- steps that the phone is ahead
    PRIMARY KEY (user, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE failure (
    id              INTEGER PRIMARY KEY,
    user            TEXT NOT NULL REFERENCES user (name),
    key             TEXT NOT NULL,
    at              INTEGER NOT NULL,
    cleared         INTEGER NOT NULL DEFAULT 0  -- by a success: no longer counts in the shortest window
) STRICT;
CREATE INDEX failure_by_user ON failure (user, at);

CREATE TABLE invite (
    user            TEXT PRIMARY KEY REFERENCES user (name),
    hash            BLOB NOT NULL,
    expires_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
    id              INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice: a grant names it
    user            TEXT NOT NULL REFERENCES user (name),
    scope           TEXT NOT NULL CHECK (scope IN ('address', 'key', 'user')),
    key             TEXT NOT NULL,              -- "" under scope user
    network         TEXT NOT NULL,              -- "" unless scope address
    verified_at     INTEGER NOT NULL,
    boot            TEXT NOT NULL,              -- the boot-time clock, which nobody can set back
    boot_seconds    INTEGER NOT NULL,
    limit_seconds   INTEGER,                    -- opened by an admin for so long, whatever the lifetime
    method          TEXT NOT NULL               -- totp, recovery-code, enrolment, admin
) STRICT;
CREATE UNIQUE INDEX session_in_scope ON session (user, scope, key, network);

CREATE TABLE repository (
    name            TEXT PRIMARY KEY,
    directory       TEXT NOT NULL UNIQUE,
    require         TEXT NOT NULL DEFAULT 'none' CHECK (require IN ('none', 'push', 'all')),
    lifetime_seconds INTEGER,
    adopted_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE repository_admin (
    repository      TEXT NOT NULL REFERENCES repository (name) ON UPDATE CASCADE ON DELETE CASCADE,
    user            TEXT NOT NULL REFERENCES user (name),
    PRIMARY KEY (repository, user)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    seq             INTEGER PRIMARY KEY,
    record          TEXT NOT NULL,              -- JSON with sorted keys: at, event, actor, user, ...
    hash            BLOB NOT NULL               -- over the previous hash and this record
) STRICT;

CREATE TABLE clock (                            -- one row: the latest moment that any record was made at
    latest_at       INTEGER NOT NULL
) STRICT;
INSERT INTO clock VALUES (0);

