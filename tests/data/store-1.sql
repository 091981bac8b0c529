-- A store as commit a8fb403 wrote it (schema 1): users, keys, sessions, a toggle, an invite, a failure.
BEGIN TRANSACTION;
CREATE TABLE audit (
    seq             INTEGER PRIMARY KEY,
    record          TEXT NOT NULL,              -- JSON with sorted keys: at, event, actor, user, ...
    hash            BLOB NOT NULL               -- over the previous hash and this record
) STRICT;
INSERT INTO "audit" VALUES(1,'{"actor":"admin:root","at":1795603119,"event":"user-added","user":"alice"}',X'FF75AFC43A9B0E22019C679CD9782F34EB8D024CFC66F08617B51EFF0B0EFC5A');
INSERT INTO "audit" VALUES(2,'{"actor":"admin:root","at":1795603119,"event":"key-added","key":"SHA256:Zr1VgEh00jgntP+NaXCjeYzfqBgm127DrGfWi1ThcBU","type":"ssh-ed25519","user":"alice"}',X'CC7D927D875BCF540706E11A78810A735A5196092CC5249A170255339A47192C');
INSERT INTO "audit" VALUES(3,'{"actor":"admin:root","at":1795603119,"event":"invite-issued","user":"alice"}',X'04FD08AA9BF2B6772E55132C1C57797F2FF4DF1D5F47E4F003B5BC6D8DE7ADCA');
INSERT INTO "audit" VALUES(4,'{"actor":"alice","address":"127.0.0.1","again":false,"at":1795603119,"basis":"invite","event":"enrolled","key":"SHA256:Zr1VgEh00jgntP+NaXCjeYzfqBgm127DrGfWi1ThcBU","user":"alice"}',X'DEB3F69FADD8713061A4416E2881BF8B33B14474B00C1127D9EA6BB96A33306E');
INSERT INTO "audit" VALUES(5,'{"actor":"alice","address":"127.0.0.1","at":1795603119,"event":"session-opened","key":"SHA256:Zr1VgEh00jgntP+NaXCjeYzfqBgm127DrGfWi1ThcBU","method":"enrolment","scope":"address","session":1,"user":"alice"}',X'FB29A8D9E562D4FD683B90A8EDDCC26BBE1F62139DA1E004F761CC7B4FF6A7AD');
INSERT INTO "audit" VALUES(6,'{"actor":"admin:root","at":1795603119,"event":"user-added","user":"bob"}',X'B5A4324B275119D2723595026EB391299E843AB8DCD77A17520123CC400DE317');
INSERT INTO "audit" VALUES(7,'{"actor":"admin:root","at":1795603119,"event":"key-added","key":"SHA256:24g7kJGs2mnyrnhWaHWwozDAaJOCrLLNp+VgoJhHiZg","type":"ssh-ed25519","user":"bob"}',X'3F300B5D8D31292ECEC4A8FE72CBE8E79502D00032206013D0E0F1DB1C77A446');
INSERT INTO "audit" VALUES(8,'{"actor":"admin:root","at":1795603119,"event":"invite-issued","user":"bob"}',X'87A5813CD00664760D11024CA1E920ACDA908353BEDCB595B99A0A564CDDFFCA');
INSERT INTO "audit" VALUES(9,'{"actor":"admin:root","at":1795603119,"event":"user-added","user":"carol"}',X'372C3F6D4205F13165A8DC1F262971F2793602981B2C639E6439051E3611149B');
INSERT INTO "audit" VALUES(10,'{"actor":"admin:root","at":1795603119,"event":"key-added","key":"SHA256:f+ILurvHyEDUNN8sAsxdPJ68QxucNTZR5ErMmqsRpUM","type":"ssh-ed25519","user":"carol"}',X'E18998B86FCE31BC2CC3EE602E034F73AB2452429D2FF0BC66C79AA5E89F15AA');
INSERT INTO "audit" VALUES(11,'{"actor":"admin:root","at":1795603119,"event":"invite-issued","user":"carol"}',X'E6CF303FAC6B5C4DCC1C2AF586042DC1C0B5007B0B3C0335F4232A7FF3DB09F0');
INSERT INTO "audit" VALUES(12,'{"actor":"carol","address":"127.0.0.1","again":false,"at":1795603119,"basis":"invite","event":"enrolled","key":"SHA256:f+ILurvHyEDUNN8sAsxdPJ68QxucNTZR5ErMmqsRpUM","user":"carol"}',X'05344D05E13E3A8A0281DDBC4EF46B05D8E4095499DE39CC76D6A4DDE52D1738');
INSERT INTO "audit" VALUES(13,'{"actor":"carol","address":"127.0.0.1","at":1795603119,"event":"session-opened","key":"SHA256:f+ILurvHyEDUNN8sAsxdPJ68QxucNTZR5ErMmqsRpUM","method":"enrolment","scope":"address","session":2,"user":"carol"}',X'86A1483AAA851614470312F7D7C75F8709F1A1953C11ECF81FBB4E2C01051CC4');
INSERT INTO "audit" VALUES(14,'{"actor":"admin:root","at":1795603119,"event":"key-added","key":"SHA256:OGxpQ58azFweyc1iEC916le0qOMXrnPIv2X2gMWcDCM","type":"ssh-ed25519","user":"alice"}',X'DB07245F6DAA10B90F4D0A12292DD1FBCD56E7DCAE0D9B455D2A0A72A9681125');
INSERT INTO "audit" VALUES(15,'{"actor":"admin:root","at":1795603119,"directory":"/srv/example/repositories/team/app.git","event":"repository-adopted","repository":"team/app"}',X'C2DA14808E9DE3BACEDC5E5AD9D9509C2FA87E9E839B1ABD7B970D12D8D2587A');
INSERT INTO "audit" VALUES(16,'{"actor":"admin:root","at":1795603119,"event":"repository-admin-added","repository":"team/app","user":"alice"}',X'023F9482AD4F21FC327A384D1EB4985C1D4306C08A90F6440B74058B10969912');
INSERT INTO "audit" VALUES(17,'{"actor":"admin:root","after":"push","at":1795603120,"before":"none","event":"toggle-set","repository":"team/app"}',X'C0695AB9853E5FFE46D57E5EEBB028934EF23BDBB895B39D0BB63D0DEE993FE3');
INSERT INTO "audit" VALUES(18,'{"actor":"admin:root","after":"push, lifetime 1h","at":1795603120,"before":"push","event":"toggle-set","repository":"team/app"}',X'268116A62308EEE6C6EAE5389754FF9CBC659F9416728FDB570A952D56E7529E');
INSERT INTO "audit" VALUES(19,'{"actor":"admin:root","at":1795603120,"directory":"/srv/example/repositories/open.git","event":"repository-adopted","repository":"open"}',X'ECE66ECADE37DA7A58DED8630F520A809B9DC488576BE6DA6DF842DA532DE910');
INSERT INTO "audit" VALUES(20,'{"actor":"alice","address":"127.0.0.1","at":1795603120,"event":"always-on","key":"SHA256:Zr1VgEh00jgntP+NaXCjeYzfqBgm127DrGfWi1ThcBU","user":"alice"}',X'C70E34A0B50ACD0F5B9BC14D165406D25A7311C79637F52D8D262129D4671024');
INSERT INTO "audit" VALUES(21,'{"actor":"alice","address":"127.0.0.1","at":1795603120,"cause":"wrong","event":"code-rejected","key":"SHA256:Zr1VgEh00jgntP+NaXCjeYzfqBgm127DrGfWi1ThcBU","user":"alice"}',X'0D7DBEBC321AF777E22B4FE95254F7FE0DEC7F385655943A2D61378571FB4C30');
INSERT INTO "audit" VALUES(22,'{"actor":"admin:root","at":1795603120,"event":"user-suspended","user":"carol"}',X'42764F376B56F8A7821EA3CB4766559DE8400C00D4408BD252BD9AF1E533104C');
CREATE TABLE burned_step (                      -- single steps outside the window that a rejected code fitted
    user            TEXT NOT NULL REFERENCES user (name),
    step            INTEGER NOT NULL,
    PRIMARY KEY (user, step)
) STRICT, WITHOUT ROWID;
CREATE TABLE clock (                            -- one row: the latest moment that any record was made at
    latest_at       INTEGER NOT NULL
) STRICT;
INSERT INTO "clock" VALUES(1795603120);
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
INSERT INTO "factor" VALUES('alice','e62200bad63434be',X'5826A4D5A946DA863C4766B91216B3374ED59965D263C582277EE012EA06C8E6346B4681010955EFB7FD9E1D745F200E93398396C72F4858D302745E','acc3a6c3',6,30,'SHA1',59853437,1795603119);
INSERT INTO "factor" VALUES('carol','ad12539689e143ee',X'8ED78843DEC6C93B1FE30D819196584329248A379EB3E09D3194A64CE650A942AF7824F605D96BA4EBC53F0B99BCEC28DAD40CB8010453F0C363179E','acc3a6c3',6,30,'SHA1',59853437,1795603119);
CREATE TABLE failure (
    id              INTEGER PRIMARY KEY,
    user            TEXT NOT NULL REFERENCES user (name),
    key             TEXT NOT NULL,
    at              INTEGER NOT NULL,
    cleared         INTEGER NOT NULL DEFAULT 0  -- by a success: no longer counts in the shortest window
) STRICT;
INSERT INTO "failure" VALUES(1,'alice','SHA256:Zr1VgEh00jgntP+NaXCjeYzfqBgm127DrGfWi1ThcBU',1795603120,0);
CREATE TABLE invite (
    user            TEXT PRIMARY KEY REFERENCES user (name),
    hash            BLOB NOT NULL,
    expires_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "invite" VALUES('bob',X'61C11FB51D72CDAC01DACE0CBA7D2FDDF948FE1597DEE43CFEE858534EE7A337',1796207919);
CREATE TABLE key (
    fingerprint     TEXT PRIMARY KEY,
    user            TEXT NOT NULL REFERENCES user (name),
    type            TEXT NOT NULL,
    blob            TEXT NOT NULL,              -- base64, as in authorized_keys
    comment         TEXT NOT NULL,
    verify_required INTEGER NOT NULL DEFAULT 0, -- the key line demands the hardware key's own PIN or touch
    added_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "key" VALUES('SHA256:24g7kJGs2mnyrnhWaHWwozDAaJOCrLLNp+VgoJhHiZg','bob','ssh-ed25519','AAAAC3NzaC1lZDI1NTE5AAAAICzC/rEcBizKYeBoD6nliQjXYsXBfgY7Qyxv4CroGJ4t','bob@laptop',0,1795603119);
INSERT INTO "key" VALUES('SHA256:OGxpQ58azFweyc1iEC916le0qOMXrnPIv2X2gMWcDCM','alice','ssh-ed25519','AAAAC3NzaC1lZDI1NTE5AAAAICAhdPSFgwg/QyAHX37R5EVXu6tun/yq/lBD/3s4Ty3+','alice2@laptop',0,1795603119);
INSERT INTO "key" VALUES('SHA256:Zr1VgEh00jgntP+NaXCjeYzfqBgm127DrGfWi1ThcBU','alice','ssh-ed25519','AAAAC3NzaC1lZDI1NTE5AAAAINchqQkMfYlVbDVW9O8C8gIW5Pkguvyddy/YcppR0t0h','alice@laptop',0,1795603119);
INSERT INTO "key" VALUES('SHA256:f+ILurvHyEDUNN8sAsxdPJ68QxucNTZR5ErMmqsRpUM','carol','ssh-ed25519','AAAAC3NzaC1lZDI1NTE5AAAAIHtQqjbYh0lKY56T4kmf/sVXyEiSu2NkyIyX4tfJKiXE','carol@laptop',0,1795603119);
CREATE TABLE near_miss (                        -- the last rejected code that fitted a clock difference
    user            TEXT NOT NULL REFERENCES user (name),
    key             TEXT NOT NULL,
    step            INTEGER NOT NULL,
    difference      INTEGER NOT NULL,           -- steps that the phone is ahead
    PRIMARY KEY (user, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE recovery_code (
    hash            BLOB PRIMARY KEY,           -- keyed hash over user and code
    user            TEXT NOT NULL REFERENCES user (name),
    burned_at       INTEGER
) STRICT, WITHOUT ROWID;
INSERT INTO "recovery_code" VALUES(X'16EFFF4ABB2F5F31832B658914161B1AB03140042F6719B5517A84A95DE9F7C7','carol',NULL);
INSERT INTO "recovery_code" VALUES(X'274BDD8598616B0EF70F15D74D8C98A27FAC6461FF98B3B7ADA224689AC91AA5','alice',NULL);
INSERT INTO "recovery_code" VALUES(X'5DE75F03B2BF2C1608174FDD77049A31FD462B7B65E752EE3CE41D0C4B28534E','carol',NULL);
INSERT INTO "recovery_code" VALUES(X'681D49FA7916A063E3496FF8B6D9749B25002420AFD40292ECB6C8C0997B92B3','carol',NULL);
INSERT INTO "recovery_code" VALUES(X'6A08EF1F07AB0AD17E205791CEF2844D880004D597DF0539F0539EB47F627FD1','carol',NULL);
INSERT INTO "recovery_code" VALUES(X'97201063A89451BB83AAC814580C533A94F4E47A82CA4D062B01E9AEF427A07F','alice',NULL);
INSERT INTO "recovery_code" VALUES(X'A1D0292DC24E4D2CDD651A144876531E7711AB3615D0EE9AC32CB8533BC195E5','alice',NULL);
INSERT INTO "recovery_code" VALUES(X'AF9710EE0EC134DE85030426AA80BE2E95E2BA2687D3B49F0EDA975D207B57D3','alice',NULL);
INSERT INTO "recovery_code" VALUES(X'C27D53C6B600F03648614206F1B86A66D222E94832760EF70D2CCEA0F07FA91D','alice',NULL);
INSERT INTO "recovery_code" VALUES(X'CF9A30A176067D967AD95F297B34528A3E55AA36BB426261220B9A57829FDA01','carol',NULL);
INSERT INTO "recovery_code" VALUES(X'E0A0476BB854DAC1D94A862D5C31F69127B4B8924B47B88A834D4F301902CE14','carol',NULL);
INSERT INTO "recovery_code" VALUES(X'ED380E5EC24E98F02E5C2679FBB50D03EBA907FD77693F53CA5F4B4F2966DE30','alice',NULL);
CREATE TABLE repository (
    name            TEXT PRIMARY KEY,
    directory       TEXT NOT NULL UNIQUE,
    require         TEXT NOT NULL DEFAULT 'none' CHECK (require IN ('none', 'push', 'all')),
    lifetime_seconds INTEGER,
    adopted_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "repository" VALUES('open','/srv/example/repositories/open.git','none',NULL,1795603120);
INSERT INTO "repository" VALUES('team/app','/srv/example/repositories/team/app.git','push',3600,1795603119);
CREATE TABLE repository_admin (
    repository      TEXT NOT NULL REFERENCES repository (name) ON UPDATE CASCADE ON DELETE CASCADE,
    user            TEXT NOT NULL REFERENCES user (name),
    PRIMARY KEY (repository, user)
) STRICT, WITHOUT ROWID;
INSERT INTO "repository_admin" VALUES('team/app','alice');
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
INSERT INTO "session" VALUES(1,'alice','address','SHA256:Zr1VgEh00jgntP+NaXCjeYzfqBgm127DrGfWi1ThcBU','127.0.0.1',1795603119,'7e229953-b345-4742-a9e4-b81e2c5e858c',2702,NULL,'enrolment');
CREATE TABLE user (
    name            TEXT PRIMARY KEY,           -- the name of a removed user stays here, reserved
    state           TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'removed')),
    always          INTEGER NOT NULL DEFAULT 0, -- the user's own switch: 2FA for everything I do
    enrolled_once   INTEGER NOT NULL DEFAULT 0, -- from then on, only a fresh factor or an invite enrols again
    created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "user" VALUES('alice','active',1,1,1795603119);
INSERT INTO "user" VALUES('bob','active',0,0,1795603119);
INSERT INTO "user" VALUES('carol','suspended',0,1,1795603119);
CREATE INDEX key_by_user ON key (user);
CREATE INDEX recovery_code_by_user ON recovery_code (user);
CREATE INDEX failure_by_user ON failure (user, at);
CREATE UNIQUE INDEX session_in_scope ON session (user, scope, key, network);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('session',2);
COMMIT;
PRAGMA user_version = 1;
