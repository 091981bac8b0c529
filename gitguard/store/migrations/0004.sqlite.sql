-- The web page: who is signed in with which browser, and the links that sign one in. Neither token is stored, only hashes.

CREATE TABLE browsers (
    credential      TEXT PRIMARY KEY REFERENCES credentials (credential) ON DELETE CASCADE, -- web:HASH of what its cookie holds
    user_name       TEXT NOT NULL REFERENCES users (name),
    origin          TEXT NOT NULL,              -- what signed it in: an SSH key's fingerprint, or http:LOGIN of a proxy
    address         TEXT NOT NULL,
    signed_in_at    INTEGER NOT NULL,
    boot            TEXT NOT NULL,
    boot_seconds    INTEGER NOT NULL
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

CREATE INDEX sessions_by_time ON sessions (verified_at);     -- the newest first, a page at a time
