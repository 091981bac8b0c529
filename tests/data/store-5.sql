-- A store as commit ff2e95f wrote it (schema 5): users, a session, a change that is to be told, a wrong code from a strange network, a repository with a letter outside ASCII.
BEGIN TRANSACTION;
CREATE TABLE audit (
    seq             INTEGER PRIMARY KEY,
    record          TEXT NOT NULL,              -- JSON with sorted keys: at, event, actor, user, ...
    hash            BLOB NOT NULL               -- over the previous hash and this record
) STRICT;
INSERT INTO "audit" VALUES(1,'{"actor":"lab","at":1796027516,"event":"user-added","user":"alice"}',X'71456286581AF2FAD4EE540902198791B31ECB39A46A1426C378C5C391B673DA');
INSERT INTO "audit" VALUES(2,'{"actor":"lab","at":1796027516,"event":"key-added","key":"SHA256:0t85ooZ2eY5ATcu7WwGfBoLV3Lh5ePJrLcTMbBIAlNI","type":"ssh-ed25519","user":"alice"}',X'0F93AA0A19B118F8433BF675138F41CF44C770FF2BB6A05F5FF8467F4B9ACA6F');
INSERT INTO "audit" VALUES(3,'{"actor":"lab","at":1796027516,"event":"invite-issued","user":"alice"}',X'5357B0142CE3BCC067000D734D5C95B9D8BA7A26F84E499CE60F83B738227867');
INSERT INTO "audit" VALUES(4,'{"actor":"alice","address":"127.0.0.1","again":false,"at":1796027516,"basis":"invite","event":"enrolled","key":"SHA256:0t85ooZ2eY5ATcu7WwGfBoLV3Lh5ePJrLcTMbBIAlNI","user":"alice"}',X'BC60FE67E34AF528B387DD9EF04B5619D35A15B4B2899E1180B656F61D7A1B04');
INSERT INTO "audit" VALUES(5,'{"actor":"alice","address":"127.0.0.1","at":1796027516,"event":"session-opened","key":"SHA256:0t85ooZ2eY5ATcu7WwGfBoLV3Lh5ePJrLcTMbBIAlNI","method":"enrolment","scope":"address","session":1,"user":"alice"}',X'5C862B5F9508CD3CD7222CAFAB69563A2F1CA92872D65C0F773A0D6BA4613278');
INSERT INTO "audit" VALUES(6,'{"actor":"admin:root","at":1796027516,"event":"user-added","user":"bob"}',X'282C20F6602D148444EFB1A6AE97095EB1AC4A60FEBAB0DF239AEB147F3CE1BE');
INSERT INTO "audit" VALUES(7,'{"actor":"admin:root","at":1796027516,"event":"key-added","key":"SHA256:OpC3w8um21frJbm4uVpRmUpJ2kztFueqGkXWl84745I","type":"ssh-ed25519","user":"bob"}',X'34A26D305939040D53A0602F217FEC3F3FE9F260D3CFB5BAC9597D6D86B4A6FB');
INSERT INTO "audit" VALUES(8,'{"actor":"admin:root","at":1796027516,"event":"invite-issued","user":"bob"}',X'34F46184FD037D07CFDEB605073C438BE1CD88EF7BA9A194D4F1ABB45B658D21');
INSERT INTO "audit" VALUES(9,'{"actor":"lab","at":1796027516,"directory":"/tmp/store5/repositories/team/app.git","event":"repository-adopted","repository":"team/app"}',X'49004EF13A033129D4BE31561A23CE52BC9145A3EB721950C21F838D8C0ED91F');
INSERT INTO "audit" VALUES(10,'{"actor":"lab","at":1796027516,"event":"repository-admin-added","repository":"team/app","user":"alice"}',X'EF905E768F3B352AAB624B5E989A59061ECFE006E28379B5B29099D56D869D91');
INSERT INTO "audit" VALUES(11,'{"actor":"lab","after":"push","at":1796027516,"before":"none","event":"toggle-set","floor":"push","repository":"team/app"}',X'CA304A834C027D4053AFC919E161E36BAC021AAAB0A24D63943BCBCACAD688BF');
INSERT INTO "audit" VALUES(12,'{"actor":"admin:root","at":1796027516,"directory":"/tmp/store5/repositories/\u00c4rger.git","event":"repository-adopted","repository":"\u00c4rger"}',X'7A5300A8A7620DCD583BE82A3313760F807E3482C96D4CE28593150D80A7A2A0');
INSERT INTO "audit" VALUES(13,'{"actor":"alice","address":"127.0.0.1","at":1796027516,"event":"recovery-codes-replaced","key":"SHA256:0t85ooZ2eY5ATcu7WwGfBoLV3Lh5ePJrLcTMbBIAlNI","method":"totp","user":"alice"}',X'741DC1A0A6202939966BC6CC6DB2034A447C51292A6052FEE6899999F28B3B73');
INSERT INTO "audit" VALUES(14,'{"actor":"alice","address":"198.51.100.9","at":1796027516,"cause":"wrong","event":"code-rejected","key":"SHA256:0t85ooZ2eY5ATcu7WwGfBoLV3Lh5ePJrLcTMbBIAlNI","user":"alice"}',X'73544430B68B90FE81A913CDE105874CEB410A72331AD856B1B5A4EAB153C672');
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
INSERT INTO "changes" VALUES(1,'alice',1796027516,'recovery-codes-replaced','','SHA256:0t85ooZ2eY5ATcu7WwGfBoLV3Lh5ePJrLcTMbBIAlNI','127.0.0.1','127.0.0.1');
CREATE TABLE clock (                            -- one row: the latest moment that any record was made at
    latest_at       INTEGER NOT NULL
) STRICT;
INSERT INTO "clock" VALUES(1796027516);
CREATE TABLE credentials (                      -- whose a credential is that is no SSH key
    credential      TEXT PRIMARY KEY,           -- its kind in front: web:ID, http:ID, uid:ID
    user_name       TEXT NOT NULL REFERENCES users (name),
    added_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
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
INSERT INTO "factors" VALUES('alice','b6e803d7357533a5',X'4DB3A29173A9B3326023D50767E98663A7112F9B7A8B5E2C7ED5BE53252F7C6D8D3B968EE71C71BFDCE23D1988E7628E70CA2C1F3819ECD51CC94BF5','f8dcb941',6,30,'SHA1',59867583,1796027516);
CREATE TABLE failures (
    id              INTEGER PRIMARY KEY,
    user_name       TEXT NOT NULL REFERENCES users (name),
    credential      TEXT NOT NULL,
    at              INTEGER NOT NULL,
    cleared         INTEGER NOT NULL DEFAULT 0  -- by a success: no longer counts in the shortest window
) STRICT;
INSERT INTO "failures" VALUES(1,'alice','SHA256:0t85ooZ2eY5ATcu7WwGfBoLV3Lh5ePJrLcTMbBIAlNI',1796027516,0);
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
INSERT INTO "guesses" VALUES('alice','198.51.100.9',1,'198.51.100.9',1796027516);
CREATE TABLE invites (
    user_name       TEXT PRIMARY KEY REFERENCES users (name),
    hash            BLOB NOT NULL,
    expires_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "invites" VALUES('bob',X'0484B17317F87A51574F9D34E8F380617CB8E9C671AB901653E0C6BA6EB2A433',1796632316);
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
INSERT INTO "keys" VALUES('SHA256:0t85ooZ2eY5ATcu7WwGfBoLV3Lh5ePJrLcTMbBIAlNI','alice','ssh-ed25519','AAAAC3NzaC1lZDI1NTE5AAAAIAqanvwbCgJ+KqUPadUWo3VS/24FmKhJE1LO3IZLm7mD','alice@laptop',0,1796027516,'','');
INSERT INTO "keys" VALUES('SHA256:OpC3w8um21frJbm4uVpRmUpJ2kztFueqGkXWl84745I','bob','ssh-ed25519','AAAAC3NzaC1lZDI1NTE5AAAAIBT69lDO/NTyv8mwKjWB4q17X3HNH3HEqikxZDPY26sp','bob@laptop',0,1796027516,'','');
CREATE TABLE known_networks (                   -- where a user has verified from
    user_name       TEXT NOT NULL REFERENCES users (name),
    network         TEXT NOT NULL,
    verified_at     INTEGER NOT NULL,
    first_at        INTEGER NOT NULL DEFAULT 0, -- the first time; 0: enrolment came from it, or it was long ago
    PRIMARY KEY (user_name, network)
) STRICT, WITHOUT ROWID;
INSERT INTO "known_networks" VALUES('alice','127.0.0.1',1796027516,0);
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
INSERT INTO "recovery_codes" VALUES(X'2078E86D3AC7451B5DE59590F44A0A5C5D1C1E063470394817C2262E0B1A60C5','alice',NULL);
INSERT INTO "recovery_codes" VALUES(X'3873847865302AD17338C60AEA770609AED91F7E8912CD34CB66338AC5A52B8F','alice',NULL);
INSERT INTO "recovery_codes" VALUES(X'64BABD4BF40292E1B37E8847B56E6CDCD7532CB710687FE66D16E652C54896DC','alice',NULL);
INSERT INTO "recovery_codes" VALUES(X'8B8895A8003C089B20F8BD618B87EE2FECD3594A5E3D2599C0BC3604B0B252C0','alice',NULL);
INSERT INTO "recovery_codes" VALUES(X'CAE6FB830DF9F7B3BA12F96A9121019E8C94C4E8250F326BDC81247DEA4F5D45','alice',NULL);
INSERT INTO "recovery_codes" VALUES(X'E7A1ACD672ABAE644B048C707AE9F40F913538F46C96F9146AC26B0A975187D5','alice',NULL);
CREATE TABLE rejections (                       -- wrong codes that the user was not told of yet
    user_name       TEXT PRIMARY KEY REFERENCES users (name),
    failures        INTEGER NOT NULL,
    last_address    TEXT NOT NULL,
    last_at         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "rejections" VALUES('alice',1,'198.51.100.9',1796027516);
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
INSERT INTO "repositories" VALUES('team/app','/tmp/store5/repositories/team/app.git','push',NULL,1796027516,'push',NULL,'team/app');
INSERT INTO "repositories" VALUES('Ärger','/tmp/store5/repositories/Ärger.git','none',NULL,1796027516,'none',NULL,'ärger');
CREATE TABLE repository_admins (
    repository      TEXT NOT NULL REFERENCES repositories (name) ON UPDATE CASCADE ON DELETE CASCADE,
    user_name       TEXT NOT NULL REFERENCES users (name),
    PRIMARY KEY (repository, user_name)
) STRICT, WITHOUT ROWID;
INSERT INTO "repository_admins" VALUES('team/app','alice');
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
INSERT INTO "sessions" VALUES(1,'alice','address','SHA256:0t85ooZ2eY5ATcu7WwGfBoLV3Lh5ePJrLcTMbBIAlNI','127.0.0.1',1796027516,'7d2dbe8c-e573-43b9-9276-07eec5b50f6c',2802,NULL,'enrolment');
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
INSERT INTO "users" VALUES('alice','active',0,1,1796027516);
INSERT INTO "users" VALUES('bob','active',0,0,1796027516);
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
PRAGMA user_version = 5;
