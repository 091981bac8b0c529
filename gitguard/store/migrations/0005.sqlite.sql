-- What changed is told to the person, from which network a change takes two codes, and a name's other forms.

ALTER TABLE known_networks ADD COLUMN first_at INTEGER NOT NULL DEFAULT 0;

ALTER TABLE repositories ADD COLUMN folded TEXT NOT NULL DEFAULT '';
UPDATE repositories SET folded = fold(name);
CREATE INDEX repository_by_fold ON repositories (folded);

CREATE TABLE changes (
    id              INTEGER PRIMARY KEY,
    user_name       TEXT NOT NULL REFERENCES users (name),
    at              INTEGER NOT NULL,
    event           TEXT NOT NULL,
    subject         TEXT NOT NULL,
    credential      TEXT NOT NULL,
    network         TEXT NOT NULL,
    address         TEXT NOT NULL
) STRICT;
CREATE INDEX changes_by_user ON changes (user_name, id);

CREATE TABLE told (
    user_name       TEXT NOT NULL REFERENCES users (name),
    credential      TEXT NOT NULL,
    network         TEXT NOT NULL,
    change_id       INTEGER NOT NULL,
    PRIMARY KEY (user_name, credential, network)
) STRICT, WITHOUT ROWID;

CREATE TABLE first_codes (
    user_name       TEXT NOT NULL REFERENCES users (name),
    credential      TEXT NOT NULL,
    at              INTEGER NOT NULL,
    PRIMARY KEY (user_name, credential)
) STRICT, WITHOUT ROWID;
