-- What limits a key, the program behind the gate, floors, lenders, what was forgotten, long guessing.

ALTER TABLE key ADD COLUMN limits TEXT NOT NULL DEFAULT '';  -- from="...",expiry-time="...", as sshd reads them
ALTER TABLE key ADD COLUMN behind TEXT NOT NULL DEFAULT '';  -- the program behind the gate: a JSON array, '' for the server's own

ALTER TABLE repository ADD COLUMN floor_require TEXT NOT NULL DEFAULT 'none'
    CHECK (floor_require IN ('none', 'push', 'all'));        -- what the server's admin set: the toggle never falls below it
ALTER TABLE repository ADD COLUMN floor_lifetime_seconds INTEGER;

CREATE TABLE borrowing (                                      -- whose objects a repository borrows, as adopting found it
    borrower        TEXT NOT NULL REFERENCES repository (name) ON UPDATE CASCADE ON DELETE CASCADE,
    lender          TEXT NOT NULL,                            -- a directory
    PRIMARY KEY (borrower, lender)
) STRICT, WITHOUT ROWID;
CREATE INDEX borrowing_by_lender ON borrowing (lender);

CREATE TABLE forgotten (                                      -- what an admin took out stays out of `adopt --all`
    directory       TEXT PRIMARY KEY,
    forgotten_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE break_glass (                                    -- begun and not ended; a process is known by pid and start
    decision        TEXT PRIMARY KEY,
    actor           TEXT NOT NULL,
    pid             INTEGER NOT NULL,
    started         INTEGER NOT NULL,
    boot            TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE guessing (                                       -- failures from a network that no success from there followed
    user            TEXT NOT NULL REFERENCES user (name),
    network         TEXT NOT NULL,
    failures        INTEGER NOT NULL,
    last_address    TEXT NOT NULL,
    last_at         INTEGER NOT NULL,
    PRIMARY KEY (user, network)
) STRICT, WITHOUT ROWID;

CREATE TABLE rejection (                                      -- wrong codes that the user was not told of yet
    user            TEXT PRIMARY KEY REFERENCES user (name),
    failures        INTEGER NOT NULL,
    last_address    TEXT NOT NULL,
    last_at         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE known_network (                                  -- where a user has verified from
    user            TEXT NOT NULL REFERENCES user (name),
    network         TEXT NOT NULL,
    verified_at     INTEGER NOT NULL,
    PRIMARY KEY (user, network)
) STRICT, WITHOUT ROWID;

