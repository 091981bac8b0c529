-- A store as commit 74fddd9 wrote it (schema 3): users, a key each, a session, a toggle with its floor, an invite, a failure.
BEGIN TRANSACTION;
CREATE TABLE audit (
    seq             INTEGER PRIMARY KEY,
    record          TEXT NOT NULL,              -- JSON with sorted keys: at, event, actor, user, ...
    hash            BLOB NOT NULL               -- over the previous hash and this record
) STRICT;
INSERT INTO "audit" VALUES(1,'{"actor":"admin:root","at":1795730632,"event":"user-added","user":"alice"}',X'704EA0D3652F7530B16FD7339D9396F19D644FA079B23177D1A92FF1A548C042');
INSERT INTO "audit" VALUES(2,'{"actor":"admin:root","at":1795730632,"event":"key-added","key":"SHA256:2Ik2wcEjMrxynqM7u9s73PwmlLGAP2bO+z24SLbVN50","type":"ssh-ed25519","user":"alice"}',X'2CE1E1287BC5634496A98CF1AD0D4201F766C28B60B1256AC2805DDC6F90085E');
INSERT INTO "audit" VALUES(3,'{"actor":"admin:root","at":1795730632,"event":"invite-issued","user":"alice"}',X'460253AE93FDA108EC3C63A83D5D3CCCC4B70A3715E127F8487687A88C975FD1');
INSERT INTO "audit" VALUES(4,'{"actor":"alice","address":"127.0.0.1","again":false,"at":1795730632,"basis":"invite","event":"enrolled","key":"SHA256:2Ik2wcEjMrxynqM7u9s73PwmlLGAP2bO+z24SLbVN50","user":"alice"}',X'F95684532D91BFBBDB16B8F64B163D459D9A6731C73F15A78DCA8A37A195D918');
INSERT INTO "audit" VALUES(5,'{"actor":"alice","address":"127.0.0.1","at":1795730632,"event":"session-opened","key":"SHA256:2Ik2wcEjMrxynqM7u9s73PwmlLGAP2bO+z24SLbVN50","method":"enrolment","scope":"address","session":1,"user":"alice"}',X'21D045E005064ADB3B5D6FF289FDE1EE8A80626C898B93ACEA62F0721FF44CB1');
INSERT INTO "audit" VALUES(6,'{"actor":"admin:root","at":1795730632,"event":"user-added","user":"bob"}',X'A817246847F443E1E9A750648AF39B740DFF5BABA3AF05F5EB4934614D40CFFB');
INSERT INTO "audit" VALUES(7,'{"actor":"admin:root","at":1795730632,"event":"key-added","key":"SHA256:zs3od388kzVWtNBwM4DwLKNv+GQ0l9x+ksnwk2jBNT8","type":"ssh-ed25519","user":"bob"}',X'A7456099693EE21B6ADD84ECFBA3EF6A8E1322E37AA896739C8A30CF28CBDFC7');
INSERT INTO "audit" VALUES(8,'{"actor":"admin:root","at":1795730632,"event":"invite-issued","user":"bob"}',X'B12D93546A6486B784EA55A30777D5485AD9B4E6DA04F260477089E04C6EDD88');
INSERT INTO "audit" VALUES(9,'{"actor":"admin:root","at":1795730632,"directory":"/srv/git/repositories/team/app.git","event":"repository-adopted","repository":"team/app"}',X'659BCF418C963AA2B732F513894BC2E0910E141B40EEA99A9AB7547A02DFF67D');
INSERT INTO "audit" VALUES(10,'{"actor":"admin:root","at":1795730632,"event":"repository-admin-added","repository":"team/app","user":"alice"}',X'58473DA03AA2653319A703040B499DB93900A8952ED1029FBA87BED0DE817D09');
INSERT INTO "audit" VALUES(11,'{"actor":"admin:root","after":"push","at":1795730632,"before":"none","event":"toggle-set","floor":"push","repository":"team/app"}',X'2B951C86EEB8CF3ECB2F1ED84767083BA2589F5530D2C5AC22F2194A60FFEBB9');
INSERT INTO "audit" VALUES(12,'{"actor":"admin:root","after":"push, lifetime 1h","at":1795730632,"before":"push","event":"toggle-set","floor":"push, lifetime 1h","repository":"team/app"}',X'28D78E541B485DBF2B9D23DFA9B260F0209E9B9803353AD762FDF6716AA101B1');
INSERT INTO "audit" VALUES(13,'{"actor":"alice","address":"127.0.0.1","at":1795730632,"cause":"wrong","event":"code-rejected","key":"SHA256:2Ik2wcEjMrxynqM7u9s73PwmlLGAP2bO+z24SLbVN50","user":"alice"}',X'B5771D72B6DD59B1F16A5A70FB7CDA6E8FC32F7B979C899980554DF68492131C');
INSERT INTO "audit" VALUES(14,'{"actor":"alice","address":"127.0.0.1","at":1795730632,"event":"always-on","key":"SHA256:2Ik2wcEjMrxynqM7u9s73PwmlLGAP2bO+z24SLbVN50","user":"alice"}',X'B3A2BD2CCE23E7497D01F8FAF27600D8F631FFE8FE0828275F097B554B686DDB');
CREATE TABLE "borrowings" (                                      -- whose objects a repository borrows, as adopting found it
    borrower        TEXT NOT NULL REFERENCES "repositories" (name) ON UPDATE CASCADE ON DELETE CASCADE,
    lender          TEXT NOT NULL,                            -- a directory
    PRIMARY KEY (borrower, lender)
) STRICT, WITHOUT ROWID;
CREATE TABLE break_glass (                                    -- begun and not ended; a process is known by pid and start
    decision        TEXT PRIMARY KEY,
    actor           TEXT NOT NULL,
    pid             INTEGER NOT NULL,
    started         INTEGER NOT NULL,
    boot            TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE "burned_steps" (                      -- single steps outside the window that a rejected code fitted
    user_name            TEXT NOT NULL REFERENCES "users" (name),
    step            INTEGER NOT NULL,
    PRIMARY KEY (user_name, step)
) STRICT, WITHOUT ROWID;
CREATE TABLE clock (                            -- one row: the latest moment that any record was made at
    latest_at       INTEGER NOT NULL
) STRICT;
INSERT INTO "clock" VALUES(1795730632);
CREATE TABLE credentials (                                  -- whose a credential is that is no SSH key
    credential      TEXT PRIMARY KEY,
    user_name       TEXT NOT NULL REFERENCES users (name),
    added_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE "factors" (
    user_name            TEXT PRIMARY KEY REFERENCES "users" (name),
    enrolment       TEXT NOT NULL,              -- random; part of the cipher's associated data
    secret          BLOB NOT NULL,              -- AES-GCM: nonce and ciphertext
    cipher_key      TEXT NOT NULL,              -- which key of the key file
    digits          INTEGER NOT NULL,
    period_seconds  INTEGER NOT NULL,
    algorithm       TEXT NOT NULL,
    last_step       INTEGER NOT NULL,           -- highest matched time step; codes up to it are spent
    enrolled_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "factors" VALUES('alice','28eb0a84dee621ba',X'12E46B65D702E47C6A31E3494ACF16291CA4322F16D8DB91EC7353597F959C5BBA437DD8CB914602FE566C639647542D62C9A20EE824B34F73D6188B','24524db1',6,30,'SHA1',59857687,1795730632);
CREATE TABLE "failures" (
    id              INTEGER PRIMARY KEY,
    user_name            TEXT NOT NULL REFERENCES "users" (name),
    credential             TEXT NOT NULL,
    at              INTEGER NOT NULL,
    cleared         INTEGER NOT NULL DEFAULT 0  -- by a success: no longer counts in the shortest window
) STRICT;
INSERT INTO "failures" VALUES(1,'alice','SHA256:2Ik2wcEjMrxynqM7u9s73PwmlLGAP2bO+z24SLbVN50',1795730632,0);
CREATE TABLE forgotten (                                      -- what an admin took out stays out of `adopt --all`
    directory       TEXT PRIMARY KEY,
    forgotten_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE "guesses" (                                       -- failures from a network that no success from there followed
    user_name            TEXT NOT NULL REFERENCES "users" (name),
    network         TEXT NOT NULL,
    failures        INTEGER NOT NULL,
    last_address    TEXT NOT NULL,
    last_at         INTEGER NOT NULL,
    PRIMARY KEY (user_name, network)
) STRICT, WITHOUT ROWID;
INSERT INTO "guesses" VALUES('alice','127.0.0.1',1,'127.0.0.1',1795730632);
CREATE TABLE "invites" (
    user_name            TEXT PRIMARY KEY REFERENCES "users" (name),
    hash            BLOB NOT NULL,
    expires_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "invites" VALUES('bob',X'BD6D5D792A3876C0DE3EE1CAC6866EB40225E7ED7E824B6CCD5D196B859581D0',1796335432);
CREATE TABLE "keys" (
    fingerprint     TEXT PRIMARY KEY,
    user_name            TEXT NOT NULL REFERENCES "users" (name),
    type            TEXT NOT NULL,
    blob            TEXT NOT NULL,              -- base64, as in authorized_keys
    comment         TEXT NOT NULL,
    verify_required INTEGER NOT NULL DEFAULT 0, -- the key line demands the hardware key's own PIN or touch
    added_at        INTEGER NOT NULL
, limits TEXT NOT NULL DEFAULT '', behind TEXT NOT NULL DEFAULT '') STRICT, WITHOUT ROWID;
INSERT INTO "keys" VALUES('SHA256:2Ik2wcEjMrxynqM7u9s73PwmlLGAP2bO+z24SLbVN50','alice','ssh-ed25519','AAAAC3NzaC1lZDI1NTE5AAAAICFZ8WY7ajd5HrGVesSV24Jt1R+NinRN63u9fhjo96U9','alice@laptop',0,1795730632,'','');
INSERT INTO "keys" VALUES('SHA256:zs3od388kzVWtNBwM4DwLKNv+GQ0l9x+ksnwk2jBNT8','bob','ssh-ed25519','AAAAC3NzaC1lZDI1NTE5AAAAIP63UhvpArYkcEVv6zZbWEiM8N1v9UWE2RDVM2GaYG/E','bob@laptop',0,1795730632,'','');
CREATE TABLE "known_networks" (                                  -- where a user has verified from
    user_name            TEXT NOT NULL REFERENCES "users" (name),
    network         TEXT NOT NULL,
    verified_at     INTEGER NOT NULL,
    PRIMARY KEY (user_name, network)
) STRICT, WITHOUT ROWID;
CREATE TABLE "near_misses" (                        -- the last rejected code that fitted a clock difference
    user_name            TEXT NOT NULL REFERENCES "users" (name),
    credential             TEXT NOT NULL,
    step            INTEGER NOT NULL,
    difference      INTEGER NOT NULL,           -- steps that the phone is ahead
    PRIMARY KEY (user_name, credential)
) STRICT, WITHOUT ROWID;
CREATE TABLE "recovery_codes" (
    hash            BLOB PRIMARY KEY,           -- keyed hash over user and code
    user_name            TEXT NOT NULL REFERENCES "users" (name),
    burned_at       INTEGER
) STRICT, WITHOUT ROWID;
INSERT INTO "recovery_codes" VALUES(X'42B2916844436DCD206E2BF852066CF94BD67FB75FD49760D948C4BFACD1680D','alice',NULL);
INSERT INTO "recovery_codes" VALUES(X'5BFF751266698F1D553ADE8E23D9E1FBC6DFD859AACF93242E33367C89AF9E71','alice',NULL);
INSERT INTO "recovery_codes" VALUES(X'5DEB27C99327DBB601D8E34C81033D32791A3BE606D061AF5319F84818BD07D3','alice',NULL);
INSERT INTO "recovery_codes" VALUES(X'74A5342364EA060B8D20082EE95CDFE20FDE25E75AA38B91E4E0770B896C029F','alice',NULL);
INSERT INTO "recovery_codes" VALUES(X'7C7DC1541C531FA85FF236C6421C414305940E989EDCC9BB5A3448AAC7847BB2','alice',NULL);
INSERT INTO "recovery_codes" VALUES(X'D3753FC9AE0811B6F6C63D57E818630298D9B1F8E86B21B6A6FEBE2FD918D31C','alice',NULL);
CREATE TABLE "rejections" (                                      -- wrong codes that the user was not told of yet
    user_name            TEXT PRIMARY KEY REFERENCES "users" (name),
    failures        INTEGER NOT NULL,
    last_address    TEXT NOT NULL,
    last_at         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "rejections" VALUES('alice',1,'127.0.0.1',1795730632);
CREATE TABLE "repositories" (
    name            TEXT PRIMARY KEY,
    directory       TEXT NOT NULL UNIQUE,
    require         TEXT NOT NULL DEFAULT 'none' CHECK (require IN ('none', 'push', 'all')),
    lifetime_seconds INTEGER,
    adopted_at      INTEGER NOT NULL
, floor_require TEXT NOT NULL DEFAULT 'none'
    CHECK (floor_require IN ('none', 'push', 'all')), floor_lifetime_seconds INTEGER) STRICT, WITHOUT ROWID;
INSERT INTO "repositories" VALUES('team/app','/srv/git/repositories/team/app.git','push',3600,1795730632,'push',3600);
CREATE TABLE "repository_admins" (
    repository      TEXT NOT NULL REFERENCES "repositories" (name) ON UPDATE CASCADE ON DELETE CASCADE,
    user_name            TEXT NOT NULL REFERENCES "users" (name),
    PRIMARY KEY (repository, user_name)
) STRICT, WITHOUT ROWID;
INSERT INTO "repository_admins" VALUES('team/app','alice');
CREATE TABLE "sessions" (
    id              INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice: a grant names it
    user_name            TEXT NOT NULL REFERENCES "users" (name),
    scope           TEXT NOT NULL CHECK (scope IN ('address', 'key', 'user')),
    credential             TEXT NOT NULL,              -- "" under scope user
    network         TEXT NOT NULL,              -- "" unless scope address
    verified_at     INTEGER NOT NULL,
    boot            TEXT NOT NULL,              -- the boot-time clock, which nobody can set back
    boot_seconds    INTEGER NOT NULL,
    limit_seconds   INTEGER,                    -- opened by an admin for so long, whatever the lifetime
    method          TEXT NOT NULL               -- totp, recovery-code, enrolment, admin
) STRICT;
INSERT INTO "sessions" VALUES(1,'alice','address','SHA256:2Ik2wcEjMrxynqM7u9s73PwmlLGAP2bO+z24SLbVN50','127.0.0.1',1795730632,'b0e6236e-3e4e-463c-ada8-39617c19667d',14747,NULL,'enrolment');
CREATE TABLE "users" (
    name            TEXT PRIMARY KEY,           -- the name of a removed user stays here, reserved
    state           TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'removed')),
    always          INTEGER NOT NULL DEFAULT 0, -- the user's own switch: 2FA for everything I do
    enrolled_once   INTEGER NOT NULL DEFAULT 0, -- from then on, only a fresh factor or an invite enrols again
    created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "users" VALUES('alice','active',1,1,1795730632);
INSERT INTO "users" VALUES('bob','active',0,0,1795730632);
CREATE INDEX key_by_user ON "keys" (user_name);
CREATE INDEX recovery_code_by_user ON "recovery_codes" (user_name);
CREATE INDEX failure_by_user ON "failures" (user_name, at);
CREATE UNIQUE INDEX session_in_scope ON "sessions" (user_name, scope, credential, network);
CREATE INDEX borrowing_by_lender ON "borrowings" (lender);
CREATE INDEX credentials_by_user ON credentials (user_name);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('sessions',1);
COMMIT;
PRAGMA user_version = 3;
