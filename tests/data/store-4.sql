-- A store as commit cc1f385 wrote it (schema 4): users, a session, a browser, a known network, a repository with a letter outside ASCII.
BEGIN TRANSACTION;
CREATE TABLE audit (
    seq             INTEGER PRIMARY KEY,
    record          TEXT NOT NULL,              -- JSON with sorted keys: at, event, actor, user, ...
    hash            BLOB NOT NULL               -- over the previous hash and this record
) STRICT;
INSERT INTO "audit" VALUES(1,'{"actor":"lab","at":1796006988,"event":"user-added","user":"alice"}',X'6EC710BCBF20C64185ED67AE0ED2FC8FBDCB75E77495293040C45CE974A44623');
INSERT INTO "audit" VALUES(2,'{"actor":"lab","at":1796006988,"event":"key-added","key":"SHA256:zDPMfzdtP2Xq1+Yw2efPoo+9LEVw/uO2GVv/niPF88Q","type":"ssh-ed25519","user":"alice"}',X'245954EC5067193E94E70B5ED3482B0D1833A0E5B92979DA7C99A461959B91AD');
INSERT INTO "audit" VALUES(3,'{"actor":"lab","at":1796006988,"event":"invite-issued","user":"alice"}',X'B494176AB379E91F7629D4FEBEFF3948948975B47633256C46BEF216BE5AFADB');
INSERT INTO "audit" VALUES(4,'{"actor":"alice","address":"127.0.0.1","again":false,"at":1796006988,"basis":"invite","event":"enrolled","key":"SHA256:zDPMfzdtP2Xq1+Yw2efPoo+9LEVw/uO2GVv/niPF88Q","user":"alice"}',X'C04956499A1F694948F97D10481FBCD6C284E3C7FB22E3361286B00EA7C9B1EE');
INSERT INTO "audit" VALUES(5,'{"actor":"alice","address":"127.0.0.1","at":1796006988,"event":"session-opened","key":"SHA256:zDPMfzdtP2Xq1+Yw2efPoo+9LEVw/uO2GVv/niPF88Q","method":"enrolment","scope":"address","session":1,"user":"alice"}',X'F2B8731194F57EAE4F8A7FE3202FF6F9F62CDDFAAE4132EFEA5B0A4368F06AAF');
INSERT INTO "audit" VALUES(6,'{"actor":"admin:root","at":1796006988,"event":"user-added","user":"bob"}',X'BA914E939B88F0FBAD6A98D9D9B9E883A4BCCE4773995A1646C58222F068E17B');
INSERT INTO "audit" VALUES(7,'{"actor":"admin:root","at":1796006988,"event":"key-added","key":"SHA256:7o+qSNV0LXotI5c9eOE9tVcYc7M32oX3jwj0NVLbYv0","type":"ssh-ed25519","user":"bob"}',X'53885297DD9B9EB67A09401CE280096C53FA14E0D77AFA2CD44B5F46C071002F');
INSERT INTO "audit" VALUES(8,'{"actor":"admin:root","at":1796006988,"event":"invite-issued","user":"bob"}',X'51734573BF4C831988E6C42B996CD06F0F565F912C8F779896EE3723AF1F0D84');
INSERT INTO "audit" VALUES(9,'{"actor":"lab","at":1796006988,"directory":"/tmp/store4/repositories/team/app.git","event":"repository-adopted","repository":"team/app"}',X'0728D2431B4A41E3D00004FCDA66F56B92B1BB217D5B3D351493737E8A9DA806');
INSERT INTO "audit" VALUES(10,'{"actor":"lab","at":1796006988,"event":"repository-admin-added","repository":"team/app","user":"alice"}',X'BB9011227D349BD5964058DDA42F34E5598C3864DD3357BA601E5536E8F0C91C');
INSERT INTO "audit" VALUES(11,'{"actor":"lab","after":"push","at":1796006988,"before":"none","event":"toggle-set","floor":"push","repository":"team/app"}',X'307657B0017CC226BC168941DA8C27CB9D86943CDABE90B15E55D426BCD6E6A3');
INSERT INTO "audit" VALUES(12,'{"actor":"lab","at":1796006988,"directory":"/tmp/store4/repositories/\u00c4rger.git","event":"repository-adopted","repository":"\u00c4rger"}',X'ABEEC8C9BC54EFAABD6EF5191EAD5B1CD3D48C540D084580E83B9614B38DB021');
INSERT INTO "audit" VALUES(13,'{"actor":"alice","address":"127.0.0.1","at":1796006988,"event":"sign-in-link","key":"SHA256:zDPMfzdtP2Xq1+Yw2efPoo+9LEVw/uO2GVv/niPF88Q","user":"alice"}',X'874D5D84990BF2E729DF795E395E6D88CFAF6CD2EA1BC4F425C3F206FD2EF5ED');
INSERT INTO "audit" VALUES(14,'{"actor":"alice","address":"127.0.0.1","at":1796006988,"event":"signed-in","key":"web:0584688c6fa991372ebf384b01f01f7b4a9b2cb4","origin":"SHA256:zDPMfzdtP2Xq1+Yw2efPoo+9LEVw/uO2GVv/niPF88Q","user":"alice"}',X'B7096BB4067BE35385B57FBA816425BADD3B2B509C90D1FD144480C616E94DB8');
INSERT INTO "audit" VALUES(15,'{"actor":"alice","address":"127.0.0.1","at":1796006988,"event":"session-opened","key":"SHA256:zDPMfzdtP2Xq1+Yw2efPoo+9LEVw/uO2GVv/niPF88Q","method":"totp","scope":"address","session":1,"user":"alice"}',X'A2D66D0B8CCB11339BDC0D5C7157F95D201174B41DB12D960061F2E157C27160');
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
INSERT INTO "browsers" VALUES('web:0584688c6fa991372ebf384b01f01f7b4a9b2cb4','alice','SHA256:zDPMfzdtP2Xq1+Yw2efPoo+9LEVw/uO2GVv/niPF88Q','127.0.0.1',1796006988,'870c271c-9f08-499b-bcce-e599a56c0c0a',4311);
CREATE TABLE burned_steps (                     -- single steps outside the window that a rejected code fitted
    user_name       TEXT NOT NULL REFERENCES users (name),
    step            INTEGER NOT NULL,
    PRIMARY KEY (user_name, step)
) STRICT, WITHOUT ROWID;
CREATE TABLE clock (                            -- one row: the latest moment that any record was made at
    latest_at       INTEGER NOT NULL
) STRICT;
INSERT INTO "clock" VALUES(1796006988);
CREATE TABLE credentials (                      -- whose a credential is that is no SSH key
    credential      TEXT PRIMARY KEY,           -- its kind in front: web:ID, http:ID, uid:ID
    user_name       TEXT NOT NULL REFERENCES users (name),
    added_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "credentials" VALUES('web:0584688c6fa991372ebf384b01f01f7b4a9b2cb4','alice',1796006988);
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
INSERT INTO "factors" VALUES('alice','1d95729fd0eb73cd',X'1F237EDEC25EFCAC5D30E7AE685409ACFC1C0338848D99E71F439BEBD7FF9944296D434732373877874A149EC1F51D280B2F2FC4E81757BF33E455A0','c9952729',6,30,'SHA1',59866899,1796006988);
CREATE TABLE failures (
    id              INTEGER PRIMARY KEY,
    user_name       TEXT NOT NULL REFERENCES users (name),
    credential      TEXT NOT NULL,
    at              INTEGER NOT NULL,
    cleared         INTEGER NOT NULL DEFAULT 0  -- by a success: no longer counts in the shortest window
) STRICT;
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
INSERT INTO "invites" VALUES('bob',X'B2160DD9046CCBC800F6A78B564B8F5D70A2EC079BCB77A32700B28788EB5BC1',1796611788);
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
INSERT INTO "keys" VALUES('SHA256:7o+qSNV0LXotI5c9eOE9tVcYc7M32oX3jwj0NVLbYv0','bob','ssh-ed25519','AAAAC3NzaC1lZDI1NTE5AAAAIG0pQQd07Mct+nFlLjG6+yXdw7jCLS36E1Ulu/MIiVMp','bob@laptop',0,1796006988,'','');
INSERT INTO "keys" VALUES('SHA256:zDPMfzdtP2Xq1+Yw2efPoo+9LEVw/uO2GVv/niPF88Q','alice','ssh-ed25519','AAAAC3NzaC1lZDI1NTE5AAAAIL094pYmZDkjPo/QN3+/oJSv5axywwuwd7JgJlZDBQaI','alice@laptop',0,1796006988,'','');
CREATE TABLE known_networks (                   -- where a user has verified from
    user_name       TEXT NOT NULL REFERENCES users (name),
    network         TEXT NOT NULL,
    verified_at     INTEGER NOT NULL,
    PRIMARY KEY (user_name, network)
) STRICT, WITHOUT ROWID;
INSERT INTO "known_networks" VALUES('alice','127.0.0.1',1796006988);
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
INSERT INTO "recovery_codes" VALUES(X'07B7FA234A399379628D29A5B31FBDE2030E7F22CF30CB5037AEDC52095A51F1','alice',NULL);
INSERT INTO "recovery_codes" VALUES(X'1CA2C2B0BE7DF50482A5AFB28C8AAFE0C35E41AC6240A5792483C63AF8E12ABB','alice',NULL);
INSERT INTO "recovery_codes" VALUES(X'B76FDB13FAB473408A7DCA1200BB7E89D059BAD588721AF10270A1EC5AA5F92F','alice',NULL);
INSERT INTO "recovery_codes" VALUES(X'C4A0DAAC597B88F87EDF9F8802042989D4CB384420F2CE131D333EC380127EE8','alice',NULL);
INSERT INTO "recovery_codes" VALUES(X'D0ABE7EDEB7DF3EA3EE06E325A813896D5015FE88F1EF2696D1DFF219E71AE43','alice',NULL);
INSERT INTO "recovery_codes" VALUES(X'FA1957BA1076C655E047E317146129F2481483F272DECC50E1B4E502276868BE','alice',NULL);
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
    floor_lifetime_seconds INTEGER
) STRICT, WITHOUT ROWID;
INSERT INTO "repositories" VALUES('team/app','/tmp/store4/repositories/team/app.git','push',NULL,1796006988,'push',NULL);
INSERT INTO "repositories" VALUES('Ärger','/tmp/store4/repositories/Ärger.git','none',NULL,1796006988,'none',NULL);
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
INSERT INTO "sessions" VALUES(1,'alice','address','SHA256:zDPMfzdtP2Xq1+Yw2efPoo+9LEVw/uO2GVv/niPF88Q','127.0.0.1',1796006988,'870c271c-9f08-499b-bcce-e599a56c0c0a',4311,NULL,'totp');
CREATE TABLE sign_in_links (
    hash            BLOB PRIMARY KEY,
    user_name       TEXT NOT NULL REFERENCES users (name),
    purpose         TEXT NOT NULL,
    origin          TEXT NOT NULL,
    expires_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE users (
    name            TEXT PRIMARY KEY,           -- the name of a removed user stays here, reserved
    state           TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'removed')),
    always          INTEGER NOT NULL DEFAULT 0, -- the user's own switch: 2FA for everything I do
    enrolled_once   INTEGER NOT NULL DEFAULT 0, -- from then on, only a fresh factor or an invite enrols again
    created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "users" VALUES('alice','active',0,1,1796006988);
INSERT INTO "users" VALUES('bob','active',0,0,1796006988);
CREATE INDEX key_by_user ON keys (user_name);
CREATE INDEX credentials_by_user ON credentials (user_name);
CREATE INDEX recovery_code_by_user ON recovery_codes (user_name);
CREATE INDEX failure_by_user ON failures (user_name, at);
CREATE UNIQUE INDEX session_in_scope ON sessions (user_name, scope, credential, network);
CREATE INDEX sessions_by_time ON sessions (verified_at);
CREATE INDEX browsers_by_user ON browsers (user_name);
CREATE INDEX sign_in_links_by_user ON sign_in_links (user_name, expires_at);
CREATE INDEX borrowing_by_lender ON borrowings (lender);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('sessions',2);

COMMIT;
PRAGMA user_version = 4;
