-- A store as commit 2072e40 wrote it (schema 6): alice, a repository, a session, a browser that is signed in.
BEGIN TRANSACTION;
CREATE TABLE archived (                         -- no row, or one: the last record that was moved out of the trail
    seq             INTEGER NOT NULL,
    hash            BLOB NOT NULL
) STRICT;
CREATE TABLE audit (
    seq             INTEGER PRIMARY KEY,
    record          TEXT NOT NULL,              -- JSON with sorted keys: at, event, actor, user, ...
    hash            BLOB NOT NULL               -- over the previous hash and this record
) STRICT;
INSERT INTO "audit" VALUES(1,'{"actor":"lab","at":1796037244,"event":"user-added","user":"alice"}',X'96642619645CF3F085ADE15BFB4C30490E965D8B516B62395E709E354312E025');
INSERT INTO "audit" VALUES(2,'{"actor":"lab","at":1796037244,"event":"key-added","key":"SHA256:m6EShsm6qX2r7pqDdJc6Tnlp6vvSGt4yd7bPwIz42h0","type":"ssh-ed25519","user":"alice"}',X'59369F79B861BFE360025D69B44B9A929ED1B88A59663AB495E9AD26877E72FC');
INSERT INTO "audit" VALUES(3,'{"actor":"lab","at":1796037244,"event":"invite-issued","user":"alice"}',X'60C1D838D219E3C76CB5A1DB4F446F6A878CA95AA01063B225DE11387B4D661C');
INSERT INTO "audit" VALUES(4,'{"actor":"alice","address":"127.0.0.1","again":false,"at":1796037244,"basis":"invite","event":"enrolled","key":"SHA256:m6EShsm6qX2r7pqDdJc6Tnlp6vvSGt4yd7bPwIz42h0","user":"alice"}',X'AB81F7092A6523FE594E1A17A17724E304482552AB80DD73BA6B3C0890AE4856');
INSERT INTO "audit" VALUES(5,'{"actor":"alice","address":"127.0.0.1","at":1796037244,"event":"session-opened","key":"SHA256:m6EShsm6qX2r7pqDdJc6Tnlp6vvSGt4yd7bPwIz42h0","method":"enrolment","scope":"address","session":1,"user":"alice"}',X'7C4F8D2629870A72C9A18AA8B97D5404D413CE3B3BCC6B99099B1F7701198912');
INSERT INTO "audit" VALUES(6,'{"actor":"lab","at":1796037244,"directory":"/tmp/store6/repositories/team/app.git","event":"repository-adopted","repository":"team/app"}',X'33F9C78B8054F3E6B2E69A676F799C48808843C9FDCE32A4AAE24AB2CEE12969');
INSERT INTO "audit" VALUES(7,'{"actor":"lab","after":"push","at":1796037244,"before":"none","event":"toggle-set","floor":"push","repository":"team/app"}',X'E1117A5F6929A0D09EB255E3863DA0F5E072029A450DD632845F63A2DA2C6A56');
INSERT INTO "audit" VALUES(8,'{"actor":"alice","address":"127.0.0.1","at":1796037244,"event":"sign-in-link","key":"SHA256:m6EShsm6qX2r7pqDdJc6Tnlp6vvSGt4yd7bPwIz42h0","user":"alice"}',X'53DB3AF36DB9E800B2B6540B6E59CDE955874884FFAB9B0C523697F983A1B0F4');
INSERT INTO "audit" VALUES(9,'{"actor":"alice","address":"127.0.0.1","at":1796037244,"event":"signed-in","key":"web:71c978b6e2d820fe19a92a44188612c1dfbc3f9b","origin":"SHA256:m6EShsm6qX2r7pqDdJc6Tnlp6vvSGt4yd7bPwIz42h0","user":"alice"}',X'61F22F230BF6194028259A47ED7B67BFCA16042990FCD8EF99D409281A1048BF');
CREATE TABLE borrowings (                       -- whose objects a repository borrows, as adopting found it
    borrower        TEXT NOT NULL REFERENCES repositories (name) ON UPDATE CASCADE ON DELETE CASCADE,
    lender          TEXT NOT NULL,              -- a directory
    PRIMARY KEY (borrower, lender)
) STRICT, WITHOUT ROWID;
CREATE TABLE break_glass (                      -- begun and not ended; a process is known by pid and start
    decision        TEXT PRIMARY KEY,
    actor           TEXT NOT NULL,
    pid             INTEGER NOT NULL,
    started         INTEGER NOT NULL,
    boot            TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE browsers (
    credential      TEXT PRIMARY KEY REFERENCES credentials (credential) ON DELETE CASCADE, -- web:HASH of what its cookie holds
    user_name       TEXT NOT NULL REFERENCES users (name),
    origin          TEXT NOT NULL,              -- what signed it in: an SSH key's fingerprint, or http:LOGIN of a proxy
    address         TEXT NOT NULL,
    signed_in_at    INTEGER NOT NULL,
    boot            TEXT NOT NULL,
    boot_seconds    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "browsers" VALUES('web:71c978b6e2d820fe19a92a44188612c1dfbc3f9b','alice','SHA256:m6EShsm6qX2r7pqDdJc6Tnlp6vvSGt4yd7bPwIz42h0','127.0.0.1',1796037244,'7d2dbe8c-e573-43b9-9276-07eec5b50f6c',12531);
CREATE TABLE burned_steps (                     -- single steps outside the window that a rejected code fitted
    user_name       TEXT NOT NULL REFERENCES users (name),
    step            INTEGER NOT NULL,
    PRIMARY KEY (user_name, step)
) STRICT, WITHOUT ROWID;
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
CREATE TABLE clock (                            -- one row: the latest moment that any record was made at
    latest_at       INTEGER NOT NULL
) STRICT;
INSERT INTO "clock" VALUES(1796037244);
CREATE TABLE credentials (                      -- whose a credential is that is no SSH key
    credential      TEXT PRIMARY KEY,           -- its kind in front: web:ID, http:ID, uid:ID
    user_name       TEXT NOT NULL REFERENCES users (name),
    added_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "credentials" VALUES('web:71c978b6e2d820fe19a92a44188612c1dfbc3f9b','alice',1796037244);
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
INSERT INTO "factors" VALUES('alice','562ace19957ed37a',X'B115606AA2A2D8AE2B5BD28A796B17D67160330EFBF974F5AFBA12E2306B75A38254B12C5015C942488463D8EE2D14F316931CC91EF6C78955D28086','f3efee7b',6,30,'SHA1',59867908,1796037244);
CREATE TABLE failures (
    id              INTEGER PRIMARY KEY,
    user_name       TEXT NOT NULL REFERENCES users (name),
    credential      TEXT NOT NULL,
    at              INTEGER NOT NULL,
    cleared         INTEGER NOT NULL DEFAULT 0  -- by a success: no longer counts in the shortest window
) STRICT;
CREATE TABLE first_codes (                      -- the first of two codes was right, just now
    user_name       TEXT NOT NULL REFERENCES users (name),
    credential      TEXT NOT NULL,
    at              INTEGER NOT NULL,
    PRIMARY KEY (user_name, credential)
) STRICT, WITHOUT ROWID;
CREATE TABLE forgotten (                        -- what an admin took out stays out of `adopt --all`
    directory       TEXT PRIMARY KEY,
    forgotten_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE guesses (                          -- failures from a network that no success from there followed
    user_name       TEXT NOT NULL REFERENCES users (name),
    network         TEXT NOT NULL,
    failures        INTEGER NOT NULL,
    last_address    TEXT NOT NULL,
    last_at         INTEGER NOT NULL,
    PRIMARY KEY (user_name, network)
) STRICT, WITHOUT ROWID;
CREATE TABLE invites (
    user_name       TEXT PRIMARY KEY REFERENCES users (name),
    hash            BLOB NOT NULL,
    expires_at      INTEGER NOT NULL
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
INSERT INTO "keys" VALUES('SHA256:m6EShsm6qX2r7pqDdJc6Tnlp6vvSGt4yd7bPwIz42h0','alice','ssh-ed25519','AAAAC3NzaC1lZDI1NTE5AAAAIOm4Q39hkIlqgPUS0T/PcrjQ8sS/kdO9jhsVPBVQbQvD','alice@laptop',0,1796037244,'','');
CREATE TABLE known_networks (                   -- where a user has verified from
    user_name       TEXT NOT NULL REFERENCES users (name),
    network         TEXT NOT NULL,
    verified_at     INTEGER NOT NULL,
    first_at        INTEGER NOT NULL DEFAULT 0, -- the first time; 0: enrolment came from it, or it was long ago
    PRIMARY KEY (user_name, network)
) STRICT, WITHOUT ROWID;
INSERT INTO "known_networks" VALUES('alice','127.0.0.1',1796037244,0);
CREATE TABLE near_misses (                      -- the last rejected code that fitted a clock difference
    user_name       TEXT NOT NULL REFERENCES users (name),
    credential      TEXT NOT NULL,
    step            INTEGER NOT NULL,
    difference      INTEGER NOT NULL,           -- steps that the phone is ahead
    PRIMARY KEY (user_name, credential)
) STRICT, WITHOUT ROWID;
CREATE TABLE recovery_codes (
    hash            BLOB PRIMARY KEY,           -- keyed hash over user and code
    user_name       TEXT NOT NULL REFERENCES users (name),
    burned_at       INTEGER
) STRICT, WITHOUT ROWID;
INSERT INTO "recovery_codes" VALUES(X'0992EA7D5A824FF4F708CA73C07745F1C35C5ABC2D9F48711EFC369449DBC1DC','alice',NULL);
INSERT INTO "recovery_codes" VALUES(X'3A4FD14C278A05034F23B0BE88D854A2F244D066239EA3219361A5A25284973E','alice',NULL);
INSERT INTO "recovery_codes" VALUES(X'41E31E579FA54C88ECCD58BB9B8071525C803E077889915C821795B3B404E1E4','alice',NULL);
INSERT INTO "recovery_codes" VALUES(X'5FB9B24540DCA2FE3EE472437E43F0F6CC9004EE8CC3866B3F230EDC880D69AD','alice',NULL);
INSERT INTO "recovery_codes" VALUES(X'DA10FAE50418CA77117C277C4963D63A2AA4FCDE549882D20B6A188B52AB3DBB','alice',NULL);
INSERT INTO "recovery_codes" VALUES(X'FA58D67848A3E2C1C3A5897D8203C43E1F49A1F65969DEE0650F454B12371E35','alice',NULL);
CREATE TABLE rejections (                       -- wrong codes that the user was not told of yet
    user_name       TEXT PRIMARY KEY REFERENCES users (name),
    failures        INTEGER NOT NULL,
    last_address    TEXT NOT NULL,
    last_at         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE repositories (
    name            TEXT PRIMARY KEY,
    directory       TEXT NOT NULL UNIQUE,
    require         TEXT NOT NULL DEFAULT 'none' CHECK (require IN ('none', 'push', 'all')),
    lifetime_seconds INTEGER,
    adopted_at      INTEGER NOT NULL,
    floor_require   TEXT NOT NULL DEFAULT 'none' -- what the server's admin set: the toggle never falls below it
                    CHECK (floor_require IN ('none', 'push', 'all')),
    floor_lifetime_seconds INTEGER,
    folded          TEXT NOT NULL DEFAULT ''    -- the name without case, blanks and suffixes: account/names.py, fold
) STRICT, WITHOUT ROWID;
INSERT INTO "repositories" VALUES('team/app','/tmp/store6/repositories/team/app.git','push',NULL,1796037244,'push',NULL,'team/app');
CREATE TABLE repository_admins (
    repository      TEXT NOT NULL REFERENCES repositories (name) ON UPDATE CASCADE ON DELETE CASCADE,
    user_name       TEXT NOT NULL REFERENCES users (name),
    PRIMARY KEY (repository, user_name)
) STRICT, WITHOUT ROWID;
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
INSERT INTO "sessions" VALUES(1,'alice','address','SHA256:m6EShsm6qX2r7pqDdJc6Tnlp6vvSGt4yd7bPwIz42h0','127.0.0.1',1796037244,'7d2dbe8c-e573-43b9-9276-07eec5b50f6c',12530,NULL,'enrolment');
CREATE TABLE sign_in_links (
    hash            BLOB PRIMARY KEY,
    user_name       TEXT NOT NULL REFERENCES users (name),
    purpose         TEXT NOT NULL,
    origin          TEXT NOT NULL,
    expires_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE told (                             -- up to which change whoever verifies by this, from there, was told
    user_name       TEXT NOT NULL REFERENCES users (name),
    credential      TEXT NOT NULL,
    network         TEXT NOT NULL,
    change_id       INTEGER NOT NULL,
    PRIMARY KEY (user_name, credential, network)
) STRICT, WITHOUT ROWID;
CREATE TABLE users (
    name            TEXT PRIMARY KEY,           -- the name of a removed user stays here, reserved
    state           TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'removed')),
    always          INTEGER NOT NULL DEFAULT 0, -- the user's own switch: 2FA for everything I do
    enrolled_once   INTEGER NOT NULL DEFAULT 0, -- from then on, only a fresh factor or an invite enrols again
    created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "users" VALUES('alice','active',0,1,1796037244);
CREATE INDEX key_by_user ON keys (user_name);
CREATE INDEX credentials_by_user ON credentials (user_name);
CREATE INDEX recovery_code_by_user ON recovery_codes (user_name);
CREATE INDEX failure_by_user ON failures (user_name, at);
CREATE INDEX changes_by_user ON changes (user_name, id);
CREATE UNIQUE INDEX session_in_scope ON sessions (user_name, scope, credential, network);
CREATE INDEX sessions_by_time ON sessions (verified_at);
CREATE INDEX browsers_by_user ON browsers (user_name);
CREATE INDEX sign_in_links_by_user ON sign_in_links (user_name, expires_at);
CREATE INDEX repository_by_fold ON repositories (folded);
CREATE INDEX borrowing_by_lender ON borrowings (lender);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('sessions',1);
COMMIT;
PRAGMA user_version = 6;
