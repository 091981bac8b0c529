-- Names that no database reserves, and credentials of other kinds than SSH keys. What is stored stays as it is.

ALTER TABLE user RENAME TO users;
ALTER TABLE key RENAME TO keys;
ALTER TABLE factor RENAME TO factors;
ALTER TABLE recovery_code RENAME TO recovery_codes;
ALTER TABLE burned_step RENAME TO burned_steps;
ALTER TABLE near_miss RENAME TO near_misses;
ALTER TABLE failure RENAME TO failures;
ALTER TABLE invite RENAME TO invites;
ALTER TABLE session RENAME TO sessions;
ALTER TABLE repository RENAME TO repositories;
ALTER TABLE repository_admin RENAME TO repository_admins;
ALTER TABLE borrowing RENAME TO borrowings;
ALTER TABLE guessing RENAME TO guesses;
ALTER TABLE rejection RENAME TO rejections;
ALTER TABLE known_network RENAME TO known_networks;

ALTER TABLE keys RENAME COLUMN user TO user_name;
ALTER TABLE factors RENAME COLUMN user TO user_name;
ALTER TABLE recovery_codes RENAME COLUMN user TO user_name;
ALTER TABLE burned_steps RENAME COLUMN user TO user_name;
ALTER TABLE near_misses RENAME COLUMN user TO user_name;
ALTER TABLE failures RENAME COLUMN user TO user_name;
ALTER TABLE invites RENAME COLUMN user TO user_name;
ALTER TABLE sessions RENAME COLUMN user TO user_name;
ALTER TABLE repository_admins RENAME COLUMN user TO user_name;
ALTER TABLE guesses RENAME COLUMN user TO user_name;
ALTER TABLE rejections RENAME COLUMN user TO user_name;
ALTER TABLE known_networks RENAME COLUMN user TO user_name;

-- What asked, in words: an SSH key's fingerprint as before, anything else with its kind in front (web:ID, http:ID, uid:ID).
ALTER TABLE near_misses RENAME COLUMN key TO credential;
ALTER TABLE failures RENAME COLUMN key TO credential;
ALTER TABLE sessions RENAME COLUMN key TO credential;       -- '' under scope user

CREATE TABLE credentials (                                  -- whose a credential is that is no SSH key
    credential      TEXT PRIMARY KEY,
    user_name       TEXT NOT NULL REFERENCES users (name),
    added_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX credentials_by_user ON credentials (user_name);
